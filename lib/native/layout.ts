/**
 * Offsets in bytes of what a vCPU shares with its native side: native/core/exit_page.h, struct VcpuShared.
 * scripts/check-layouts compares every one with the compiler's.
 */
export const exitPage = {
  version: 0,
  instructionLength: 4,
  instruction: 8,
  javascriptNs: 32,
  blockingNs: 40,
  taken: 48,
  slowCalls: 56,
  detail: 64,
  entries: 128,
  interrupted: 136,
  kicks: 144,
  guestNs: 152,
  kind: 192,
  port: 196,
  size: 200,
  count: 204,
  direction: 208,
  rawCode: 212,
  subcode: 216,
  address: 224,
  interruptReady: 232,
  requestWindow: 236,
  data: 248,
} as const;

export const exitPageVersion = 2;
export const exitDataSize = 4096;

/** Relative to the start of the shared block, like the offsets above. */
export const stateBlock = {
  general: 4352,
  segments: 4496,
  gdt: 4688,
  idt: 4704,
  cr0: 4720,
  cr2: 4728,
  cr3: 4736,
  cr4: 4744,
  cr8: 4752,
  efer: 4760,
  apicBase: 4768,
  mpState: 4776,
  msrCount: 4780,
  fxsave: 4784,
  msrs: 5296,
} as const;

export const segmentSize = 24;
export const msrSize = 16;
export const maxMsrs = 128;
export const fxsaveSize = 512;

/** ExitKind of the native side; the index is the number. */
export const exitKinds = [
  'none',
  'io',
  'mmio',
  'hlt',
  'irq-window',
  'interrupted',
  'shutdown',
  'debug',
  'msr',
  'hypercall',
  'system-event',
  'memory-fault',
  'fail-entry',
  'internal-error',
  'unknown',
  'exception',
  'set-tpr',
  'tpr-access',
  'nmi',
  'ioapic-eoi',
  'hyperv',
  'dirty-ring-full',
  'bus-lock',
  'notify',
  'xen',
] as const;

export const enum ExitKind {
  None = 0,
  Io = 1,
  Mmio = 2,
  Hlt = 3,
  IrqWindow = 4,
  Interrupted = 5,
  Shutdown = 6,
  Debug = 7,
  Msr = 8,
  Hypercall = 9,
  SystemEvent = 10,
  MemoryFault = 11,
  FailEntry = 12,
  InternalError = 13,
  Unknown = 14,
  Exception = 15,
  SetTpr = 16,
  TprAccess = 17,
  Nmi = 18,
  IoapicEoi = 19,
  Hyperv = 20,
  DirtyRingFull = 21,
  BusLock = 22,
  Notify = 23,
  Xen = 24,
}

/** InterruptReason of the native side. */
export const enum InterruptReason {
  Kick = 1,
  Slice = 2,
}

/** StateMask of the native side. */
export const enum StateMask {
  General = 1,
  System = 2,
  Fpu = 4,
  Mp = 8,
  Msrs = 16,
}
