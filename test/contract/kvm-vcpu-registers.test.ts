/** The calls for a vCPU's registers and what else belongs to its state, beside what the native side shows of it. */
import { flat32, kvmConstants as C, long64, type Vcpu } from 'node-hax';
import { codeOf } from '../support/codes';
import { at, generalRegisters } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { EINVAL, ENXIO, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vcpu-registers');

const segments = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const controls = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const;

interface KvmSegment {
  base: bigint;
  limit: number;
  selector: number;
  type: number;
  present: number;
  dpl: number;
  db: number;
  s: number;
  l: number;
  g: number;
  avl: number;
  unusable: number;
}

/** The segment as the native side, which has its layout from the compiler, shows it. */
const shown = (s: KvmSegment): object => ({
  base: s.base,
  limit: s.limit,
  selector: s.selector,
  attributes:
    s.type | (s.s << 4) | (s.dpl << 5) | (s.present << 7) | (s.avl << 12) | (s.l << 13) | (s.db << 14) | (s.g << 15) | (s.unusable << 16),
});

/** Every segment different in every member. */
function variety(vcpu: Vcpu): void {
  vcpu.setState(flat32({ ip: at.code }));
  const segment = (i: number, attributes: number): object => ({
    base: 0x11223300n + BigInt(i),
    limit: 0xfff00 + i,
    selector: 0x1108 + 8 * i,
    attributes,
  });
  const wanted = { ds: 0x0093, es: 0x50f3, fs: 0x10f1, gs: 0x40b3, tr: 0x008b, ldt: 0x10000 };
  vcpu.setState(Object.fromEntries(Object.entries(wanted).map(([name, attributes], i) => [name, segment(i, attributes)])));
  vcpu.setState({
    gdt: { base: 0x1234_5678n, limit: 0x1357 },
    idt: { base: 0x2345_6789n, limit: 0x2468 },
    cr2: 0xdeadb000n,
    cr3: 0x12345000n,
  });
  vcpu.setState({ cr8: 9n, cr4: 0x620n });
}

describeKvm("KVM's calls: registers of a vCPU", (backend) => {
  it.each(['user', 'kernel'] as const)('CR8 outlives the entries after it was set (irqchip: %s)', (irqchip) => {
    const { vcpu } = backend.guest('real', '1: out 0x10, al; jmp 1b', { irqchip });
    for (const cr8 of [9n, 0n, 15n]) {
      vcpu.setState({ cr8 });
      expect(vcpu.enter().kind).toBe('io');
      expect(vcpu.getState().cr8).toBe(cr8);
    }
  });

  it('KVM_GET_REGS, KVM_SET_REGS', () => {
    const vcpu = backend.vm().createVcpu();
    const wanted = Object.fromEntries(generalRegisters.map((name, i) => [name, 0x0101_0203_0405_0607n * BigInt(i + 1)])) as never;
    vcpu.kvm.setRegs({ ...(wanted as object), rflags: 0xad7 } as never);
    expect(vcpu.getState()).toMatchObject({ ...(wanted as object), rflags: 0xad7n });
    expect(vcpu.kvm.getRegs()).toEqual({ ...(wanted as object), rflags: 0xad7n });
    for (const wrong of [{}, { ...(wanted as object), rflags: -1 }, { ...(wanted as object), rflags: 2, eax: 1 }]) {
      expect(codeOf(() => vcpu.kvm.setRegs(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(vcpu.getState().rflags).toBe(0xad7n);
  });

  const same = (vcpu: Vcpu, sregs: Record<string, unknown>): void => {
    const state = vcpu.getState();
    for (const name of segments) expect([name, shown(sregs[name] as KvmSegment)]).toEqual([name, { ...state[name] }]);
    for (const name of ['gdt', 'idt'] as const) expect(sregs[name]).toEqual({ ...state[name] });
    for (const name of controls) expect([name, sregs[name]]).toEqual([name, state[name]]);
    expect(sregs.apic_base).toBe(state.apicBase);
  };

  it('KVM_GET_SREGS, KVM_SET_SREGS', () => {
    const [vcpu, other] = [backend.vm().createVcpu(), backend.vm().createVcpu()];
    variety(vcpu);
    const sregs = vcpu.kvm.getSregs();
    same(vcpu, { ...sregs });
    other.kvm.setSregs(sregs);
    same(other, { ...sregs });
    vcpu.kvm.setSregs({ ...sregs, efer: 1 });
    same(vcpu, { ...sregs, efer: 1n });
    expect(refusal(() => vcpu.kvm.setSregs({ ...sregs, cr4: 1n << 40n }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vcpu.kvm.interrupt(0x61);
    expect(vcpu.kvm.getSregs().interrupt_bitmap).toEqual([0n, 1n << 33n, 0n, 0n]);
  });

  it('KVM_GET_SREGS2, KVM_SET_SREGS2', () => {
    const [vcpu, other] = [backend.vm().createVcpu(), backend.vm().createVcpu()];
    if (lacks(backend.open().kvm, 'KVM_CAP_SREGS2', () => vcpu.kvm.getSregs2())) return;
    variety(vcpu);
    const sregs = vcpu.kvm.getSregs2();
    same(vcpu, { ...sregs });
    other.kvm.setSregs2(sregs);
    same(other, { ...sregs });
    // PAE: the pointers to the page directories belong to the state.
    const pdptrs = [0x1001n, 0x2001n, 0x3001n, 0x4001n];
    const pae = { ...sregs, cr0: 0x80000011n, cr4: 0x20n, efer: 0n, flags: C.KVM_SREGS2_FLAGS_PDPTRS_VALID, pdptrs };
    if (refusal(() => other.kvm.setSregs2(pae)) === 'nothing') {
      const { flags, pdptrs: got } = other.kvm.getSregs2();
      if (flags === 1n) expect(got).toEqual(pdptrs);
    }
    expect(refusal(() => other.kvm.setSregs2({ ...sregs, flags: 1n << 63n }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_GET_FPU, KVM_SET_FPU', () => {
    const vcpu = backend.vm().createVcpu();
    const fpr = Uint8Array.from({ length: 128 }, (_, i) => (i % 16 < 10 ? (i * 7 + 1) & 0xff : 0));
    const xmm = Uint8Array.from({ length: 256 }, (_, i) => (i * 11 + 3) & 0xff);
    const wanted = { fpr, fcw: 0x27f, fsw: 0x3801, ftwx: 0x81, last_opcode: 0x345, last_ip: 0x1122_3344n, last_dp: 0x5566_7788n, xmm };
    // XSTATE_BV says that x87 and SSE hold something: without it the kernel shows their initial state.
    const area = vcpu.kvm.getXsave();
    area[512] |= 3;
    vcpu.kvm.setXsave(area);
    vcpu.kvm.setFpu({ ...wanted, mxcsr: 0x1f80 });
    const image = Buffer.from(vcpu.getFpu());
    expect([image.readUInt16LE(0), image.readUInt16LE(2), image[4], image.readUInt16LE(6)]).toEqual([0x27f, 0x3801, 0x81, 0x345]);
    expect([image.readBigUInt64LE(8), image.readBigUInt64LE(16)]).toEqual([0x1122_3344n, 0x5566_7788n]);
    expect(image.subarray(32, 160).toString('hex')).toBe(Buffer.from(fpr).toString('hex'));
    expect(image.subarray(160, 416).toString('hex')).toBe(Buffer.from(xmm).toString('hex'));
    expect(vcpu.kvm.getFpu()).toMatchObject(wanted);
  });

  it('KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XSAVE2', () => {
    const vcpu = backend.vm().createVcpu();
    const area = vcpu.kvm.getXsave();
    area.set([1, 2, 3, 4, 5, 6, 7, 8], 160); // XMM0
    area[512] |= 3;
    vcpu.kvm.setXsave(area);
    expect([...vcpu.getFpu().subarray(160, 168)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(codeOf(() => vcpu.kvm.setXsave(new Uint8Array(4095)))).toBe('ERR_HAX_INVALID_ARGUMENT');
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_XSAVE2', () => vcpu.kvm.getXsave2())) return;
    const whole = vcpu.kvm.getXsave2();
    expect(whole.length).toBe(vcpu.vm.kvm.checkExtension('KVM_CAP_XSAVE2'));
    expect(Buffer.compare(whole.subarray(0, 576), vcpu.kvm.getXsave().subarray(0, 576))).toBe(0);
    vcpu.kvm.setXsave(whole);
  });

  it('KVM_GET_XCRS, KVM_SET_XCRS', () => {
    const vcpu = backend.vm().createVcpu();
    const { xcrs, nr_xcrs } = vcpu.kvm.getXcrs();
    expect([nr_xcrs, xcrs[0]]).toEqual([1, { xcr: 0, value: 1n }]);
    const set = (flags: number, ...list: object[]): string =>
      refusal(() => vcpu.kvm.setXcrs({ nr_xcrs: list.length, flags, xcrs: list as never }));
    expect(set(0, { xcr: 0, value: 3 })).toBe('nothing');
    expect(vcpu.kvm.getXcrs().xcrs[0].value).toBe(3n);
    expect(set(0, { xcr: 5, value: 0 }, { xcr: 0, value: 1 })).toBe('nothing');
    expect(vcpu.kvm.getXcrs().xcrs[0].value).toBe(1n);
    expect(set(0x01000000, { xcr: 0, value: 3 })).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(set(0, { xcr: 0, value: 2 })).toBe(`ERR_HAX_IOCTL ${EINVAL}`); // SSE without x87
    expect(codeOf(() => vcpu.kvm.setXcrs({ nr_xcrs: 1, flags: 0, xcrs: new Array(17).fill({ xcr: 0, value: 1 }) }))).toBe(
      'ERR_HAX_INVALID_ARGUMENT',
    );
  });

  it('KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, and the guest sees them', () => {
    const { vm, vcpu } = backend.guest(
      'long64',
      `mov rax, dr0; mov [0x7000], rax; mov rax, dr1; mov [0x7008], rax; mov rax, dr2; mov [0x7010], rax
       mov rax, dr3; mov [0x7018], rax; mov rax, 0x1234; mov dr0, rax; hlt`,
    );
    const db = [0x1111_2222_3333n, 0x2222_3333_4444n, 0x3333_4444_5555n, 0x4444_5555_6666n];
    vcpu.kvm.setDebugregs({ db, dr6: 0xffff4ff1n, dr7: 0x455n << 1n | 0x400n, flags: 0 }); // prettier-ignore
    expect(vcpu.kvm.getDebugregs()).toMatchObject({ db, dr6: 0xffff4ff1n, flags: 0n });
    vcpu.kvm.setDebugregs({ db, dr6: 0xffff0ff0n, dr7: 0x400, flags: 0 });
    expect(vcpu.enter().kind).toBe('hlt');
    expect([0, 8, 16, 24].map((offset) => vm.memory.readU64(0x7000 + offset))).toEqual(db);
    expect(vcpu.kvm.getDebugregs()).toMatchObject({ db: [0x1234n, ...db.slice(1)], dr7: 0x400n });
    expect(refusal(() => vcpu.kvm.setDebugregs({ db, dr6: 1n << 32n, dr7: 0x400, flags: 0 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => vcpu.kvm.setDebugregs({ db, dr6: 0, dr7: 0x400, flags: 1n << 63n }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_GET_MSRS, KVM_SET_MSRS', () => {
    const vcpu = backend.vm().createVcpu();
    const wanted = [{ index: 0x174, data: 0x1122n }, { index: 0xc0000082, data: 0xffff_ffff_8134_5678n }]; // prettier-ignore
    expect(vcpu.kvm.setMsrs([...wanted, { index: 0x4000beef, data: 1 }])).toBe(2);
    expect(vcpu.getMsrs([0x174, 0xc0000082])).toEqual([0x1122n, 0xffff_ffff_8134_5678n]);
    expect(vcpu.kvm.getMsrs([0x174, 0xc0000082, 0x4000beef, 0x174])).toEqual(wanted);
    expect(codeOf(() => vcpu.kvm.getMsrs(5 as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(vcpu.kvm.getMsrs(new Array<number>(255).fill(0x174)).length).toBe(255);
    expect(codeOf(() => vcpu.kvm.getMsrs(new Array<number>(256).fill(0x174)))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_GET_CPUID2, KVM_SET_CPUID2', () => {
    const { vcpu } = backend.guest('real', 'mov eax, 0x40000010; mov ecx, 0; cpuid; hlt');
    const entry = { function: 0x40000010, index: 0, flags: 0, eax: 0x11223344, ebx: 0x55667788, ecx: 0x99aabbcc, edx: 0xddeeff01 };
    const table = [...vcpu.vm.hypervisor.supportedCpuid().filter((e) => e.function < 0x40000000), entry];
    const indexed = { function: 0x40000011, index: 0x7654321, flags: 1, eax: 5, ebx: 6, ecx: 7, edx: 8 };
    vcpu.kvm.setCpuid2([...table, indexed]);
    expect(vcpu.kvm.getCpuid2()).toEqual(expect.arrayContaining([entry, indexed]));
    expect(vcpu.enter().kind).toBe('hlt');
    const { rax, rbx, rcx, rdx } = vcpu.getState();
    expect([rax, rbx, rcx, rdx].map((value) => Number(value & 0xffffffffn))).toEqual([entry.eax, entry.ebx, entry.ecx, entry.edx]);
    expect(codeOf(() => vcpu.kvm.setCpuid2(new Array(257).fill(entry)))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_GET_LAPIC, KVM_SET_LAPIC', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    const vcpu = vm.createVcpu();
    vcpu.kvm.setMpState(C.KVM_MP_STATE_HALTED);
    expect([vcpu.mpState, vcpu.kvm.getMpState()]).toEqual(['halted', C.KVM_MP_STATE_HALTED]);
    const lapic = vcpu.kvm.getLapic();
    expect([lapic.length, lapic[0x30] & 0xf0]).toEqual([1024, 0x10]); // the version register
    lapic[0x80] = 0x70; // task priority
    vcpu.kvm.setLapic(lapic);
    expect([vcpu.kvm.getLapic()[0x80], vcpu.getState().cr8]).toEqual([0x70, 7n]);
    expect(codeOf(() => vcpu.kvm.setLapic(new Uint8Array(1023)))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(refusal(() => backend.vm().createVcpu().kvm.getLapic())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ', () => {
    const { kvm } = backend.vm().createVcpu();
    const rate = kvm.getTscKhz();
    expect(rate).toBeGreaterThan(100_000);
    kvm.setTscKhz(rate);
    expect(kvm.getTscKhz()).toBe(rate);
    expect(codeOf(() => kvm.setTscKhz(-1))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_GET_NESTED_STATE, KVM_SET_NESTED_STATE', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    expect(codeOf(() => kvm.setNestedState(new Uint8Array(127)))).toBe('ERR_HAX_INVALID_ARGUMENT');
    const nothing = new Uint8Array(128).fill(128, 4, 5);
    lacks(vm.kvm, 'KVM_CAP_NESTED_STATE', () => kvm.setNestedState(nothing));
    if (lacks(vm.kvm, 'KVM_CAP_NESTED_STATE', () => kvm.getNestedState())) return;
    const state = kvm.getNestedState();
    expect(state.size).toBe(state.bytes.length);
    // VMX has no flags yet, SVM that the global interrupt flag is set.
    expect([[0, 0], [1, 0x100]]).toContainEqual([state.format, state.flags]); // prettier-ignore
    kvm.setNestedState(state.bytes);
    expect(kvm.getNestedState()).toEqual(state);
  });

  it('KVM_TRANSLATE', () => {
    const { vm, vcpu } = backend.guest('long64', 'hlt');
    vm.memory.writeU64(at.pageTables + 0x2000 + 8, 0x40_0000n | 0xe5n); // 2 MiB and up: 4 MiB, for users, read-only
    vcpu.setState(long64({ ip: at.code, cr3: at.pageTables }));
    const there = vcpu.kvm.translate(0x21_2345);
    expect([there.linear_address, there.physical_address, there.valid]).toEqual([0x21_2345n, 0x41_2345n, 1]);
    expect(vcpu.kvm.translate(1n << 46n).valid).toBe(0);
  });

  it('device attributes: the offset of the TSC', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_VCPU_ATTRIBUTES', () => kvm.hasDeviceAttr(0, 0))) return;
    expect([kvm.hasDeviceAttr(0, 0), kvm.hasDeviceAttr(0, 99)]).toEqual([true, false]);
    kvm.setDeviceAttr(0, 0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    // A software KVM has no offset of its own and reads as zero.
    expect(['0102030405060708', '0000000000000000']).toContain(Buffer.from(kvm.getDeviceAttr(0, 0, 8)).toString('hex'));
    // The kernel moves 8 bytes, whatever is asked for.
    const whole = kvm.getDeviceAttr(0, 0, 8);
    expect([0, 1, 20].map((size) => [...kvm.getDeviceAttr(0, 0, size)])).toEqual([
      [],
      [whole[0]],
      [...whole, ...new Array<number>(12).fill(0)],
    ]);
    kvm.setDeviceAttr(0, 0, Uint8Array.of(9));
    expect(['0900000000000000', '0000000000000000']).toContain(Buffer.from(kvm.getDeviceAttr(0, 0, 8)).toString('hex'));
    expect(refusal(() => kvm.getDeviceAttr(0, 99, 8))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    expect(refusal(() => kvm.getDeviceAttr(77, 0, 8))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });
});
