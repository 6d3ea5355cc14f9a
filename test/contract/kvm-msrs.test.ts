/** MSRs that the kernel hands over or denies, in the scenarios of the kernel's own tests of MSR filters and exits to user space. */
import { kvmConstants as C, type MsrRange, type Vcpu, type VirtualMachine } from 'node-hax';
import { describeKvm, type Backend } from '../support/hosts';
import { EINVAL, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('msrs');

const [both, reads, writes] = [C.KVM_MSR_FILTER_READ | C.KVM_MSR_FILTER_WRITE, C.KVM_MSR_FILTER_READ, C.KVM_MSR_FILTER_WRITE];
const sysenter = { cs: 0x174, esp: 0x175, eip: 0x176 };

/**
 * Reads, or writes EDI to, the MSR in ECX as EBX says (0, 1), and tells by port 0x10 with what came of it in EAX, or by port 0x11 of a #GP;
 * again and again.
 */
const source = `1: mov eax, edi; xor edx, edx; test ebx, ebx; jnz 2f; rdmsr; jmp 3f; 2: wrmsr; 3: out 0x10, eax; jmp 1b
  .org 0x100; add esp, 16; out 0x11, al; jmp 1b`;

function guest(backend: Backend): { vm: VirtualMachine; vcpu: Vcpu } {
  const made = backend.guest('flat32', source);
  made.vm.memory.write(0x7800 + 13 * 8, Uint8Array.of(0, 0x11, 0x10, 0, 0, 0x8e, 0, 0)); // #GP to 0x10:0x1100
  made.vcpu.setState({ idt: { base: 0x7800, limit: 0x7ff } });
  return made;
}

/** What the access comes to: the value that was read, '#GP', or the exit, which `answer` may serve. */
function access(vcpu: Vcpu, direction: 'in' | 'out', index: number, value = 0, answer?: bigint): string {
  vcpu.complete();
  vcpu.setState({ rip: 0x1000, rbx: direction === 'in' ? 0 : 1, rcx: index, rdi: value });
  const exit = vcpu.enter();
  if (exit.kind === 'msr') {
    const told = `${exit.direction} ${exit.index.toString(16)} ${exit.value.toString(16)} reason ${exit.reason}`;
    if (answer !== undefined) [exit.value, exit.fault] = [answer, false];
    return `${told}, then ${outcome(vcpu, direction)}`;
  }
  return outcome(vcpu, direction, exit.kind === 'io' ? exit.port : -1);
}

function outcome(vcpu: Vcpu, direction: 'in' | 'out', port?: number): string {
  const exit = port === undefined ? vcpu.enter() : undefined;
  const at = exit?.kind === 'io' ? exit.port : port;
  if (at === 0x11) return '#GP';
  return at === 0x10 ? (direction === 'in' ? (vcpu.getState().rax & 0xffffffffn).toString(16) : 'written') : `${exit?.kind}`;
}

describeKvm('MSR filters', (backend) => {
  const filtered = (made: { vm: VirtualMachine; vcpu: Vcpu }, ranges: readonly MsrRange[], defaultDeny = false): boolean => {
    if (lacks(made.vm.kvm, 'KVM_CAP_X86_MSR_FILTER', () => made.vm.kvm.x86SetMsrFilter([]))) return false;
    made.vm.kvm.x86SetMsrFilter(ranges, { defaultDeny });
    return true;
  };
  const denied = (base: number, flags = both): MsrRange => ({ flags, base, nmsrs: 1, bitmap: Uint8Array.of(0) });

  it('deny ranges: #GP, or an exit with its reason where the program asked for it', () => {
    const made = guest(backend);
    const { vm, vcpu } = made;
    vcpu.setMsrs([[sysenter.cs, 0x10], [sysenter.esp, 0x20], [sysenter.eip, 0x30]]); // prettier-ignore
    if (!filtered(made, [denied(sysenter.esp), denied(sysenter.eip, writes)])) return;
    expect(access(vcpu, 'in', sysenter.cs)).toBe('10');
    expect(access(vcpu, 'in', sysenter.esp)).toBe('#GP');
    expect(access(vcpu, 'out', sysenter.esp, 5)).toBe('#GP');
    expect(access(vcpu, 'in', sysenter.eip)).toBe('30');
    expect(access(vcpu, 'out', sysenter.eip, 5)).toBe('#GP');
    vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_FILTER]);
    const reason = `reason ${C.KVM_MSR_EXIT_REASON_FILTER}`;
    expect(access(vcpu, 'in', sysenter.esp)).toBe(`in 175 0 ${reason}, then #GP`);
    expect(access(vcpu, 'in', sysenter.esp, 0, 0x1234n)).toBe(`in 175 0 ${reason}, then 1234`);
    expect(access(vcpu, 'out', sysenter.eip, 0x77)).toBe(`out 176 77 ${reason}, then #GP`);
    expect(access(vcpu, 'out', sysenter.eip, 0x77, 0n)).toBe(`out 176 77 ${reason}, then written`);
    // What the program took was not written.
    expect(vcpu.getMsrs([sysenter.esp, sysenter.eip])).toEqual([0x20n, 0x30n]);
  });

  it('allow ranges under a default that denies; the local APIC’s MSRs are always allowed', () => {
    const made = guest(backend);
    const { vm, vcpu } = made;
    vcpu.setMsrs([[sysenter.cs, 0x10], [sysenter.esp, 0x20]]); // prettier-ignore
    // Of 0x170 to 0x17f only 0x174, and that only to be read.
    const ranges = [{ flags: reads, base: 0x170, nmsrs: 16, bitmap: Uint8Array.of(1 << 4, 0) }];
    if (!filtered(made, ranges, true)) return;
    vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_FILTER]);
    expect(access(vcpu, 'in', sysenter.cs)).toBe('10');
    expect(access(vcpu, 'out', sysenter.cs, 5)).toBe('out 174 5 reason 4, then #GP');
    expect(access(vcpu, 'in', sysenter.esp)).toBe('in 175 0 reason 4, then #GP');
    expect(access(vcpu, 'in', 0xc0000082)).toBe('in c0000082 0 reason 4, then #GP');
    expect(access(vcpu, 'in', 0x802)).toBe('#GP'); // no x2APIC here, but not by the filter
    vm.kvm.x86SetMsrFilter([]);
    expect(access(vcpu, 'in', sysenter.esp)).toBe('20');
    expect(refusal(() => vm.kvm.x86SetMsrFilter([], { defaultDeny: true }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('change between two entries, and take all of their 16 ranges', () => {
    const made = guest(backend);
    const { vm, vcpu } = made;
    const indices = [0x174, 0x175, 0x176, 0x277, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0x1b, 0x10, 0x3a, 0x8b]; // prettier-ignore
    if (!filtered(made, indices.map((each) => denied(each)))) return; // prettier-ignore
    vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_FILTER]);
    for (const index of indices) expect(access(vcpu, 'in', index, 0, 9n)).toBe(`in ${index.toString(16)} 0 reason 4, then 9`);
    vm.kvm.x86SetMsrFilter([denied(0xc0000100)]);
    expect(access(vcpu, 'in', sysenter.cs)).toBe('0');
    expect(access(vcpu, 'in', 0xc0000100)).toBe('in c0000100 0 reason 4, then #GP');
    vm.kvm.x86SetMsrFilter([denied(0xc0000101)]);
    expect(access(vcpu, 'in', 0xc0000100)).toBe('0');
    expect(access(vcpu, 'in', 0xc0000101)).toBe('in c0000101 0 reason 4, then #GP');
  });

  it('has a bit for each MSR of a wide range', () => {
    const made = guest(backend);
    const { vcpu } = made;
    const bitmap = new Uint8Array(0x2000 / 8).fill(0xff);
    for (const index of [0x174, 0x176, 0x277]) bitmap[index >> 3] &= ~(1 << (index & 7));
    if (!filtered(made, [{ flags: both, base: 0, nmsrs: 0x2000, bitmap }])) return;
    expect([0x174, 0x175, 0x176, 0x277].map((index) => access(vcpu, 'in', index))).toEqual(['#GP', '0', '#GP', '#GP']);
  });
});

