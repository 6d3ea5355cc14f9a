import { allocateMemory, flat32, kvmConstants as C, long64, type Vcpu } from 'node-hax';
import { codeOf } from '../support/codes';
import { at } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { EINVAL, ENXIO, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vcpu');

/** SIGRTMIN + 7 where HAX_KICK_SIGNAL does not say otherwise (docs/run-loop.md). */
const kickSignal = Number(process.env.HAX_KICK_SIGNAL ?? 41);

const general = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rsp',
  'rbp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
] as const;
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
    const wanted = Object.fromEntries(general.map((name, i) => [name, 0x0101_0203_0405_0607n * BigInt(i + 1)])) as never;
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

describeKvm("KVM's calls: events of a vCPU", (backend, host) => {
  it('KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS', () => {
    const { vm, vcpu } = backend.guest('real', '1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(2 * 4, Uint8Array.of(0, 0x11, 0, 0)); // NMI: 0:1100
    const events = vcpu.kvm.getVcpuEvents();
    expect(events.nmi).toEqual({ injected: 0, pending: 0, masked: 0 });
    vcpu.kvm.setVcpuEvents({ ...events, nmi: { injected: 0, pending: 1, masked: 0 }, flags: C.KVM_VCPUEVENT_VALID_NMI_PENDING });
    expect(vcpu.kvm.getVcpuEvents().nmi.pending).toBe(1);
    const exit = vcpu.enter();
    expect([exit.kind, 'port' in exit && exit.port]).toEqual(['io', 0xe9]);
    expect(vcpu.kvm.getVcpuEvents().nmi).toMatchObject({ masked: 1, pending: 0 });
    vcpu.complete();

    const set = (change: object): void => vcpu.kvm.setVcpuEvents({ ...events, ...change });
    set({ exception: { injected: 1, nr: 14, has_error_code: 1, pending: 0, error_code: 0x12345 } });
    expect(vcpu.kvm.getVcpuEvents().exception).toMatchObject({ nr: 14, has_error_code: 1, error_code: 0x12345 });
    set({ interrupt: { injected: 1, nr: 0x42, soft: 0, shadow: 0 } });
    expect(vcpu.kvm.getVcpuEvents().interrupt).toMatchObject({ injected: 1, nr: 0x42, soft: 0 });
    set({ interrupt: { injected: 0, nr: 0, soft: 0, shadow: 2 }, flags: C.KVM_VCPUEVENT_VALID_SHADOW });
    expect(vcpu.kvm.getVcpuEvents().interrupt.shadow & 2).toBe(2); // AMD knows one kind, which is both
    set({ nmi: { injected: 1, pending: 0, masked: 1 } });
    expect(vcpu.kvm.getVcpuEvents().nmi).toMatchObject({ injected: 1, masked: 1 });
    expect(refusal(() => set({ flags: 1 << 30 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => set({ exception: { injected: 1, nr: 99, has_error_code: 0, pending: 0, error_code: 0 } }))).toBe(
      `ERR_HAX_IOCTL ${EINVAL}`,
    );
  });

  it('events with a payload, and the triple fault', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    vm.kvm.enableCap('KVM_CAP_EXCEPTION_PAYLOAD', [1]);
    const events = kvm.getVcpuEvents();
    const exception = { injected: 0, nr: 14, has_error_code: 1, pending: 1, error_code: 2 };
    const payload = { exception_has_payload: 1, exception_payload: 0x1122_3344_5566n };
    kvm.setVcpuEvents({ ...events, exception, ...payload, flags: C.KVM_VCPUEVENT_VALID_PAYLOAD });
    expect(kvm.getVcpuEvents()).toMatchObject({ exception, ...payload });
    if (lacks(vm.kvm, 'KVM_CAP_X86_TRIPLE_FAULT_EVENT', () => vm.kvm.enableCap('KVM_CAP_X86_TRIPLE_FAULT_EVENT', [1]))) return;
    vm.kvm.enableCap('KVM_CAP_X86_TRIPLE_FAULT_EVENT', [1]);
    kvm.setVcpuEvents({ ...events, triple_fault: { pending: 1 }, flags: C.KVM_VCPUEVENT_VALID_TRIPLE_FAULT });
    expect(kvm.getVcpuEvents().triple_fault.pending).toBe(1);
  });

  it('a SIPI vector of the kernel’s own APIC', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    const kvm = (vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })).kvm;
    const events = kvm.getVcpuEvents();
    kvm.setVcpuEvents({ ...events, sipi_vector: 0x12, flags: C.KVM_VCPUEVENT_VALID_SIPI_VECTOR });
    kvm.setMpState(C.KVM_MP_STATE_SIPI_RECEIVED);
    expect(refusal(() => kvm.getVcpuEvents())).toBe('nothing');
  });

  it('KVM_NMI reaches the guest', () => {
    const { vm, vcpu } = backend.guest('real', '1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(2 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vcpu.kvm.nmi();
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });
  });

  it('KVM_SMI', () => {
    const { vm, kvm } = backend.vm({ irqchip: 'kernel' }).createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_X86_SMM', () => kvm.smi())) return;
    kvm.smi();
    expect(kvm.getVcpuEvents().smi.pending).toBe(1);
    const events = kvm.getVcpuEvents();
    for (const [smm_inside_nmi, latched_init] of [
      [1, 0],
      [0, 1],
    ]) {
      // prettier-ignore
      const smi = { smm: 1, pending: 0, smm_inside_nmi, latched_init };
      kvm.setVcpuEvents({ ...events, smi, flags: C.KVM_VCPUEVENT_VALID_SMM });
      expect(kvm.getVcpuEvents().smi).toEqual(smi);
    }
  });

  it('KVM_SMI reaches the guest, in memory of its own, and the guest comes back from it', () => {
    const { vm, vcpu } = backend.guest('real', '1: out 0x11, al; jmp 1b');
    if (lacks(vm.kvm, 'KVM_CAP_X86_SMM', () => vcpu.kvm.smi())) return;
    expect(vm.kvm.checkExtension('KVM_CAP_MULTI_ADDRESS_SPACE')).toBe(2);
    // SMM has the second address space. The handler is at SMBASE + 0x8000 (AMD APM vol. 2, 10.2.3): out 0x10, al; rsm.
    const bytes = allocateMemory(0x10000);
    bytes.set([0xe6, 0x10, 0x0f, 0xaa], 0x8000);
    const region = { flags: 0, guest_phys_addr: 0x30000, memory_size: bytes.length, userspace_addr: bytes };
    vm.kvm.setUserMemoryRegion({ ...region, slot: 1 << 16 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    vcpu.kvm.smi();
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(vcpu.kvm.getVcpuEvents().smi.smm).toBe(1);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    expect(vcpu.kvm.getVcpuEvents().smi.smm).toBe(0);
  });

  it('KVM_INTERRUPT reaches the guest', () => {
    const { vm, vcpu } = backend.guest('real', 'sti; 1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(0x42 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vcpu.setState({ rflags: 0x202n });
    vcpu.kvm.interrupt(0x42);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });
    expect(refusal(() => vcpu.kvm.interrupt(256))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => vcpu.kvm.interrupt(-1))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(refusal(() => backend.vm({ irqchip: 'kernel' }).createVcpu().kvm.interrupt(5))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });

  it('KVM_SET_GUEST_DEBUG: single steps and breakpoints in registers', () => {
    const { vcpu } = backend.guest('real', 'nop; nop; inc ax; inc ax; hlt');
    const debug = (control: number, debugreg: readonly number[] = []): void =>
      vcpu.kvm.setGuestDebug({ control: control | (control ? C.KVM_GUESTDBG_ENABLE : 0), arch: { debugreg } });
    debug(C.KVM_GUESTDBG_SINGLESTEP);
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 1) });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 2) });
    debug(C.KVM_GUESTDBG_USE_HW_BP, [0, 0, 0, at.code + 3, 0, 0, 0, 0x4c0]); // the fourth, local and global
    const exit = vcpu.enter();
    // An emulated SVM never fires them: the guest goes on to its end.
    if (exit.kind === 'debug') expect(exit.pc).toBe(BigInt(at.code + 3));
    else expect([exit.kind, host.can.paging32]).toEqual(['hlt', true]);
    debug(0);
    if (exit.kind === 'debug') expect(vcpu.enter().kind).toBe('hlt');
    expect(codeOf(() => debug(0, new Array(9).fill(0)))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_KVMCLOCK_CTRL tells a guest that has kvmclock that it was stopped', () => {
    const { vm, vcpu } = backend.guest('real', '1: out 0x10, al; jmp 1b');
    expect(refusal(() => vcpu.kvm.kvmclockCtrl())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vcpu.setMsrs([[0x4b564d01, 0x3001n]]); // MSR_KVM_SYSTEM_TIME_NEW, enabled
    // The flags of struct pvclock_vcpu_time_info: PVCLOCK_GUEST_STOPPED is bit 1.
    const stopped = (): number => (vcpu.enter(), vm.memory.read(0x3000 + 29, 1)[0] & 2);
    expect(stopped()).toBe(0);
    vcpu.kvm.kvmclockCtrl();
    expect(stopped()).toBe(2);
  });

  it('KVM_SET_SIGNAL_MASK takes a set of signals', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.kvm.setSignalMask([1, 17, 64]);
    expect(vcpu.enter().kind).toBe('hlt');
    for (const wrong of [[0], [65], [1.5], 5, null])
      expect(codeOf(() => vcpu.kvm.setSignalMask(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_SET_SIGNAL_MASK keeps kicks out of the guest, until the mask is taken away', () => {
    const { vcpu } = backend.guest('flat32', 'dec ecx; jnz 0x1000; hlt');
    // While enter() blocks, the watcher kicks it every 20 ms, so that a worker can be terminated.
    const kicks = (rcx: number): number => {
      const before = vcpu.counters.kicks;
      vcpu.setState({ rip: at.code, rcx });
      expect(vcpu.enter().kind).toBe('hlt');
      return vcpu.counters.kicks - before;
    };
    // A busy machine can make any guest take long once: what the count needs is looked for anew, by the guest that was long enough.
    let rcx = 0x20000;
    const untilKicked = (): void => {
      while (kicks(rcx) < 6) rcx *= 2;
    };
    untilKicked();
    vcpu.kvm.setSignalMask([kickSignal]);
    expect(kicks(rcx)).toBeLessThan(3);
    vcpu.kvm.setSignalMask(undefined);
    untilKicked();
  });

  it('KVM_X86_SETUP_MCE, KVM_X86_SET_MCE', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    const supported = vm.hypervisor.kvm.x86GetMceCapSupported();
    kvm.x86SetupMce(supported | 10n);
    // AMD keeps the number of banks and MCG_CTL_P.
    expect(kvm.getMsrs([0x179])[0].data & 0x1ffn).toBe((supported | 10n) & 0x1ffn);
    kvm.setMsrs([{ index: 0x40c, data: (1n << 64n) - 1n }]); // MC3_CTL: on
    // Corrected, so that no exception follows.
    kvm.x86SetMce({ status: (1n << 63n) | 0x123n, addr: 0x1234_5678n, misc: 0x8765n, mcg_status: 4, bank: 3 });
    expect(kvm.getMsrs([0x40d, 0x40e, 0x40f]).map(({ data }) => data)).toEqual([(1n << 63n) | 0x123n, 0x1234_5678n, 0x8765n]);
    const bank = { status: 1n << 63n, addr: 0, misc: 0, mcg_status: 0, bank: 11 };
    expect(refusal(() => kvm.x86SetMce(bank))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.x86SetupMce(1n << 62n))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_TPR_ACCESS_REPORTING, KVM_SET_VAPIC_ADDR need the APIC in the kernel', () => {
    const { kvm } = backend.vm({ irqchip: 'kernel' }).createVcpu();
    kvm.tprAccessReporting(true);
    kvm.tprAccessReporting(false);
    kvm.setVapicAddr(0);
    const bare = backend.vm().createVcpu().kvm;
    expect(refusal(() => bare.setVapicAddr(0x1000))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_PRE_FAULT_MEMORY', () => {
    const { vm, vcpu } = backend.guest('real', 'hlt');
    if (lacks(vm.kvm, 'KVM_CAP_PRE_FAULT_MEMORY', () => vcpu.kvm.preFaultMemory(0, 0x1000))) return;
    expect(vcpu.kvm.preFaultMemory(0x1000, 0x3000)).toEqual({ gpa: 0x4000n, size: 0n });
  });

  it('statistics count entries', () => {
    const { vcpu } = backend.guest('real', 'out 0x10, al; out 0x10, al; hlt');
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_BINARY_STATS_FD', () => vcpu.kvm.getStatsFd())) return;
    const stats = vcpu.kvm.getStatsFd();
    expect(stats.id).toMatch(/^kvm-\d+\/vcpu-0$/);
    const { exits } = stats.statistics.reduce<Record<string, unknown>>((all, each) => ({ ...all, [each.name]: each }), {});
    expect(exits).toMatchObject({ type: 'cumulative', unit: 'none', exponent: 0, base: 10, size: 1 });
    const before = stats.read().exits[0];
    while (vcpu.enter().kind !== 'hlt');
    expect(stats.read().exits[0]).toBeGreaterThan(before);
    expect(stats.statistics.find(({ name }) => name.endsWith('_ns'))).toMatchObject({ unit: 'seconds', exponent: -9 });
    stats.close();
    expect(codeOf(() => stats.read())).toBe('ERR_HAX_CLOSED');
  });

  it('KVM_ENABLE_CAP and the Hyper-V calls', () => {
    const vcpu = backend.vm({ irqchip: 'kernel' }).createVcpu();
    expect(refusal(() => vcpu.kvm.enableCap('KVM_CAP_USER_MEMORY'))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    lacks(vcpu.vm.kvm, 'KVM_CAP_HYPERV_CPUID', () => vcpu.kvm.getSupportedHvCpuid());
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_HYPERV_SYNIC2', () => vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2'))) return;
    vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2');
    expect(vcpu.kvm.getSupportedHvCpuid()[0]).toMatchObject({ function: 0x40000000 });
    expect(refusal(() => vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2', [], 0x80000000))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('registers travel with entries: sync regs', () => {
    const { vcpu } = backend.guest('real', 'inc bx; out 0x10, al; inc bx; hlt');
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = 7n;
    expect(vcpu.enter().kind).toBe('io');
    expect(sync.regs).toEqual(vcpu.kvm.getRegs());
    expect(sync.sregs).toEqual(vcpu.kvm.getSregs());
    expect(sync.events).toEqual(vcpu.kvm.getVcpuEvents());
    expect(sync.regs.rbx).toBe(1n);
    sync.regs = { ...sync.regs, rbx: 0x1232 };
    sync.sregs = { ...sync.sregs, cr2: 0xabcd };
    sync.dirty = 3n;
    expect(vcpu.enter().kind).toBe('hlt');
    expect([vcpu.getState().rbx, vcpu.getState().cr2, sync.dirty]).toEqual([0x1233n, 0xabcdn, 0n]);
  });

  it('closed vCPUs and vCPUs of other backends have no calls', () => {
    const vcpu = backend.vm().createVcpu();
    const { kvm } = vcpu;
    vcpu.close();
    const calls = [() => kvm.getRegs(), () => kvm.mapSyncRegs(), () => kvm.nmi(), () => kvm.setMpState(0)];
    expect(calls.map((call) => codeOf(call))).toEqual(calls.map(() => 'ERR_HAX_CLOSED'));
  });
});
