/** Drivers that are older, smaller or fail: the model's switches, and what `hax doctor` and the library make of each. */
import { readFileSync } from 'node:fs';
import { commandFile } from '../support/command';
import { describeModel, library, onModel, root, scriptOf } from '../support/haxm-model';
import { kinds } from '../support/sanitized';

interface Report {
  haxm: { usable: boolean; present: boolean; blockedBy: string; apiVersion: number; words: { winfo: number } | null };
  linux: { ok: boolean; reason: string };
  findings: { code: string; message: string; remedy: string }[];
}

function doctor(env: NodeJS.ProcessEnv): Report {
  return JSON.parse(onModel([commandFile, 'doctor', '--json'], env).stdout) as Report;
}

const anything = expect.anything() as unknown;
/** For switches that count RUNs: an interrupt of the host, every 4 ms, would make one more of a RUN that a busy machine lets wait. */
const uninterrupted = { HAXM_MODEL_TICK_US: '0' };
const containing = (text: string): unknown => expect.stringContaining(text);

describeModel('hax doctor tells', () => {
  test('a driver that works', () => {
    const { haxm, findings } = doctor({});
    expect(haxm).toMatchObject({ present: true, usable: true, blockedBy: '', apiVersion: 4, words: { winfo: 0x3ff } });
    expect(findings.filter(({ code }) => code.startsWith('haxm'))).toEqual([]);
  });

  const unusable: [string, NodeJS.ProcessEnv, string, string][] = [
    ['no VT-x', { HAXM_MODEL_NO_VT: '1' }, 'haxm-blocked', 'VT-x is missing, switched off in the firmware, or owned by another hypervisor'],
    ['no NX', { HAXM_MODEL_NO_NX: '1' }, 'haxm-blocked', 'NX (execute disable) is missing or switched off'],
    ['no EPT', { HAXM_MODEL_CAPS: '0x3fe' }, 'haxm-refused', 'lacks extended page tables'],
    ['API version 3', { HAXM_MODEL_API: '3' }, 'api-version', 'speaks HAXM API versions 1 to 3, node-hax needs 4'],
    ['no room for a VM', { HAXM_MODEL_MAX_VMS: '0' }, 'haxm-refused', 'makes no VM'],
    ['a processor that another hypervisor owns', { HAXM_MODEL_FAIL: 'SET_REGS:EFAULT' }, 'haxm-refused', 'another hypervisor'],
    ['a driver whose objects are gone', { HAXM_MODEL_FAIL: 'CREATE_VM:ENODEV' }, 'haxm-refused', 'makes no VM'],
    ['a device without its driver', { HAXM_MODEL_OPEN: 'ENODEV' }, 'haxm-blocked', 'is not there'],
  ];
  test.each(kinds(unusable))('%s', (_, env, code, message) => {
    const { haxm, findings } = doctor(env);
    expect(haxm).toMatchObject({ present: true, usable: false, blockedBy: containing(message) });
    const remedy: unknown = expect.stringMatching(/\S/);
    expect(findings).toContainEqual(expect.objectContaining({ code, message: containing(message), remedy }));
  });

  test('a processor without unrestricted guests', () => {
    const { haxm, linux, findings } = doctor({ HAXM_MODEL_NO_UG: '1' });
    expect(haxm).toMatchObject({ usable: true, blockedBy: '' });
    expect(linux).toMatchObject({ ok: false, reason: containing('runs no guest in real mode') });
    const remedy = containing('--backend kvm');
    expect(findings).toContainEqual(expect.objectContaining({ severity: 'warning', code: 'no-real-mode', remedy }));
  });

  test('no driver at all, which is nothing to put right', () => {
    const { haxm, findings } = doctor({ HAXM_MODEL_OPEN: 'ENOENT' });
    expect(haxm).toMatchObject({ present: false, usable: false, blockedBy: anything });
    expect(findings.filter(({ code }) => code.startsWith('haxm'))).toEqual([]);
  });
});

