/** The driver's small structures, packed and unpacked; offsets as in native/backends/haxm/abi.h. */

/** A structure that the driver may read and write. */
export function structure(size: number, ...fields: readonly (readonly [offset: number, bytes: 1 | 2 | 4 | 8, value: bigint])[]): Buffer {
  const buffer = Buffer.alloc(size);
  for (const [offset, bytes, value] of fields) {
    if (bytes === 8) buffer.writeBigUInt64LE(value, offset);
    else buffer.writeUIntLE(Number(value), offset, bytes);
  }
  return buffer;
}

/** HAX_IOCTL_VERSION's answer: the oldest interface that the driver speaks, and the newest. */
export interface HaxmVersion {
  /** compat_version: 1 in releases 7.0.0 to 7.8.0. */
  readonly compatVersion: number;
  /** cur_version: 4 in releases 7.0.0 to 7.8.0. */
  readonly currentVersion: number;
}

export function unpackVersion(bytes: Buffer): HaxmVersion {
  return { compatVersion: bytes.readUInt32LE(0), currentVersion: bytes.readUInt32LE(4) };
}

/** The bits of winfo while the driver works, by name. */
export const featureBits = {
  ept: 0x001,
  fastMmio: 0x002,
  unrestrictedGuest: 0x004,
  ramBlocks64: 0x008,
  setRam64: 0x010,
  tunnelPage: 0x020,
  ramProtection: 0x040,
  debug: 0x080,
  implicitRamBlock: 0x100,
  cpuid: 0x200,
} as const;

export type HaxmDriverFeature = keyof typeof featureBits;

/** HAX_IOCTL_CAPABILITY's answer, decoded; `wstatus` and `winfo` are the words as they came. */
export interface HaxmCapability {
  /** Bit 0 of `wstatus`: VMs can be made. */
  readonly working: boolean;
  /** Why it does not work; empty while it does. */
  readonly blockedBy: readonly ('vt' | 'nx')[];
  /** The bits of `winfo` by name; all false while the driver does not work. */
  readonly features: Readonly<Record<HaxmDriverFeature, boolean>>;
  /** Bytes; undefined where no quota is set. */
  readonly memoryQuota: bigint | undefined;
  /** Bit 0: working; bit 1: a memory quota is set. */
  readonly wstatus: number;
  /** While it works its features; else bit 0: no VT-x, bit 1: no NX. */
  readonly winfo: number;
  /** On Windows, the references to the driver's device. */
  readonly referenceCount: number;
}

export function unpackCapability(bytes: Buffer): HaxmCapability {
  const wstatus = bytes.readUInt16LE(0);
  const winfo = bytes.readUInt16LE(2);
  const working = (wstatus & 1) !== 0;
  const blockedBy = working ? [] : [['vt', 1] as const, ['nx', 2] as const].filter(([, bit]) => winfo & bit).map(([name]) => name);
  const features = Object.fromEntries(Object.entries(featureBits).map(([name, bit]) => [name, working && (winfo & bit) !== 0]));
  return {
    working,
    blockedBy,
    features: features as Record<HaxmDriverFeature, boolean>,
    memoryQuota: wstatus & 2 ? bytes.readBigUInt64LE(8) : undefined,
    wstatus,
    winfo,
    referenceCount: bytes.readUInt32LE(4),
  };
}

/** Where the driver's pages of a vCPU are in this process: the tunnel, of `size` bytes, and the buffer for I/O. */
export interface HaxmTunnelInfo {
  /** Address of the tunnel in this process. */
  readonly va: bigint;
  /** Address of the buffer for port I/O in this process. */
  readonly ioVa: bigint;
  /** Bytes of the tunnel: 4096 with the feature `tunnelPage`, 48 before. */
  readonly size: number;
}

export function unpackTunnelInfo(bytes: Buffer): HaxmTunnelInfo {
  return { va: bytes.readBigUInt64LE(0), ioVa: bytes.readBigUInt64LE(8), size: bytes.readUInt16LE(16) };
}

/** The array of a call has 32 entries, and the driver refuses all 32. */
export const msrBatch = 31;

export function packMsrs(list: readonly (readonly [index: number, value: bigint])[]): Buffer {
  const bytes = Buffer.alloc(520);
  bytes.writeUInt16LE(list.length, 0);
  list.forEach(([index, value], i) => {
    bytes.writeBigUInt64LE(BigInt(index), 8 + i * 16);
    bytes.writeBigUInt64LE(value, 16 + i * 16);
  });
  return bytes;
}

/** The values of those that the driver knows: it stops at the first that it does not. */
export function unpackMsrs(bytes: Buffer): bigint[] {
  const done = Math.min(bytes.readUInt16LE(2), bytes.readUInt16LE(0), 32);
  return Array.from({ length: done }, (_, i) => bytes.readBigUInt64LE(16 + i * 16));
}
