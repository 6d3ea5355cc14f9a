/** State that HAXM's driver moves otherwise than it says: what it keeps of segments, what it lets a vCPU die of, what strings do to RCX. */
import { debugControl, ramFlags, type CpuStateInit, type Vcpu } from 'node-hax';
import { at } from '../support/guests';
import { describeHaxm, itNeeds } from '../support/hosts';

const fsBase = 0xc0000100;
const gsBase = 0xc0000101;

/** Enters the guest until it halts. */
function untilHalt(vcpu: Vcpu): void {
  for (;;) {
    const { kind } = vcpu.enter();
    if (kind === 'hlt') return;
    if (kind !== 'io') throw new Error(kind);
  }
}

describeHaxm('segments', (backend) => {
  // The guest's own, which are none of the reset's.
  const source = 'mov ax, 0x1234; mov fs, ax; mov gs, ax; mov ss, ax; lgdt [1f]; lidt [1f]; hlt; 1: .word 0x3f; .long 0x9000';

  it('are as they were before the guest has run, when setRegs() says so', () => {
    const { vcpu } = backend.guest('real', source);
    const before = vcpu.haxm.getRegs();
    expect(vcpu.enter().kind).toBe('hlt');
    vcpu.haxm.setRegs(before);
    for (const name of ['ss', 'fs', 'gs', 'gdt', 'idt'] as const) {
      const { selector, base, limit } = before[name];
      expect([name, vcpu.haxm.getRegs()[name]]).toEqual([name, expect.objectContaining({ selector, base, limit })]);
    }
  });

  it('have the base that their MSR was given', () => {
    const { vcpu } = backend.guest('real', source);
    const { fs, gs } = vcpu.getState();
    vcpu.setMsrs([[fsBase, 0x5000], [gsBase, 0x6000]]); // prettier-ignore
    expect([vcpu.getState().fs.base, vcpu.getState().gs.base]).toEqual([0x5000n, 0x6000n]);
    vcpu.setState({ fs, gs });
    expect(vcpu.getMsrs([fsBase, gsBase])).toEqual([fs.base, gs.base]);
  });

  it('keep the rest of what the guest has loaded when their MSR is set', () => {
    const { vcpu } = backend.guest('real', source);
    vcpu.getState();
    expect(vcpu.enter().kind).toBe('hlt');
    vcpu.setMsrs([[fsBase, 0x5000], [gsBase, 0x6000]]); // prettier-ignore
    const { fs, gs } = vcpu.getState();
    expect([fs.selector, fs.base, gs.selector, gs.base]).toEqual([0x1234, 0x5000n, 0x1234, 0x6000n]);
  });
});

