/** What crashes the driver, or the vCPU: that the model shows it to whoever makes the raw calls, and that the library keeps from it. */
import { describeModel, library, onModel, root, scriptOf } from '../support/haxm-model';
import { kinds } from '../support/sanitized';

/** The driver's kernel crashes of `body`, for this reason. */
function expectOops(body: string, reason: string, env: NodeJS.ProcessEnv = {}): void {
  const { signal, stdout, stderr } = onModel(['-e', scriptOf(body)], env);
  expect({ signal, stdout, stderr }).toEqual({
    signal: 'SIGKILL',
    stdout: '',
    stderr: `haxm-model: ${reason}: here the real driver oopses and the process dies\n`,
  });
}

// hlt
const halt = 'const { vm, vcpu } = guest(h, [0xf4]);';
const setFpu = 0x420000c3;
const setMsrs = 0xc20800c1;

const lost = 'haxm-model: SET_REGS keeps debug registers from the processor that were to be loaded';

const without = (text: string): unknown => expect.not.stringContaining(text);

/** How a guest ends that has met a breakpoint, which is then switched off, and what the model says of `after` in its log. */
function afterBreakpoint(after: string): { end: unknown; log: string } {
  // nop; nop; hlt, and for #DB: out 0x10, al; hlt
  const body = `const { vm, vcpu } = guest(h, [0x90, 0x90, 0xf4, 0xe6, 0x10, 0xf4]); vm.memory.writeU32(4, 0x1003);
    vcpu.haxm.debug({ control: 9, dr: { dr0: 0x1001, dr7: 2 } }); const { kind } = vcpu.enter(); if (kind !== 'debug') throw new Error(kind);
    vcpu.haxm.debug({ control: 0 }); ${after}; return vcpu.enter().kind;`;
  const { status, stdout, stderr } = onModel(['-e', scriptOf(body)], { HAXM_MODEL_LOG: '1' });
  expect(status).toBe(0);
  return { end: JSON.parse(stdout), log: stderr };
}

/** A guest that spins and one that exits, on threads of their own, while `changes`, of which each gets a number, are made ten times. */
function whileTwoRun(changes: string, env: NodeJS.ProcessEnv) {
  const script = `const { Hypervisor, realMode, protectFlags } = require(${JSON.stringify(root)});
    const main = async () => {
      const h = Hypervisor.open({ backend: 'haxm' }); const vm = h.createVm({ irqchip: 'user' });
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      vm.memory.write(0x1000, Uint8Array.from([0xe6, 0x10, 0xeb, 0xfc])); // 1: out 0x10, al; jmp 1b
      vm.memory.write(0x2000, Uint8Array.from([0xeb, 0xfe])); // 1: jmp 1b
      let exits = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void exits++ });
      const vcpus = [0x1000, 0x2000].map((ip) => { const vcpu = vm.createVcpu(); vcpu.setState(realMode({ ip })); return vcpu; });
      const memory = vm.haxm.allocate('64K');
      const changes = ${changes};
      const runs = vcpus.map((vcpu) => vcpu.run({ threaded: true }));
      for (let i = 0; i < 10; i++) {
        const before = exits;
        while (exits === before) await new Promise((done) => setTimeout(done, 1));
        for (const change of changes) change(i);
      }
      vcpus.forEach((vcpu) => vcpu.stop());
      console.log((await Promise.all(runs)).map(({ reason }) => reason).join());
      h.close();
    };
    main();`;
  const { status, signal, stdout, stderr } = onModel(['-e', script], env);
  return { status, signal, stdout, stderr };
}

const memoryChanges: [string, string][] = [
  ['regions', '[(i) => { const region = vm.mapMemory({ gpa: 0x20000 + i * 0x1000, size: 0x1000 }); if (i % 2) vm.unmapMemory(region); }]'],
  ['protection', '[(i) => vm.haxm.protectRam({ paStart: 0x8000, size: 0x1000, flags: i % 2 ? protectFlags.all : protectFlags.none })]'],
  [
    'raw calls',
    '[(i) => { vm.haxm.addRamblock({ startVa: memory.va + BigInt(i * 0x1000), size: 0x1000 }); vm.haxm.setRam({ paStart: 0x20000, size: 0x1000, va: memory.va + BigInt(i * 0x1000) }); }]',
  ],
];