describeModel('the library', () => {
  // out 0x10, al; hlt
  const guest = '[0xe6, 0x10, 0xf4]';

  test('runs guests with registers of 520 bytes', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.setState({ rax: 0x41, rbx: 7 });
      const kinds = [vcpu.enter().kind, vcpu.enter().kind]; const s = vcpu.getState();
      const raw = vcpu.haxm.getRegs(); vcpu.haxm.setRegs({ ...raw, rcx: 9n });
      return [kinds, s.rbx, raw.dr7, vcpu.haxm.getRegs().rcx];`;
    expect(library(body, { HAXM_MODEL_REGS: '520' })).toEqual([['io', 'hlt'], 7, 0x400, 9]);
  });

  test('says what a guest in real mode lacks', () => {
    const body = `const { vcpu } = guest(h, ${guest}); const { kind } = vcpu.enter();
      return [kind, h.capabilities.features.unrestrictedGuest.reason];`;
    expect(library(body, { HAXM_MODEL_NO_UG: '1' })).toEqual(['fail-entry', containing('real mode cannot be run')]);
  });

  test('tells the quota, or that there is none', () => {
    const body = 'return h.capabilities.features.memoryQuota;';
    expect(library(body, { HAXM_MODEL_QUOTA_MB: '512' })).toEqual({ available: true, value: 512 << 20 });
    expect(library(body, { HAXM_MODEL_QUOTA_MB: '0' })).toMatchObject({ available: false, reason: 'no quota is set' });
  });

  // mov ax, 0xa000; mov ds, ax; mov es, ax; mov si, 0x10; mov di, 0x24; movsw; hlt
  const mover = '[0xb8, 0x00, 0xa0, 0x8e, 0xd8, 0x8e, 0xc0, 0xbe, 0x10, 0x00, 0xbf, 0x24, 0x00, 0xa5, 0xf4]';

  test.each(kinds([undefined, '3', '2']))('shows a move between two devices as a read and a write: direction %s', (direction) => {
    const body = `return [false, true].map((complete) => {
        const { vcpu } = guest(h, ${mover}); const seen = [];
        for (let exit = vcpu.enter(); exit.kind !== 'hlt'; exit = vcpu.enter()) {
          seen.push([exit.kind, exit.direction, exit.address, ...exit.data.slice(0, exit.size)]);
          if (exit.direction === 'in') exit.data.set([0x34, 0x12]);
          if (complete) vcpu.complete();
        }
        return [seen, vcpu.getState().rsi, vcpu.getState().rdi];
      });`;
    const both = [
      ['mmio', 'in', 0xa0010, 0xff, 0xff],
      ['mmio', 'out', 0xa0024, 0x34, 0x12],
    ];
    const env = direction === undefined ? {} : { HAXM_MODEL_MOVES: direction };
    expect(library(body, env)).toEqual([
      [both, 0x12, 0x26],
      [both, 0x12, 0x26],
    ]);
  });

  test('shows a move between two devices by hand as the driver has it', () => {
    const body = `const { vcpu } = guest(h, ${mover}); const run = () => { for (;;) { const e = vcpu.haxm.run(); if (e.status !== 'interrupt') return e; } };
      const { status, direction, gpa, to, size } = run(); return [status, direction, gpa, to, size, run().status];`;
    expect(library(body, { HAXM_MODEL_MOVES: '3' })).toEqual(['fast-mmio', 'move', 0xa0010, 0xa0024, 2, 'hlt']);
  });

  test('goes on where the driver skips a write to ROM and repeats the exit before it', () => {
    // in al, 0x60; mov al, 7; mov [0x1000], al; out 0x10, al; mov [0x1000], al; sti; hlt; mov [0x1000], al; out 0x11, al; hlt
    const code = '[0xe4, 0x60, 0xb0, 7, 0xa2, 0, 0x10, 0xe6, 0x10, 0xa2, 0, 0x10, 0xfb, 0xf4, 0xa2, 0, 0x10, 0xe6, 0x11, 0xf4]';
    const body = `const vm = h.createVm({ irqchip: 'user' }); const vcpu = vm.createVcpu(); const seen = [];
      vm.mapMemory({ gpa: 0, size: 0x1000 }); const rom = vm.mapMemory({ gpa: 0x1000, size: 0x1000, readOnly: true });
      vm.memory.write(0x1000, Uint8Array.from(${code})); vcpu.setState(realMode({ ip: 0x1000 }));
      for (let i = 0; i < 5; i++) {
        const exit = vcpu.enter(); seen.push(exit.kind);
        if (exit.kind === 'io') { seen.push(exit.port); if (exit.direction === 'in') exit.data[0] = 5; else seen.push(exit.data[0]); }
      }
      return [seen, rom.bytes[0]];`;
    const expected = [['io', 0x60, 'io', 0x10, 7, 'hlt', 'io', 0x11, 7, 'hlt'], 0xe4];
    expect(library(body, { HAXM_MODEL_SKIP_ROM_WRITES: '1' })).toEqual(expected);
  });

  const endings: [number, string][] = [
    [1, 'io'],
    [2, 'unknown'],
    [3, 'fail-entry'],
    [5, 'fail-entry'],
    [6, 'hlt'],
    [7, 'shutdown'],
    [10, 'memory-fault'],
    [11, 'debug'],
    [12, 'unknown'],
  ];
  test.each(kinds(endings))('knows what RUN ends with: status %d is %s', (status, kind) => {
    // The first exit fills the record of a port access.
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.enter(); const { kind, rawCode } = vcpu.enter(); return { kind, rawCode };`;
    expect(library(body, { HAXM_MODEL_STATUS: `${status}:2`, ...uninterrupted })).toEqual({ kind, rawCode: status });
  });

  test.each([4, 8])('enters the guest again when RUN ends with status %d', (status) => {
    const body = `const { vcpu } = guest(h, ${guest}); const { kind } = vcpu.enter(); return [kind, vcpu.counters.interrupted, vcpu.counters.entries];`;
    expect(library(body, { HAXM_MODEL_STATUS: `${status}:1:3`, ...uninterrupted })).toEqual(['io', 3, 4]);
  });

  test.each(['ENOENT:3', 'EACCES:2'])('opens nodes that take a moment: %s', (late) => {
    const body = `const { vm, vcpu } = guest(h, ${guest}); const node = h.haxm.createVm(); const second = vm.haxm.vcpuCreate(5);
      const found = [vcpu.enter().kind, node.id, second.id]; node.close(); vm.close(); const again = h.haxm.createVm(); found.push(again.id);
      again.close(); return found;`;
    expect(library(body, { HAXM_MODEL_LATE_NODES: late })).toEqual(['io', 1, 5, 0]);
  });

  test('says so when the node of what it has made cannot be opened', () => {
    const make = `const codes = []; for (const call of [() => h.createVm({ irqchip: 'user' }), () => h.haxm.createVm()])
        try { call(); } catch (e) { codes.push([e.code, e.message]); } return codes;`;
    expect(library(make, { HAXM_MODEL_LATE_NODES: 'EACCES:100000', HAXM_MODEL_LOG: '/dev/null' })).toEqual([
      ['ERR_HAX_NO_PERMISSION', containing('the driver keeps this VM until its module is loaded anew')],
      ['ERR_HAX_IOCTL', containing('the driver keeps it')],
    ]);
  });

  test.each([
    ['OPEN', 'ENOENT', /modprobe haxm/],
    ['OPEN', 'EACCES', /usermod -aG haxm/],
    ['LATE_NODES', 'ENOENT:100000', /the host's \/dev, in which the driver makes its nodes/],
    ['LATE_NODES', 'EACCES:100000', /the owner of the nodes that the driver makes/],
    ['LATE_NODES', 'EACCES:100000:1', /the owner of the nodes that the driver makes/],
  ])('has a remedy for HAXM, not for KVM: %s %s', (name, value, remedy) => {
    const script = `const h = require(${JSON.stringify(root)});
      try { h.Hypervisor.open({ backend: 'haxm' }).createVm().createVcpu(); } catch (e) { console.log(e.hint); }`;
    expect(onModel(['-e', script], { [`HAXM_MODEL_${name}`]: value }).stdout).toMatch(remedy);
  });

  test('says so when the node of a vCPU cannot be opened, and does not ask for it twice', () => {
    const body = `const vm = h.createVm({ irqchip: 'user' }); vm.createVcpu();
      return [1, 1, 0].map((id) => { try { return vm.createVcpu({ id }).id; } catch (e) { return [e.code, e.message]; } });`;
    const { stdout, stderr } = onModel(['-e', scriptOf(body)], { HAXM_MODEL_LATE_NODES: 'EACCES:100000:2', HAXM_MODEL_LOG: '1' });
    expect(JSON.parse(stdout)).toEqual([
      ['ERR_HAX_NO_PERMISSION', containing('the driver keeps this vCPU')],
      ['ERR_HAX_IOCTL', containing('has had a vCPU 1 already')],
      ['ERR_HAX_INVALID_ARGUMENT', containing('has, or had, a vCPU with the id 0')],
    ]);
    // Of the second the kernel would print a warning with a stack trace.
    expect(stderr).not.toMatch('Failed to create vcpu');
  });

  test('makes nothing in the driver that it has no descriptor left to open', () => {
    const script = `const { Hypervisor } = require(${JSON.stringify(root)});
      const { openSync, closeSync } = require('node:fs');
      const h = Hypervisor.open({ backend: 'haxm' });
      const calls = {
        vm: () => h.createVm({ irqchip: 'user' }), vmByHand: () => h.haxm.createVm(),
        vcpu: () => vm.createVcpu({ id: 1 }), vcpuByHand: () => vm.haxm.vcpuCreate(2),
      };
      const vm = h.createVm({ irqchip: 'user' }); vm.createVcpu();
      const codes = {};
      const fill = [];
      try { for (;;) fill.push(openSync('/dev/null', 'r')); } catch {}
      for (const [name, call] of Object.entries(calls)) try { call(); codes[name] = 'made'; } catch (e) { codes[name] = e.errno; }
      fill.forEach((fd) => closeSync(fd));
      console.log(JSON.stringify(codes));`;
    const limited = ['prlimit', '--nofile=200', process.execPath];
    const { status, stdout, stderr } = onModel(['-e', script], { HAXM_MODEL_LOG: '1' }, limited);
    const emfile = 24;
    expect({ status, codes: JSON.parse(stdout) as unknown }).toEqual({
      status: 0,
      codes: { vm: emfile, vmByHand: emfile, vcpu: emfile, vcpuByHand: emfile },
    });
    expect(stderr).not.toMatch(/never opened/);
  });

  test('makes no vCPU twice, whoever made it first', () => {
    const body = `const vm = h.createVm({ irqchip: 'user' }); vm.haxm.vcpuCreate(0); const codes = [];
      for (const id of [0, 3]) try { vm.createVcpu({ id }); } catch (e) { codes.push(e.message); } return codes;`;
    const had = containing('has had a vCPU 0 already');
    expect(library(body, {})).toEqual([had, had]);
  });

  test('says what may be wrong when the driver makes no VM', () => {
    const body = "h.createVm({ irqchip: 'user' });";
    const expected = { code: 'ERR_HAX_IOCTL', message: containing('no room for another VM (64 of all processes together') };
    expect(library(body, { HAXM_MODEL_MAX_VMS: '0' })).toEqual(expected);
    expect(library(body, { HAXM_MODEL_FAIL: 'CREATE_VM:EIO' })).toEqual(expected); // as on Windows
  });

  const named: [string, string, string, string, string][] = [
    ['CREATE_VM:ENOMEM:2', 'h.haxm.createVm()', 'ERR_HAX_IOCTL', 'HAX_IOCTL_CREATE_VM', 'no room for another VM'],
    ['VCPU_CREATE:EINVAL:2', 'vm.haxm.vcpuCreate(1)', 'ERR_HAX_IOCTL', 'HAX_VM_IOCTL_VCPU_CREATE', 'no memory for the vCPU'],
    ['VCPU_CREATE:ENODEV:2', 'vm.haxm.vcpuCreate(1)', 'ERR_HAX_IOCTL', 'HAX_VM_IOCTL_VCPU_CREATE', 'No such device'],
    [
      'PROTECT_RAM:ENOMEM',
      'vm.haxm.protectRam({ paStart: 0, size: 4096, flags: 7 })',
      'ERR_HAX_NO_MEMORY',
      'HAX_VM_IOCTL_PROTECT_RAM',
      'memory',
    ],
    ['GET_FPU:EFAULT', 'vcpu.haxm.getFpu()', 'ERR_HAX_IOCTL', 'HAX_VCPU_IOCTL_GET_FPU', 'Bad address'],
    ['RUN:ENODEV', 'vcpu.haxm.run()', 'ERR_HAX_IOCTL', 'HAX_VCPU_IOCTL_RUN', 'No such device'],
  ];
  test.each(named)('names the call that fails: %s', (failure, call, code, operation, message) => {
    const body = `const { vm, vcpu } = guest(h, ${guest}); try { ${call}; } catch (e) { return [e.code, e.operation, e.message]; }`;
    expect(library(body, { HAXM_MODEL_FAIL: failure })).toEqual([
      code,
      operation,
      expect.stringMatching(new RegExp(`^${operation} failed: .*${message}`)),
    ]);
  });

  test('says what may be wrong when the driver makes no vCPU', () => {
    const body = "h.createVm({ irqchip: 'user' }).createVcpu();";
    const expected = { code: 'ERR_HAX_IOCTL', message: containing('no minor number left for its node') };
    expect(library(body, { HAXM_MODEL_FAIL: 'VCPU_CREATE:EINVAL' })).toEqual(expected);
    expect(library(body, { HAXM_MODEL_FAIL: 'VCPU_CREATE:EIO' })).toEqual(expected); // as on Windows
  });

  test.each(kinds(['512', '520']))('says who may be in the way when the driver cannot load a vCPU: registers of %s bytes', (size) => {
    const body = `const { vcpu } = guest(h, ${guest});`;
    expect(library(body, { HAXM_MODEL_FAIL: 'SET_REGS:EFAULT', HAXM_MODEL_REGS: size })).toEqual({
      code: 'ERR_HAX_IOCTL',
      message: containing('another hypervisor'),
    });
  });

  test('forks while a guest runs, and shares none of its memory', () => {
    const script = `const { Hypervisor, realMode, createSharedMemory } = require(${JSON.stringify(root)});
      const { spawnSync } = require('node:child_process');
      const h = Hypervisor.open({ backend: 'haxm' }); const vm = h.createVm({ irqchip: 'user' });
      vm.mapMemory({ gpa: 0, size: 0x10000 }); vm.mapMemory({ gpa: 0x20000, size: 0x10000, shared: createSharedMemory(0x10000) });
      // 1: inc word ptr [0x2000]; out 0x10, al; jmp 1b
      vm.memory.write(0x1000, Uint8Array.from([0xff, 0x06, 0x00, 0x20, 0xe6, 0x10, 0xeb, 0xf8]));
      const vcpu = vm.createVcpu(); vcpu.setState(realMode({ ip: 0x1000 }));
      let forked = 0;
      const run = vcpu.run({ threaded: process.argv[1] === 'threaded' });
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => undefined });
      const fork = () => {
        forked += spawnSync('true').status === 0;
        const before = vm.memory.readU16(0x2000);
        // If the guest and we saw different memory it would not change here.
        const look = () => {
          if (vm.memory.readU16(0x2000) === before) return setTimeout(look, 10);
          if (forked < 3) return fork();
          vcpu.stop(); run.then(({ reason }) => { console.log(reason, forked); h.close(); });
        };
        look();
      };
      setTimeout(fork, 50);`;
    for (const mode of ['inline', 'threaded']) {
      const { status, stdout, stderr } = onModel(['-e', script, mode], { HAXM_MODEL_FORK: '1' });
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'killed 3\n', stderr: '' });
    }
  });

  test('reports what a vanished vCPU answers', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.enter(); return vcpu.enter();`;
    expect(library(body, { HAXM_MODEL_FAIL: 'RUN:ENODEV:2', ...uninterrupted })).toMatchObject({
      code: 'ERR_HAX_IOCTL',
      message: containing('RUN'),
    });
  });

  test('reports RUN that could not resume an instruction as a shutdown, once', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.enter(); const { kind } = vcpu.enter();
      try { vcpu.enter(); } catch (e) { return [kind, e.code]; }`;
    expect(library(body, { HAXM_MODEL_FAIL: 'RUN:+1:2', ...uninterrupted })).toEqual(['shutdown', 'ERR_HAX_CLOSED']);
  });

  test('leaves nothing mapped when the driver refuses memory', () => {
    const body = `const vm = h.createVm({ irqchip: 'user' }); let code;
      try { vm.mapMemory({ gpa: 0, size: 0x1000 }); } catch (e) { code = e.code; }
      return [code, vm.memory.regions.length];`;
    expect(library(body, { HAXM_MODEL_FAIL: 'SET_RAM2:ENOMEM:1' })).toEqual(['ERR_HAX_NO_MEMORY', 0]);
  });

  test('makes no CPUID call on a processor with SMAP, and the calls where they are said to work', () => {
    if (/ smap /.test(readFileSync('/proc/cpuinfo', 'latin1'))) {
      const body = `const { vcpu } = guest(h, ${guest}); return vcpu.haxm.getCpuid().length;`;
      expect(library(body, { HAXM_MODEL_SMAP: '1' })).toEqual({ code: 'ERR_HAX_UNSUPPORTED', message: containing('SMAP') });
    }
    const calls = `const { vcpu } = guest(h, [0x66, 0xb8, 2, 0, 0, 0x80, 0x0f, 0xa2, 0xf4]);
      const list = vcpu.haxm.getCpuid(); const name = list.find((e) => e.function === 0x80000002);
      vcpu.haxm.setCpuid([{ ...name, eax: 0x64636261 }]);
      const { kind } = vcpu.enter();
      return [list.length, kind, vcpu.getState().rax, vcpu.haxm.getCpuid().find((e) => e.function === 0x80000002).eax];`;
    expect(library(calls, { HAX_HAXM_CPUID: '1' })).toEqual([18, 'hlt', 0x64636261, 0x64636261]);
  });

  test('sees interrupts of the host though the user has as many signals waiting as he may have', () => {
    // The model makes them of signals: refused, a guest whose kick comes right before an entry would run on for ever.
    const script = `
      require('node:child_process').execFileSync('prlimit', ['--sigpending=0', '--pid', String(process.pid)], { env: { PATH: process.env.PATH } });
      const { Hypervisor, realMode } = require(${JSON.stringify(root)});
      const vm = Hypervisor.open({ backend: 'haxm' }).createVm({ irqchip: 'user' });
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      vm.memory.write(0x1000, Uint8Array.of(0xeb, 0xfe));
      const vcpu = vm.createVcpu();
      vcpu.setState(realMode({ ip: 0x1000 }));
      const run = vcpu.run();
      const look = () => (vcpu.counters.interrupted < 3 ? setTimeout(look, 20) : vcpu.stop());
      look();
      run.then(({ reason }) => console.log(reason));`;
    const { stdout, stderr } = onModel(['-e', script], {});
    expect({ stdout, stderr }).toEqual({ stdout: 'killed\n', stderr: '' });
  });
});
