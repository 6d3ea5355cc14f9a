/** Posted writes: one observable order on every backend. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Vcpu } from 'node-hax';
import { codeOf } from '../support/codes';
import { Recorder, at, guestImage, loadGuest, ramSize, sink } from '../support/guests';
import { describeEachBackend, itNeeds } from '../support/hosts';

/** Keeps the order in which two or more devices are accessed. */
class Log {
  readonly entries: string[] = [];

  device(name: string, answer = 0xff): { read: (offset: number) => number; write: (offset: number, value: number) => void } {
    return {
      read: (offset) => (this.entries.push(`${name}+${offset}?`), answer),
      write: (offset, value) => void this.entries.push(`${name}+${offset}=${value}`),
    };
  }
}

describeEachBackend('posted writes', (backend) => {
  const out = (port: number, value: number, times = 1): ReturnType<typeof backend.program> =>
    backend.program({ kind: 'out', port, value, times });
  const portExits = (vcpu: Vcpu, port: number): number => vcpu.exits.snapshot().ports[`0x${port.toString(16)}`] ?? 0;

  it('all arrive, in order, and nearly none of them is an exit for JavaScript', async () => {
    const { vm, vcpu } = out(0x40, 0x55, 1500);
    const recorder = new Recorder();
    vm.ports.add({ at: 0x40, length: 1, posted: true }, recorder);
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(recorder.values).toEqual(new Array(1500).fill(0x55));
    expect(vm.posted.served + portExits(vcpu, 0x40)).toBe(1500);
    // The rings hold 511, or 169 of KVM's: what comes when they are full is an exit.
    expect(portExits(vcpu, 0x40)).toBeLessThan(20);
  });

  it('all arrive, in order, in threaded mode', async () => {
    const { vm, vcpu } = out(0x40, 0x55, 700);
    const recorder = new Recorder();
    vm.ports.add({ at: 0x40, length: 1, posted: true }, recorder);
    expect(await vcpu.run({ threaded: true })).toEqual({ reason: 'halted' });
    expect(recorder.values).toEqual(new Array(700).fill(0x55));
  });

  it('are there when enter() comes back', () => {
    const { vm, vcpu } = out(0x40, 7, 3);
    const recorder = new Recorder();
    vm.ports.add({ at: 0x40, length: 1, posted: true }, recorder);
    expect(vcpu.enter().kind).toBe('hlt');
    expect(recorder.values).toEqual([7, 7, 7]);
  });

  it('ranges come and go, and only theirs are posted', () => {
    const { vm, vcpu } = out(0x48, 1, 6);
    const recorder = new Recorder();
    const claim = vm.ports.add({ at: 0x40, length: 8, posted: true }, new Recorder());
    vm.ports.add({ at: 0x48, length: 8 }, recorder);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x48 });
    claim.remove();
    claim.remove();
    expect(vm.posted.active).toBe(false);
    const post = vm.ports.post({ at: 0x48, length: 1 });
    expect(vcpu.enter().kind).toBe('hlt');
    expect(recorder.values).toEqual([1, 1, 1, 1, 1]); // the first was enter()'s
    post.remove();
    expect(codeOf(() => vm.ports.post({ at: 0x48, length: 0 }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => vm.ports.add({ at: 0x48, length: 1, posted: true }, recorder))).toBe('ERR_HAX_OVERLAP');
    expect(vm.posted.active).toBe(false);
  });

  it("a handler that closes the VM is the last that is called, and what it threw then is nobody's", async () => {
    const { vm, vcpu } = out(0x40, 1, 50);
    let calls = 0;
    const write = (): void => {
      if (++calls < 3) return;
      vm.close();
      throw new Error('too late');
    };
    vm.ports.add({ at: 0x40, length: 1, posted: true }, { read: () => 0, write });
    expect(await vcpu.run()).toEqual({ reason: 'killed' });
    expect([calls, vm.posted.active, vm.posted.waiting]).toEqual([3, false, false]);
  });

  it('a handler that stops the vCPU, fails or wants time ends the run', async () => {
    const run = async (write: () => void | Promise<void>): Promise<unknown> => {
      const { vm, vcpu } = out(0x40, 1, 5);
      vm.ports.add(
        { at: 0x40, length: 1, posted: true, name: 'printer' },
        sink((_value, number) => (number === 3 ? write.call(vcpu) : undefined)),
      );
      return vcpu.run().catch((error: unknown) => error);
    };
    expect(await run(function (this: Vcpu) { this.stop({ reason: 'exit-code', status: 4 }); })).toEqual({ reason: 'exit-code', status: 4 }); // prettier-ignore
    const failed = await run(() => {
      throw new Error('broken');
    });
    expect(failed).toMatchObject({
      code: 'ERR_HAX_DEVICE_FAILED',
      message: expect.stringMatching(/^a posted write to port 0x40 \(printer\) failed at .*broken$/),
    });
    expect(await run(async () => undefined)).toMatchObject({ message: expect.stringContaining('port 0x40 gave a promise') });
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    expect(await run(() => Promise.reject(new Error('late')))).toMatchObject({ message: expect.stringContaining('gave a promise') });
    await delay(1); // rejections that nobody handles are told at the end of a turn
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });

  it('closing with writes that wait, ranges that stay, and a second VM', () => {
    const first = out(0x40, 1, 4);
    const second = out(0x40, 2, 4);
    const recorders = [new Recorder(), new Recorder()];
    const claims = [first, second].map(({ vm }, i) => vm.ports.add({ at: 0x40, length: 1, posted: true }, recorders[i]));
    expect(first.vcpu.enter().kind).toBe('hlt');
    first.vm.close();
    claims[0].remove();
    expect(second.vcpu.enter().kind).toBe('hlt');
    expect(recorders.map(({ values }) => values)).toEqual([[1, 1, 1, 1], [2, 2, 2, 2]]); // prettier-ignore
    second.vcpu.close();
    claims[1].remove();
  });
});

