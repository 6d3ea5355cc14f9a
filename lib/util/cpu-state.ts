/** The x86 register state that both backends share. 64-bit registers are bigint when read; either type when written. */

/** A segment register with its hidden part. */
export interface Segment {
  /** Linear address at which it begins. */
  base: bigint;
  /** In bytes, granularity applied: ffffffff for a flat segment. */
  limit: number;
  /** The visible part: index, TI and RPL, 16 bits. */
  selector: number;
  /** Access rights as VMX stores them (Intel SDM vol. 3, 24.4.1): type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  attributes: number;
}

/** GDTR or IDTR: a linear address, and the offset of the last byte. */
export interface DescriptorTable {
  /** Linear address of the table. */
  base: bigint;
  /** Offset of its last byte, 16 bits. */
  limit: number;
}

/** RFLAGS.IF, Intel SDM vol. 1, 3.4.3.3. */
export const interruptFlag = 0x200n;

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
  'rflags',
] as const;
export const segmentRegisters = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
export const controlRegisters = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apicBase'] as const;

/** rax to r15, rip, rflags. */
export type GeneralRegister = (typeof generalRegisters)[number];
/** The segments, with the task register and the local descriptor table. */
export type SegmentRegister = (typeof segmentRegisters)[number];
/** Control registers, EFER and the base of the local APIC. */
export type ControlRegister = (typeof controlRegisters)[number];

/** A vCPU's registers but for the FPU's and MSRs. 64-bit values are bigints, unsigned. */
export type CpuState = Record<GeneralRegister, bigint> &
  Record<SegmentRegister, Segment> &
  Record<ControlRegister, bigint> & {
    /** GDTR. */
    gdt: DescriptorTable;
    /** IDTR. */
    idt: DescriptorTable;
  };

/** A register's value to be written: unsigned; as text of 1 to 16 lower-case hexadecimal digits it is what JSON has of getState(). */
export type RegisterValue = number | bigint | `0x${string}`;

/**
 * What to change: registers left out keep their values; parts of a segment left out keep theirs too. `JSON.parse(JSON.stringify(state))` of what
 * was read will do.
 */
export type CpuStateInit = { [R in GeneralRegister | ControlRegister]?: RegisterValue | undefined } & {
  [S in SegmentRegister]?:
    | ({ [P in Exclude<keyof Segment, 'base'>]?: Segment[P] | `0x${string}` | undefined } & {
        /** Linear address at which the segment begins. */
        base?: RegisterValue | undefined;
      })
    | undefined;
} & {
  [T in 'gdt' | 'idt']?:
    | {
        /** Linear address of the table. */
        base?: RegisterValue | undefined;
        /** Offset of its last byte, 16 bits. */
        limit?: number | `0x${string}` | undefined;
      }
    | undefined;
};