describeHaxm('a state in which no processor is entered', (backend) => {
  const canonical = 1n << 47n;
  const refused: [string, CpuStateInit, string][] = [
    ['reserved flags', { rflags: 0x8n }, 'rflags has reserved bits'],
    ['flags above 31', { rflags: 1n << 32n }, 'rflags has reserved bits'],
    ['cr0', { cr0: 1n << 32n }, 'cr0 and cr4 have no bits above 31'],
    ['cr3', { cr3: 1n << 52n }, 'cr3 is no physical address'],
    ['cs', { cs: { attributes: 0x10000 } }, 'cs must be a present segment'],
    ['cs not present', { cs: { attributes: 0x1b } }, 'cs must be a present segment'],
    ['tr', { tr: { attributes: 0 } }, 'tr must be a present task state segment'],
    ['tr unusable', { tr: { attributes: 0x1008b } }, 'tr must be a present task state segment'],
    ['cs.base', { cs: { base: 1n << 32n } }, 'cs.base has no bits above 31'],
    ['es.base', { es: { base: 1n << 32n } }, 'es.base has no bits above 31'],
    ['gs.base', { gs: { base: canonical } }, 'gs.base must be a canonical address'],
    ['gdt.base', { gdt: { base: canonical } }, 'gdt.base must be a canonical address'],
    ['a stack of code', { ss: { attributes: 0x9b } }, 'ss must be a present segment of data that can be written'],
    ['a stack that cannot be written', { ss: { attributes: 0x91 } }, 'ss must be a present segment of data that can be written'],
    ['ds not present', { ds: { attributes: 0x13 } }, 'ds must be a present segment of data, or of code that can be read'],
    ['code that cannot be read', { fs: { attributes: 0x99 } }, 'fs must be a present segment of data, or of code that can be read'],
    ['es of the system', { es: { attributes: 0x83 } }, 'es must be a present segment of data, or of code that can be read'],
    ['ldt', { ldt: { attributes: 0x8b } }, 'ldt must be a present local descriptor table'],
    ['reserved attributes', { gs: { attributes: 0x193 } }, 'gs.attributes has no bits from 8 to 11'],
    ['a limit in pages', { ds: { limit: 0xffffffff } }, 'ds.limit does not go with the bit of granularity (0x8000) in ds.attributes'],
    ['a limit in bytes', { cs: { limit: 0xfff00, attributes: 0x809b } }, 'cs.limit does not go with the bit of granularity'],
  ];
  it.each(refused)('is refused, and the vCPU lives: %s', (_, state, message) => {
    const { vcpu } = backend.guest('real', 'hlt');
    const before = vcpu.getState();
    expect(() => vcpu.setState({ rax: 5, efer: 1, ...state })).toThrow(message);
    expect([vcpu.getState().rax, vcpu.getState().efer]).toEqual([before.rax, before.efer]);
    expect(vcpu.enter().kind).toBe('hlt');
  });

  it('does not come of flags without the one that is always set', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.setState({ rflags: 0 });
    expect(vcpu.getState().rflags).toBe(2n);
    expect(vcpu.enter().kind).toBe('hlt');
  });

  it('is that of PAE paging, which the driver would enter without page-directory pointers', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    expect(() => vcpu.setState({ cr0: 0x80000011n, cr3: 0x9000n, cr4: 0x20n })).toThrow('page-directory pointers of PAE paging');
    expect(vcpu.getState()).toMatchObject({ cr3: 0n, cr4: 0n });
    expect(vcpu.enter().kind).toBe('hlt');
    const registers = vcpu.haxm.getRegs();
    vcpu.haxm.setRegs({ ...registers, cr0: 0x80000011n, cr3: 0x9000n, cr4: 0x20n });
    expect(vcpu.enter().kind).toBe('shutdown');
  });

  it('does not come of segments that have not been accessed', () => {
    const { vcpu } = backend.guest('flat32', 'push eax; pop ebx; mov [0x7000], ebx; hlt');
    const { ss, ds, es } = vcpu.getState();
    vcpu.setState({
      ss: { attributes: ss.attributes & ~1 },
      ds: { attributes: ds.attributes & ~1 },
      es: { attributes: es.attributes & ~3 },
    });
    expect(vcpu.enter().kind).toBe('hlt');
    expect([vcpu.getState().ss.attributes, vcpu.getState().ds.attributes]).toEqual([ss.attributes, ds.attributes]);
  });

  it('may be that of a segment that cannot be used', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.setState({ es: { base: 1n << 32n, attributes: 0x10000 }, ldt: { base: canonical, attributes: 0x10000 } });
    expect(vcpu.enter().kind).toBe('hlt');
  });
});

describeHaxm('EFER', (backend) => {
  it('is what it was set to also with 32-bit paging', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.setState({ cr0: 0x80000011n, cr4: 0x10n, efer: 0x801n });
    expect(vcpu.getState().efer).toBe(0x801n);
  });
});

