/** What RUN ended with, out of the tunnel and the I/O buffer: 56 and 64 bytes. */

export const haxmStatuses = [
  'none',
  'io',
  'mmio',
  'real-mode',
  'interrupt',
  'unknown',
  'hlt',
  'state-change',
  'paused',
  'fast-mmio',
  'page-fault',
  'debug',
] as const;
/** The driver's words for why it came back; `unknown` for a number without one. */
export type HaxmStatus = (typeof haxmStatuses)[number];

interface Every {
  /** What the driver's status says. */
  readonly status: HaxmStatus;
  /** Its number, for one that has no name here. */
  readonly statusNumber: number;
  /** The VMX basic exit reason; stale after `interrupt` and `state-change`. */
  readonly reason: number;
  readonly readyForInterrupt: boolean;
  readonly apicBase: bigint;
}

export interface HaxmIo extends Every {
  readonly status: 'io';
  readonly direction: 'in' | 'out';
  readonly port: number;
  /** Bytes of one element: 1, 2, 4. */
  readonly size: number;
  /** At most 64 bytes an exit; 0 for a string instruction with nothing to do. */
  readonly count: number;
  readonly string: boolean;
  /** The first element of the transfer is the last in `data`. */
  readonly downwards: boolean;
  /** A string's lowest linear address. */
  readonly linearAddress: bigint;
  /** In ascending order of guest addresses; what an `out` wrote. */
  readonly data: Uint8Array;
}

export interface HaxmFastMmio extends Every {
  readonly status: 'fast-mmio';
  /** `move`, of releases before 7.3.0: the client itself takes `size` bytes from `gpa` to `to`, and RUN goes on behind the instruction. */
  readonly direction: 'in' | 'out' | 'move';
  readonly gpa: bigint;
  /** Of a `move`. */
  readonly to?: bigint;
  readonly size: number;
  /** What an `out` wrote; 0 for an `in`, whose field of the record is stale, and for a `move`. */
  readonly value: bigint;
}

/** Of releases before 7.3.0 that have not been told of fast MMIO: an access that the client would have to decode. */
export interface HaxmMmio extends Every {
  readonly status: 'mmio';
  readonly gpa: bigint;
}

export interface HaxmPageFault extends Every {
  readonly status: 'page-fault';
  /** Aligned to a page. */
  readonly gpa: bigint;
  readonly access: { readonly read: boolean; readonly write: boolean; readonly execute: boolean };
  readonly flags: number;
}

export interface HaxmDebugStop extends Every {
  readonly status: 'debug';
  readonly rip: bigint;
  /** Both 0 for INT3. */
  readonly dr6: bigint;
  readonly dr7: bigint;
}

export interface HaxmPlain extends Every {
  readonly status: Exclude<HaxmStatus, 'io' | 'mmio' | 'fast-mmio' | 'page-fault' | 'debug'>;
}

/** What HAX_VCPU_IOCTL_RUN came back with, told apart by `status`. */
export type HaxmRun = HaxmIo | HaxmMmio | HaxmFastMmio | HaxmPageFault | HaxmDebugStop | HaxmPlain;

const tunnelSize = 56;
export const ioBufferSize = 64;

export function unpackTunnel(bytes: Buffer): HaxmRun {
  const statusNumber = bytes.readUInt32LE(8);
  const every = {
    statusNumber,
    reason: bytes.readUInt32LE(0),
    readyForInterrupt: bytes.readUInt32LE(16) !== 0,
    apicBase: bytes.readBigUInt64LE(48),
  };
  const buffer = bytes.subarray(tunnelSize, tunnelSize + ioBufferSize);
  switch (statusNumber) {
    case 1:
      return { ...every, status: 'io', ...unpackIo(bytes, buffer) };
    case 2:
      return { ...every, status: 'mmio', gpa: bytes.readBigUInt64LE(24) };
    case 9:
      return { ...every, status: 'fast-mmio', ...unpackFastMmio(buffer) };
    case 10: {
      const flags = bytes.readUInt32LE(32);
      const access = { read: (flags & 1) !== 0, write: (flags & 2) !== 0, execute: (flags & 4) !== 0 };
      return { ...every, status: 'page-fault', gpa: bytes.readBigUInt64LE(24), access, flags };
    }
    case 11: {
      const [rip, dr6, dr7] = [24, 32, 40].map((at) => bytes.readBigUInt64LE(at)) as [bigint, bigint, bigint];
      return { ...every, status: 'debug', rip, dr6, dr7 };
    }
    default:
      return { ...every, status: (haxmStatuses[statusNumber] ?? 'unknown') as HaxmPlain['status'] };
  }
}

function unpackFastMmio(buffer: Buffer): Omit<HaxmFastMmio, keyof Every> {
  const [gpa, second] = [buffer.readBigUInt64LE(0), buffer.readBigUInt64LE(8)];
  const size = buffer.readUInt8(16);
  switch (buffer.readUInt8(17)) {
    case 0:
      return { direction: 'in', gpa, size, value: 0n };
    case 2:
      return { direction: 'move', gpa, to: second, size, value: 0n };
    case 3:
      return { direction: 'move', gpa: second, to: gpa, size, value: 0n };
    default:
      return { direction: 'out', gpa, size, value: BigInt.asUintN(Math.min(size, 8) * 8, second) };
  }
}

function unpackIo(bytes: Buffer, buffer: Buffer): Omit<HaxmIo, keyof Every> {
  const size = bytes.readUInt16LE(26);
  const count = bytes.readUInt16LE(30);
  const out = bytes.readUInt8(24) === 0;
  return {
    direction: out ? 'out' : 'in',
    port: bytes.readUInt16LE(28),
    size,
    count,
    string: (bytes.readUInt8(32) & 1) !== 0,
    downwards: bytes.readUInt8(25) !== 0,
    linearAddress: bytes.readBigUInt64LE(40),
    data: out ? Uint8Array.from(buffer.subarray(0, Math.min(size * count, ioBufferSize))) : new Uint8Array(0),
  };
}

/** What a client may write; nothing else of the tunnel is its to change. */
export interface TunnelChanges {
  /** 8: finish what is outstanding and do not enter the guest; 0 to go on. */
  exitReason?: number;
  userEventPending?: boolean;
  requestInterruptWindow?: boolean;
  /** Placed at the start of the I/O buffer. */
  buffer?: { readonly offset: number; readonly bytes: Uint8Array };
}

/** For the addon's own request: a mask of what is there, three words, offset and length in the buffer, the bytes. */
export function packTunnelChanges({ exitReason, userEventPending, requestInterruptWindow, buffer }: TunnelChanges): Buffer {
  const bytes = Buffer.alloc(80);
  const values = [exitReason, userEventPending, requestInterruptWindow];
  let mask = 0;
  values.forEach((value, i) => {
    if (value === undefined) return;
    mask |= 1 << i;
    bytes.writeUInt32LE(Number(value), 4 + i * 4);
  });
  if (buffer) {
    mask |= 8;
    bytes.writeUInt8(buffer.offset, 1);
    bytes.writeUInt8(buffer.bytes.length, 2);
    bytes.set(buffer.bytes, 16);
  }
  bytes.writeUInt8(mask, 0);
  return bytes;
}