describeEachBackend(
  'posted writes of a guest',
  (backend, host) => {
    it.each([false, true])('are seen before the next exit, ports and addresses among each other; threaded %s', async (threaded) => {
      const source = `mov ax, 0x3000; mov ds, ax; mov al, 1; out 0x40, al; mov byte ptr [0x10], 2; mov al, 3; out 0x41, al
        in al, 0x48; out 0x40, al; mov word ptr [0x20], 0x405; in al, 0x40; mov ax, 0x607; out 0x44, ax; hlt`;
      const { vm, vcpu } = backend.guest('real', source);
      const log = new Log();
      vm.ports.add({ at: 0x40, length: 8, posted: true }, log.device('posted', 9));
      vm.ports.add({ at: 0x48, length: 1 }, log.device('plain', 4));
      vm.mmio.add({ at: 0x30000, length: 0x100, posted: true }, log.device('mmio'));
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'halted' });
      expect(log.entries).toEqual([
        'posted+0=1',
        'mmio+16=2',
        'posted+1=3',
        'plain+0?',
        'posted+0=4',
        'mmio+32=1029',
        'posted+0?',
        'posted+4=1543',
      ]);
      // Two INs and the HLT; the ring of the devices without zones is inline mode's.
      if (!threaded) expect(vcpu.exits.snapshot().handled).toBe(3);
    });

    it('all arrive, in order, where the range is posted while another vCPU is in the guest', async () => {
      const image = guestImage('real', '1: cmp bx, 0; je 1b; out 0x40, al; loop 1b; hlt');
      const vm = backend.vm();
      vm.mapMemory({ gpa: 0, size: ramSize });
      const [spinning, writing] = [0, 1].map((rbx) => {
        const vcpu = vm.createVcpu({ cpus: 2 });
        loadGuest(vm, vcpu, { ...image, state: { ...image.state, rax: 0x55, rbx, rcx: 700 } });
        return vcpu;
      });
      const written: number[] = [];
      const device = sink((value, number) => {
        written.push(value);
        if (number === 100) vm.ports.post({ at: 0x40, length: 1 });
      });
      vm.ports.add({ at: 0x40, length: 1 }, device);
      const spin = spinning.run({ threaded: true });
      expect(await writing.run({ threaded: true })).toEqual({ reason: 'halted' });
      expect(written).toEqual(new Array(700).fill(0x55));
      spinning.stop();
      await spin;
    });

    it.each([false, true])('are seen in time where the range is posted while the guest is in; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', `1: cmp byte ptr [${at.data}], 0; je 1b; out 0x40, al; 2: jmp 2b`);
      vm.ports.add(
        { at: 0x40, length: 1 },
        sink(() => vcpu.stop({ reason: 'exit-code', status: 5 })),
      );
      const run = vcpu.run({ threaded });
      await delay(20);
      vm.ports.post({ at: 0x40, length: 1 });
      vm.memory.writeU8(at.data, 1);
      const late = delay(50_000, undefined, { ref: false }).then(() => vcpu.stop());
      expect(await Promise.race([run, late])).toEqual({ reason: 'exit-code', status: 5 });
    });

    itNeeds(host, 'kernelIrqchip', 'are seen before the end of a guest that nothing can wake', async () => {
      const { vm, vcpu } = backend.guest('real', `1: cmp byte ptr [${at.data}], 0; je 1b; out 0x40, al; cli; hlt`, { irqchip: 'kernel' });
      const recorder = new Recorder();
      vm.ports.add({ at: 0x40, length: 1 }, recorder);
      const run = vcpu.run({ threaded: true });
      await delay(395); // 5 ms before the second look at halted ones
      vm.ports.post({ at: 0x40, length: 1 });
      vm.memory.writeU8(at.data, 1);
      for (const end = Date.now() + 30; Date.now() < end;);
      expect(await run).toEqual({ reason: 'halted' });
      expect(recorder.written.length).toBe(1);
    });

    it.each([false, true])('whose handler stops the vCPU do not lose the access after them; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', `out 0x40, al; in al, 0x41; mov [${at.data}], al; hlt`);
      vm.ports.add(
        { at: 0x40, length: 1, posted: true },
        sink(() => vcpu.stop()),
      );
      vm.ports.add({ at: 0x41, length: 1 }, { read: () => 0x5a, write: () => undefined });
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'killed' });
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'halted' });
      expect(vm.memory.readU8(at.data)).toBe(0x5a);
    });

    it('of 8 bytes, and those that reach beyond their range', async () => {
      const { vm, vcpu } = backend.guest('long64', 'mov rax, 0x1122334455667788; mov [0x30000], rax; mov [0x300fe], eax; hlt');
      const [device, beyond] = [new Recorder(), new Recorder()];
      vm.mmio.add({ at: 0x30000, length: 0x100, posted: true }, device);
      vm.mmio.add({ at: 0x30100, length: 0x100 }, beyond);
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(device.written.map(({ offset, value, width }) => [offset, value, width])).toEqual([
        [0, 0x55667788, 4],
        [4, 0x11223344, 4],
        [0xfe, 0x88, 1],
        [0xff, 0x77, 1],
      ]);
      expect(beyond.values).toEqual([0x66, 0x55]);
    });

    it.each([false, true])('a guest that never exits is seen all the same; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 5; out 0x40, al; 1: jmp 1b');
      vm.ports.add(
        { at: 0x40, length: 1, posted: true },
        sink((status) => vcpu.stop({ reason: 'exit-code', status })),
      );
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'exit-code', status: 5 });
    });

    it.each([false, true])('one whose handler throws ends the run of a guest that spins after it; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 5; out 0x40, al; 1: jmp 1b');
      const broken = sink(() => {
        throw new Error('broken');
      });
      vm.ports.add({ at: 0x40, length: 1, posted: true }, broken);
      const failed = await vcpu.run({ threaded }).catch((error: unknown) => error);
      // On a thread of its own HAXM has an exit for each.
      const message = expect.stringMatching(/^(a posted write|OUT) to port 0x40 failed.*: broken$/);
      expect(failed).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', message });
    });
  },
  { needs: 'guests' },
);