describeHaxm('RCX', (backend, host) => {
  const source = 'out 0xe9, al; outsb; fs outsw; insb; insw; hlt';
  const repeated = 'rep outsb; rep fs outsb; hlt';

  it.each(['real', 'flat32', 'long64'] as const)('is left alone by strings that are not repeated: %s', (mode) => {
    for (const rcx of [0n, 1n, 2n, 5n, 0x1_0000n]) {
      const { vcpu } = backend.guest(mode, source);
      vcpu.setState({ rcx, rdx: 0xe9, rsi: 0x4000, rdi: 0x5000 });
      untilHalt(vcpu);
      expect([rcx, vcpu.getState().rcx]).toEqual([rcx, rcx]);
    }
  });

  it.each(['real', 'flat32', 'long64'] as const)('is counted down by strings that are repeated: %s', (mode) => {
    for (const rcx of [1n, 2n, 65n]) {
      const { vcpu } = backend.guest(mode, repeated);
      vcpu.setState({ rcx, rdx: 0xe9, rsi: 0x4000 });
      untilHalt(vcpu);
      expect([rcx, vcpu.getState().rcx]).toEqual([rcx, 0n]);
    }
  });

  it('counts a loop of strings', async () => {
    const { vm, vcpu } = backend.guest('real', 'mov cx, 10; 1: outsb; loop 1b; hlt');
    vm.memory.write(
      0x4000,
      Uint8Array.from({ length: 20 }, (_, i) => i),
    );
    vcpu.setState({ rdx: 0xe9, rsi: 0x4000 });
    const written: number[] = [];
    vm.ports.add({ at: 0xe9, length: 1 }, { read: () => 0, write: (_, value) => void written.push(value) });
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(written).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  // One page of 4 MiB, and with PAE one of 2 MiB.
  const paging = {
    '32-bit': 'mov dword ptr [0x9000], 0x83; mov eax, 0x10',
    PAE: 'mov dword ptr [0x9000], 0xa001; mov dword ptr [0xa000], 0x83; mov eax, 0x20',
  };
  for (const kind of ['32-bit', 'PAE'] as const) {
    itNeeds(host, 'paging32', `is left alone by strings, with ${kind} paging`, () => {
      const { vcpu } = backend.guest(
        'flat32',
        `${paging[kind]}; mov cr4, eax; mov eax, 0x9000; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax
         mov ecx, 1; outsb; mov ebx, ecx; rep outsb; hlt`,
      );
      vcpu.setState({ rdx: 0xe9, rsi: 0x4000 });
      untilHalt(vcpu);
      expect([vcpu.getState().rbx, vcpu.getState().rcx]).toEqual([1n, 0n]);
    });
  }
});

describeHaxm('single steps', (backend) => {
  const trap = 0x100n;
  const step = debugControl.enabled | debugControl.step;

  it('go on when flags are set, and are not among them', () => {
    const { vcpu } = backend.guest('real', 'nop; nop; nop; hlt');
    vcpu.haxm.debug({ control: step });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 1) });
    const { rflags } = vcpu.getState();
    expect(rflags & trap).toBe(0n);
    vcpu.setState({ rflags });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 2) });
    vcpu.setState({ rflags: 2 });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 3) });
    vcpu.haxm.debug({ control: 0 });
    expect(vcpu.getState().rflags & trap).toBe(0n);
    expect(vcpu.enter().kind).toBe('hlt');
    expect(vcpu.getState().rflags & trap).toBe(0n);
  });

  it('leave the trap flag that a guest is given without them', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.setState({ rflags: trap | 2n });
    expect(vcpu.getState().rflags & trap).toBe(trap);
    vcpu.haxm.debug({ control: step });
    vcpu.haxm.debug({ control: 0 });
    expect(vcpu.enter().kind).toBe('hlt');
    vcpu.setState({ rflags: trap | 2n });
    expect(vcpu.getState().rflags & trap).toBe(trap);
  });
});

describeHaxm('INT1', (backend) => {
  it('is a debug exception without a cause', () => {
    const { vcpu } = backend.guest('real', 'nop; .byte 0xf1; hlt');
    vcpu.haxm.debug({ control: debugControl.enabled | debugControl.step });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', exception: 1, pc: BigInt(at.code + 1), dr6: 0x4000n });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', exception: 1, pc: BigInt(at.code + 1), dr6: 0n, dr7: 0x400n });
  });
});

describeHaxm('a block that comes and goes with its mapping', (backend) => {
  const map = { paStart: 0x20000, size: 0x2000, flags: ramFlags.standalone };
  const unmap = (paStart: number, size: number): Parameters<Vcpu['vm']['haxm']['setRam2']>[0] => ({
    paStart,
    size,
    va: 0,
    flags: ramFlags.invalid,
  });

  it('is gone when all of it has been unmapped, in pieces too', () => {
    const { haxm } = backend.vm();
    const { va } = haxm.allocate(0x2000);
    haxm.setRam2({ ...map, va });
    haxm.setRam2(unmap(0x21000, 0x1000));
    expect(() => haxm.setRam2({ ...map, va })).toThrow('overlap a registered block');
    haxm.setRam2(unmap(0x1f000, 0x2000));
    haxm.setRam2({ ...map, va });
    haxm.setRam2(unmap(0, 0x100000));
    haxm.addRamblock({ startVa: va, size: 0x2000 });
  });

  it('is gone when another mapping has taken its place', () => {
    const { haxm } = backend.vm();
    const [first, second] = [haxm.allocate(0x2000), haxm.allocate(0x2000)];
    haxm.setRam2({ ...map, va: first.va });
    haxm.setRam2({ ...map, va: second.va });
    expect(() => haxm.setRam({ paStart: 0x30000, size: 0x1000, va: first.va })).toThrow('must lie in one registered block');
    haxm.addRamblock({ startVa: first.va, size: 0x2000 });
  });
});
