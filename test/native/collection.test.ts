import { childReport, runChild } from '../support/child';
import { describeEachBackend } from '../support/hosts';

const flags = ['--expose-gc'];

/** `collect()`: everything unreachable is collected and finalized. */
const collect = `
  const { descriptors } = require('./test/support/child-guests.js');
  const collect = async () => { for (let i = 0; i < 6; i++) { global.gc(); await new Promise((resolve) => setImmediate(resolve)); } };
`;

describeEachBackend('garbage collection', (backend) => {
  it('in any order, of whatever is still held', async () => {
    // Each round keeps some of the objects of a VM and lets go of the others; those kept have to work.
    const script = `${collect}
      process.removeAllListeners('warning'); process.on('warning', () => {});
      const check = {
        hypervisor: (o) => o.createVm({ irqchip: 'user' }).close(),
        vm: (o) => { o.memory.writeU32(0x100, 7); if (o.memory.readU32(0x100) !== 7) throw new Error('memory'); },
        region: (o) => { o.bytes[0] = 9; },
        bytes: (o) => { for (let i = 0; i < o.length; i += 4096) o[i] = o[i] + 1; },
        vcpu: (o) => { o.getState(); o.kick(); if (o.enter().kind !== 'interrupted') throw new Error('kick'); },
        exit: (o) => o.kind,
        shared: (o) => { new Uint8Array(o).fill(0xa5); },
        line: (o) => o,
        memory: (o) => o.readU8(0),
      };
      const names = Object.keys(check);
      (async () => {
        const kept = [];
        let rounds = 0;
        for (let mask = 1; mask < 512; mask += 7) {
          const made = make('${backend.name}', 'out');
          const all = { ...made, bytes: made.region.bytes, exit: made.vcpu.enter(), shared: made.vcpu.shared, memory: made.vm.memory, line: {} };
          const some = {};
          names.forEach((name, i) => { if (mask >> i & 1) some[name] = all[name]; });
          kept.push(some);
          if (mask % 5 === 0) await collect();
          for (const [name, object] of Object.entries(kept[Math.floor(kept.length / 2)])) check[name](object);
          rounds++;
        }
        await collect();
        for (const each of kept) for (const [name, object] of Object.entries(each)) check[name](object);
        kept.length = 0;
        await collect();
        report({ rounds });
      })();`;
    expect(await childReport(script, { flags })).toEqual({ rounds: 73 });
  });

  it('closes what was not closed, and says so once each', async () => {
    const script = `${collect}
      const warnings = [];
      process.removeAllListeners('warning');
      process.on('warning', ({ code, message }) => warnings.push([code, message]));
      (async () => {
        // The first entry of a process opens what all later ones share.
        const first = make('${backend.name}', 'out');
        first.vcpu.enter();
        first.hypervisor.close();
        await collect();
        const before = descriptors();
        (() => { for (let i = 0; i < 5; i++) make('${backend.name}', 'out').vcpu.enter(); })();
        await collect();
        report({ leaked: descriptors() - before, warnings });
      })();`;
    const { leaked, warnings } = await childReport<{ leaked: number; warnings: [string, string][] }>(script, { flags });
    expect(leaked).toBe(0);
    expect(warnings.map(([code]) => code)).toEqual(new Array(5).fill('HAX_UNCLOSED'));
    expect(warnings[0][1]).toMatch(/without close\(\)/);
  });

  it('leaves a guest alone that runs and that nobody holds', async () => {
    const script = `${collect}
      let count = 0;
      (() => {
        const { vm, vcpu } = make('${backend.name}', 'outForEver');
        vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === 3000) vcpu.stop(); } });
        vcpu.run().then(({ reason }) => report({ reason, count }));
      })();
      const timer = setInterval(() => { global.gc(); if (count >= 3000) clearInterval(timer); }, 1);`;
    expect(await childReport(script, { flags })).toEqual({ reason: 'killed', count: 3000 });
  });

  it('leaves a device alone whose promise the guest waits for', async () => {
    const script = `${collect}
      (() => {
        const { vm, vcpu } = make('${backend.name}', 'out');
        vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => new Promise((resolve) => setTimeout(resolve, 60)) });
        vcpu.run().then(({ reason }) => report({ reason }));
      })();
      for (let i = 0; i < 50; i++) setTimeout(() => global.gc(), i);`;
    expect(await childReport(script, { flags })).toEqual({ reason: 'halted' });
  });

  it('leaves alone what the kernel has the address of', async () => {
    if (backend.name !== 'kvm') return;
    // A method that V8 has compiled, and a collection between the look at the address and the call.
    const script = `
      const fs = require('node:fs');
      const { vm } = make('kvm', 'out');
      const pages = 1 << 20;
      const bitmap = new Uint8Array(pages / 8).fill(0xa5);
      const memory = fs.openSync('/proc/self/mem', 'r');
      let check = false;
      let wrong = 0;
      const { ioctl } = vm;
      Object.defineProperty(vm, 'ioctl', { value: (request, argument) => {
        if ((request & 0xff) !== 0xc0) return ioctl.call(vm, request, argument); // KVM_CLEAR_DIRTY_LOG
        if (!check) return 0;
        global.gc();
        const seen = Buffer.alloc(pages / 8);
        try {
          fs.readSync(memory, seen, 0, seen.length, new DataView(argument.buffer).getBigUint64(16, true));
        } catch {}
        if (!seen.equals(bitmap)) wrong++;
        return 0;
      } });
      const { kvm } = vm;
      kvm.extensions.require = () => {};
      const { clearDirtyLog } = kvm;
      const clear = (times) => { for (let i = 0; i < times; i++) kvm.clearDirtyLog(5, 0, pages, bitmap); };
      %PrepareFunctionForOptimization(clearDirtyLog);
      clear(50);
      %OptimizeFunctionOnNextCall(clearDirtyLog);
      clear(1);
      check = true;
      clear(20);
      report({ wrong });`;
    expect(await childReport(script, { flags: ['--expose-gc', '--allow-natives-syntax'] })).toEqual({ wrong: 0 });
  });

  it('survives a heap that is nearly full', async () => {
    // HAXM's driver has room for 64 VMs, and nobody collects before that.
    const machines = backend.name === 'haxm' ? 50 : 400;
    const script = `${collect}
      process.removeAllListeners('warning'); process.on('warning', () => {});
      for (let i = 0; i < ${machines}; i++) make('${backend.name}', 'out').vcpu.enter();
      console.log('done');`;
    const { status, stdout, stderr } = await runChild(script, { flags: ['--expose-gc', '--max-old-space-size=24'] });
    expect([status, stdout, stderr]).toEqual([0, 'done\n', '']);
  });
});