describeModel('the library lets no vCPU run while memory changes', () => {
  test.each(kinds(memoryChanges))('%s', (_, changes) => {
    for (const tick of ['4000', '200']) {
      const end = whileTwoRun(changes, { HAXM_MODEL_TICK_US: tick });
      expect(end).toEqual({ status: 0, signal: null, stdout: 'killed,killed\n', stderr: '' });
    }
  });
});

describeModel('the library keeps the vCPU from it', () => {
  test('registers that are set after a breakpoint was switched off, which would stay on', () => {
    expect(afterBreakpoint('vcpu.setState({ rax: 1 })')).toEqual({ end: 'hlt', log: without(lost) });
  });

  test('registers that are set after debug registers were, by hand', () => {
    const after = 'vcpu.haxm.setRegs({ ...vcpu.haxm.getRegs(), dr1: 5n }); vcpu.setState({ rax: 1 })';
    expect(afterBreakpoint(after)).toEqual({ end: 'hlt', log: without(lost) });
  });
});

describeModel('the model shows', () => {
  test('debug registers that a SET_REGS by hand keeps from the processor', () => {
    // Where KVM gives a guest no breakpoints it does not meet this one either.
    const end: unknown = expect.stringMatching(/^(io|hlt)$/);
    expect(afterBreakpoint('vcpu.haxm.setRegs(vcpu.haxm.getRegs())')).toEqual({ end, log: expect.stringContaining(lost) as unknown });
  });

  test('a RUN with reserved bits in MXCSR, which nobody has looked at', () => {
    const body = `${halt} const image = Buffer.from(vcpu.getFpu()); image[26] = 1; vcpu.ioctl(${setFpu}, image); vcpu.enter();`;
    expectOops(body, 'RUN with reserved bits in MXCSR');
  });

  // mov ax, 0x2000; mov es, ax; mov ds, ax; mov dx, 0x60; mov cx, 2; xor di, di; then the bytes; hlt
  const prologue = [0xb8, 0, 0x20, 0x8e, 0xc0, 0x8e, 0xd8, 0xba, 0x60, 0, 0xb9, 2, 0, 0x31, 0xff];
  const written: [string, number[], string[]][] = [
    ['stosb', [0xaa], ['mmio', 'hlt']],
    ['rep stosb', [0xf3, 0xaa], ['shutdown']],
    ['movsb', [0xa4], ['shutdown']],
    ['pop [0x10]', [0x8f, 0x06, 0x10, 0], ['shutdown']],
    ['insb', [0x6c], ['io', 'shutdown']],
  ];
  test.each(kinds(written))('what %s into ROM comes to', (_, bytes, expected) => {
    const body = `const { vm, vcpu } = guest(h, ${JSON.stringify([...prologue, ...bytes, 0xf4])}); vcpu.setState({ rsp: 0x8000 });
      vm.mapMemory({ gpa: 0x20000, size: 0x1000, readOnly: true });
      const kinds = []; do kinds.push(vcpu.enter().kind); while (kinds.length < 5 && !/hlt|shutdown/.test(kinds.at(-1))); return kinds;`;
    expect(library(body, {})).toEqual(expected);
  });

  test('a vCPU that dies of an address in an MSR that no processor loads', () => {
    const list = Buffer.alloc(520);
    list.writeUInt16LE(1, 0);
    list.writeBigUInt64LE(0xc0000082n, 8);
    list.writeBigUInt64LE(1n << 47n, 16);
    const body = `${halt} vcpu.ioctl(${setMsrs}, Buffer.from('${list.toString('hex')}', 'hex'));
      return [vcpu.haxm.getMsrs([0xc0000082])[0], vcpu.enter().kind];`;
    expect(library(body, {})).toEqual([2 ** 47, 'shutdown']);
  });
});
