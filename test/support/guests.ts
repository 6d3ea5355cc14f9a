/** Small guests: memory, registers and code for the three modes of the processor. */
import { flat32, long64, realMode, type CpuStateInit, type IoHandler, type Vcpu, type VirtualMachine } from 'node-hax';
import { assemble } from './assemble';

/** The general registers but for the flags, in the order of struct kvm_regs. */
export const generalRegisters = [
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

export type Mode = 'real' | 'flat32' | 'long64';

/** Where things are in the first 64 KiB of every test guest. */
export const at = {
  /** Global descriptor table: 0x10 code, 0x18 data. */
  gdt: 0x800,
  code: 0x1000,
  /** The stack grows down from here. */
  stack: 0x7000,
  /** Nothing of ours: for the test's own data. */
  data: 0x7000,
  /** Long mode: the first 4 GiB, each address mapped to itself in pages of 2 MiB. */
  pageTables: 0x9000,
} as const;

export const ramSize = 0x10000;

/** Bytes to place and registers to set; plain data. */
export interface GuestImage {
  readonly memory: readonly { readonly gpa: number; readonly bytes: Uint8Array }[];
  readonly state: CpuStateInit;
}

export function guestImage(mode: Mode, source: string): GuestImage {
  const bits = ({ real: 16, flat32: 32, long64: 64 } as const)[mode];
  const code = { gpa: at.code, bytes: assemble(source, { bits, origin: at.code }) };
  if (mode === 'real') return { memory: [code], state: realMode({ ip: at.code, sp: at.stack }) };
  const gdt = { gpa: at.gdt, bytes: descriptors(mode) };
  const table = { base: at.gdt, limit: gdt.bytes.length - 1 };
  if (mode === 'flat32') return { memory: [code, gdt], state: flat32({ ip: at.code, sp: at.stack, gdt: table }) };
  return { memory: [code, gdt, ...identityMap()], state: long64({ ip: at.code, sp: at.stack, cr3: at.pageTables, gdt: table }) };
}

/** Writes the image to memory that is mapped already and sets the registers. */
export function loadGuest(vm: VirtualMachine, vcpu: Vcpu, image: GuestImage): void {
  for (const { gpa, bytes } of image.memory) vm.memory.write(gpa, bytes);
  vcpu.setState(image.state);
}

/** A vCPU whose local APIC, the kernel's, is switched on. */
export function apicOn(vcpu: Vcpu): Vcpu {
  vcpu.setMsrs([[0x1b, vcpu.id === 0 ? 0xfee00900 : 0xfee00800]]);
  const lapic = vcpu.kvm.getLapic();
  lapic[0xf1] |= 1; // spurious vector register: enabled
  vcpu.kvm.setLapic(lapic);
  return vcpu;
}

/** A long64 guest goes on as a user's program, at the same addresses. */
export function userMode(vcpu: Vcpu): void {
  for (const table of [at.pageTables, at.pageTables + 0x1000]) vcpu.vm.memory.writeU64(table, vcpu.vm.memory.readU64(table) | 4n);
  for (let i = 0; i < 512; i++) {
    const entry = at.pageTables + 0x2000 + 8 * i;
    vcpu.vm.memory.writeU64(entry, vcpu.vm.memory.readU64(entry) | 4n);
  }
  vcpu.setState({ cs: { selector: 0x13, attributes: 0xa0fb }, ss: { selector: 0x1b, attributes: 0xc0f3 } });
}

/** Descriptors as in Intel SDM vol. 3, 3.4.5: base 0, limit 4 GiB; code at 0x10, data at 0x18. */
function descriptors(mode: Mode): Uint8Array {
  const table = Buffer.alloc(0x20);
  table.writeBigUInt64LE(mode === 'long64' ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn, 0x10);
  table.writeBigUInt64LE(0x00cf93000000ffffn, 0x18);
  return table;
}

/** PML4, PDPT and four page directories (Intel SDM vol. 3, 4.5): present, writable, and PS for the 2 MiB pages. */
function identityMap(): { gpa: number; bytes: Uint8Array }[] {
  const page = (gpa: number, entries: readonly bigint[]): { gpa: number; bytes: Uint8Array } => {
    const bytes = Buffer.alloc(4096);
    entries.forEach((entry, i) => bytes.writeBigUInt64LE(entry, i * 8));
    return { gpa, bytes };
  };
  const [pml4, pdpt, directories] = [at.pageTables, at.pageTables + 0x1000, at.pageTables + 0x2000];
  const result = [
    page(pml4, [BigInt(pdpt) | 3n]),
    page(
      pdpt,
      [0, 1, 2, 3].map((i) => BigInt(directories + i * 0x1000) | 3n),
    ),
  ];
  for (let i = 0; i < 4; i++) {
    const first = BigInt(i) << 30n;
    const entries = Array.from({ length: 512 }, (_, j) => first | (BigInt(j) << 21n) | 0x83n);
    result.push(page(directories + i * 0x1000, entries));
  }
  return result;
}

/** A device that keeps what is written to it and answers reads from a list, then with all-ones. */
export class Recorder implements IoHandler {
  readonly written: { readonly offset: number; readonly value: number; readonly width: number }[] = [];
  readonly reads: { readonly offset: number; readonly width: number }[] = [];

  constructor(private readonly answers: Iterator<number> = [][Symbol.iterator]()) {}

  read(offset: number, width: number): number {
    this.reads.push({ offset, width });
    const next = this.answers.next();
    return next.done ? 0xffffffff : next.value;
  }

  write(offset: number, value: number, width: number): void {
    this.written.push({ offset, value, width });
  }

  get values(): number[] {
    return this.written.map(({ value }) => value);
  }
}

/** What a {@link program} does: port accesses and then HLT, or nothing for ever. */
export type Program =
  | { readonly kind: 'out'; readonly port: number; readonly value?: number; readonly times?: number }
  | { readonly kind: 'in'; readonly port: number }
  | { readonly kind: 'spin' };

/**
 * The same short program on every backend: code for a processor, registers for the null device. The vCPU needs 64 KiB of RAM at 0.
 * After an `in`, `al` has what was read.
 */
export function loadProgram(vm: VirtualMachine, vcpu: Vcpu, program: Program): void {
  const port = program.kind === 'spin' ? 0 : program.port;
  const times = program.kind === 'out' ? (program.times ?? 1) : 1;
  const value = program.kind === 'out' ? (program.value ?? 0) : 0;
  if (vm.backend === 'null') {
    vcpu.setState({ rcx: times, rdx: port, rax: value, rsi: program.kind === 'in' ? 1 : 0, rbp: program.kind === 'spin' ? 1 : 0 });
    return;
  }
  const source = { out: '1: out dx, al; loop 1b; hlt', in: 'in al, dx; hlt', spin: '1: jmp 1b' }[program.kind];
  loadGuest(vm, vcpu, guestImage('real', source));
  vcpu.setState({ rcx: times, rdx: port, rax: value });
}

/** A device that is written to only: `each` gets the value and the number of the access, from 1. */
export function sink(each: (value: number, number: number) => void | Promise<void>): IoHandler {
  let count = 0;
  return { read: () => 0xffffffff, write: (_offset, value) => each(value, ++count) };
}

/** How many kicks more than `wanted` a vCPU counts, beside those of enter() itself: it looks up once in 20 ms that a slow guest takes. */
export function kicksTooMany({ counters }: Vcpu, wanted: number): number {
  const more = counters.kicks - wanted;
  return more > 0 && more * 20e6 <= counters.guestNs ? 0 : more;
}
