/** The register structure of GET_REGS and SET_REGS: 512 bytes, or 520 with XCR0 in the first binaries of release 7.8.0. */

export const stateSize = 512;
export const stateSizeWithXcr0 = 520;

/** A segment register, with its hidden part. */
export interface HaxmSegment {
  /** The visible part: index, TI and RPL, 16 bits. */
  selector: number;
  /** Linear address at which it begins. */
  base: bigint;
  /** Offset of its last byte, granularity applied. */
  limit: number;
  /** VMX access rights (Intel SDM vol. 3, 24.4.1); 0x10000: unusable. */
  ar: number;
}

const first = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const;
const segments = ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'ldt', 'tr', 'gdt', 'idt'] as const;
const control = ['cr0', 'cr2', 'cr3', 'cr4'] as const;
const debug = ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const;
const segmentsAt = 0x90;
const segmentSize = 24;
const controlAt = 0x180;
const xcr0At = 0x1a0;

export const haxmRegisterNames = [...first, ...control, ...debug] as const;
export const haxmSegmentNames = segments;

/**
 * What the two calls move. The structure has EFER and SYSENTER too, which the driver neither reads nor writes (they travel as MSRs), and
 * on Linux leaves kernel memory in them: they are not shown.
 */
export type HaxmRegisters = Record<(typeof haxmRegisterNames)[number], bigint> &
  Record<(typeof segments)[number], HaxmSegment> & {
    /** In the 520-byte layout only. */
    xcr0?: bigint;
  };

const debugAt = (size: number): number => (size === stateSizeWithXcr0 ? xcr0At + 8 : xcr0At);

export function unpackRegisters(bytes: Buffer): HaxmRegisters {
  const out: Record<string, unknown> = {};
  first.forEach((name, i) => (out[name] = bytes.readBigUInt64LE(i * 8)));
  segments.forEach((name, i) => {
    const at = segmentsAt + i * segmentSize;
    out[name] = {
      selector: bytes.readUInt16LE(at),
      base: bytes.readBigUInt64LE(at + 8),
      limit: bytes.readUInt32LE(at + 4),
      ar: bytes.readUInt32LE(at + 16),
    };
  });
  control.forEach((name, i) => (out[name] = bytes.readBigUInt64LE(controlAt + i * 8)));
  debug.forEach((name, i) => (out[name] = bytes.readBigUInt64LE(debugAt(bytes.length) + i * 8)));
  if (bytes.length === stateSizeWithXcr0) out.xcr0 = bytes.readBigUInt64LE(xcr0At);
  return out as HaxmRegisters;
}

/** The rest of the structure is 0. */
export function packRegisters(registers: HaxmRegisters, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  first.forEach((name, i) => bytes.writeBigUInt64LE(registers[name], i * 8));
  segments.forEach((name, i) => {
    const at = segmentsAt + i * segmentSize;
    const { selector, base, limit, ar } = registers[name];
    bytes.writeUInt16LE(selector, at);
    bytes.writeUInt32LE(limit, at + 4);
    bytes.writeBigUInt64LE(base, at + 8);
    bytes.writeUInt32LE(ar, at + 16);
  });
  control.forEach((name, i) => bytes.writeBigUInt64LE(registers[name], controlAt + i * 8));
  debug.forEach((name, i) => bytes.writeBigUInt64LE(registers[name], debugAt(size) + i * 8));
  if (size === stateSizeWithXcr0) bytes.writeBigUInt64LE(registers.xcr0 ?? 1n, xcr0At);
  return bytes;
}