describeKvm('MSR exits', (backend) => {
  it('of MSRs that nobody knows, and of values that one does not take, each only where it was asked for', () => {
    const { vm, vcpu } = guest(backend);
    const { kvm } = vm;
    const exits = (reasons: number): string[] => {
      kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [reasons]);
      return [access(vcpu, 'in', 0x474f4f00), access(vcpu, 'out', 0x474f4f00, 3, 0n), access(vcpu, 'out', 0xc0000080, 2)];
    };
    if (lacks(kvm, 'KVM_CAP_X86_USER_SPACE_MSR', () => exits(1))) return;
    const [invalid, unknown] = [C.KVM_MSR_EXIT_REASON_INVAL, C.KVM_MSR_EXIT_REASON_UNKNOWN];
    const notKnown = ['in 474f4f00 0 reason 2, then #GP', 'out 474f4f00 3 reason 2, then written'];
    const notTaken = 'out c0000080 2 reason 1, then #GP'; // bit 1 of EFER is reserved
    expect(exits(0)).toEqual(['#GP', '#GP', '#GP']);
    expect(exits(unknown)).toEqual([...notKnown, '#GP']);
    expect(exits(invalid)).toEqual(['#GP', '#GP', notTaken]);
    expect(exits(invalid | unknown)).toEqual([...notKnown, notTaken]);
  });

  it('flags that there are not are refused', () => {
    const { kvm } = backend.vm();
    if (lacks(kvm, 'KVM_CAP_X86_MSR_FILTER', () => kvm.x86SetMsrFilter([]))) return;
    const range = { flags: both, base: 0x174, nmsrs: 1, bitmap: Uint8Array.of(0) };
    for (let bit = 2; bit < 32; bit++) {
      expect(refusal(() => kvm.x86SetMsrFilter([{ ...range, flags: (1 << bit) >>> 0 }]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    for (let bit = 3; bit < 64; bit++) {
      const enable = (): void => kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [1n << BigInt(bit)]);
      // Refused since Linux 6.1; before, bits that meant nothing were ignored.
      expect(refusal(enable)).toMatch(/^(nothing|ERR_HAX_IOCTL 22)$/);
    }
  });
});
