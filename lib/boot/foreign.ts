import { imageError, readPart } from './image-source';
import type { ImageSource } from './image-source';

/** Files that people have kernels in, or take for kernels, and that cannot be started: by what they are, so that each gets the remedy that helps. */

/** A format's signature at its place, and the end of the sentence about such a file. */
interface Signature {
  readonly at: number;
  readonly bytes: Buffer;
  readonly sentence: string;
}

function signature(at: number, bytes: string, sentence: string): Signature {
  return { at, bytes: Buffer.from(bytes, 'latin1'), sentence };
}

const compressed = (name: string, tool: string): string => `is compressed with ${name}; unpack it with ${tool} first`;
const disk = (name: string): string => `is a ${name} disk image, and this machine has no disk; give the kernel that is in it`;
const sectorAlone = "give the kernel that is on it, or use format: 'bootsector' for its first sector alone";
const otherProcessor = (name: string): string => `is a Linux kernel for ${name}; give one built for x86_64`;

const signatures: readonly Signature[] = [
  signature(0, '\x1f\x8b', compressed('gzip', 'gunzip')), // RFC 1952, 2.3.1
  signature(0, '\xfd7zXZ\0', compressed('xz', 'unxz')),
  signature(0, '\x28\xb5\x2f\xfd', compressed('zstd', 'unzstd')), // RFC 8878, 3.1.1
  signature(0, '\x04\x22\x4d\x18', compressed('lz4', 'unlz4')),
  signature(4, '1AY&SY', compressed('bzip2', 'bunzip2')),
  signature(0, 'QFI\xfb', disk('qcow2')),
  signature(0, 'KDMV', disk('VMDK')),
  signature(0, 'vhdxfile', disk('VHDX')),
  signature(0x40, '\x7f\x10\xda\xbe', disk('VDI')),
  signature(0x38, 'ARM\x64', otherProcessor('arm64')), // Linux, Documentation/arch/arm64/booting.rst
  signature(0x38, 'RSC\x05', otherProcessor('RISC-V')), // Linux, Documentation/arch/riscv/boot-image-header.rst
  signature(
    0x8001, // ECMA-119, 8.4
    'CD001',
    `is a CD image, and this machine has neither drive nor BIOS; ${sectorAlone}`,
  ),
];

/** Throws ERR_HAX_IMAGE with the remedy for a file of one of these formats. */
export function refuseForeign(source: ImageSource): void {
  for (const { at, bytes, sentence } of signatures) {
    if (hasBytes(source, at, bytes)) throw imageError(source, sentence);
  }
  if (hasPartitions(source)) throw imageError(source, `is a disk image, and this machine has neither disk nor BIOS; ${sectorAlone}`);
  if (isPe(source)) {
    throw imageError(source, 'is an EFI program, and this machine has no EFI; give the kernel as a bzImage (vmlinuz) or for multiboot');
  }
}

function hasBytes(source: ImageSource, at: number, bytes: Buffer): boolean {
  return source.size >= at + bytes.length && readPart(source, at, bytes.length, 'signature').equals(bytes);
}

/** The header of a PE file is where a field of the DOS header says (PE Format, "MS-DOS Stub"). */
function isPe(source: ImageSource): boolean {
  const pointer = 0x3c;
  if (source.size < pointer + 4 || !hasBytes(source, 0, Buffer.from('MZ'))) return false;
  return hasBytes(source, readPart(source, pointer, 4, 'DOS header').readUInt32LE(), Buffer.from('PE\0\0'));
}

/**
 * Whether the first sector has a table of partitions that lie on the disk behind it (UEFI 2.10, 5.2.1 "Legacy Master Boot Record"). A boot sector
 * that fills a floppy has none, and code in its place looks like none.
 */
function hasPartitions(source: ImageSource): boolean {
  const [sectorSize, table, entrySize] = [512, 446, 16];
  const sectors = source.size / sectorSize;
  if (sectors < 2 || !hasBytes(source, 510, Buffer.from([0x55, 0xaa]))) return false;
  const entries = [0, 1, 2, 3].map((i) => readPart(source, table + i * entrySize, entrySize, 'partition table'));
  if (entries.some((entry) => (entry[0] & 0x7f) !== 0)) return false; // neither bootable nor not
  const used = entries.filter((entry) => entry[4] !== 0);
  return (
    used.length > 0 && used.every((entry) => entry.readUInt32LE(8) >= 1 && entry.readUInt32LE(8) < sectors && entry.readUInt32LE(12) >= 1)
  );
}
