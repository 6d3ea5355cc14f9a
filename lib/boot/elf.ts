import { imageError, readPart } from './image-source';
import type { ImageSource } from './image-source';
import type { Loader } from './loader';

/** ELF files (System V ABI, chapters 4 and 5): headers of both classes, loading of 32-bit i386 programs. */

const magic = 0x464c457f; // 7f 'E' 'L' 'F'
const elfClass = { elf32: 1, elf64: 2 } as const;
const dataLittleEndian = 1;
const machine386 = 3;
const machineX8664 = 62;
/** Those that kernels are built for (System V ABI, chapter 4, e_machine). */
const otherMachines: Readonly<Record<number, string>> = {
  8: 'MIPS',
  20: 'PowerPC',
  21: 'PowerPC64',
  22: 'S/390',
  40: 'ARM',
  183: 'AArch64',
  243: 'RISC-V',
};
const fileType = { executable: 2, sharedObject: 3 } as const;
export const segmentType = { load: 1, note: 4 } as const;

/** Linux's own bound on the table (fs/binfmt_elf.c, load_elf_phdrs): more than any kernel needs, little enough to read. */
const maximumTableSize = 65536;

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfFile {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly type: number;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

export function isElf(source: ImageSource): boolean {
  return source.size >= 4 && readPart(source, 0, 4, 'ELF magic').readUInt32LE() === magic;
}

/** Reads and checks the file header and the program headers. Throws ERR_HAX_IMAGE when the file is not a sound little-endian ELF file. */
export function readElf(source: ImageSource): ElfFile {
  if (!isElf(source)) throw imageError(source, 'is not an ELF file; leave out format to have its format recognised');
  const ident = readPart(source, 0, 16, 'ELF identification');
  const is64 = ident[4] === elfClass.elf64;
  if (!is64 && ident[4] !== elfClass.elf32) {
    throw imageError(source, `has the unknown ELF class ${ident[4]}; build it as a 32-bit i386 executable`);
  }
  if (ident[5] !== dataLittleEndian) {
    throw imageError(source, 'is not a little-endian ELF file; build it for i386');
  }
  const header = readPart(source, 0, is64 ? 64 : 52, 'ELF header');
  const tail = is64 ? 54 : 42;
  const tableOffset = is64 ? Number(header.readBigUInt64LE(32)) : header.readUInt32LE(28);
  return {
    bits: is64 ? 64 : 32,
    type: header.readUInt16LE(16),
    machine: header.readUInt16LE(18),
    entry: is64 ? Number(header.readBigUInt64LE(24)) : header.readUInt32LE(24),
    segments: readSegments(source, is64, tableOffset, header.readUInt16LE(tail), header.readUInt16LE(tail + 2)),
  };
}

function readSegments(source: ImageSource, is64: boolean, offset: number, entrySize: number, count: number): ElfSegment[] {
  if (count === 0) return [];
  const expected = is64 ? 56 : 32;
  if (entrySize !== expected) {
    throw imageError(source, `has program headers of ${entrySize} bytes where ${is64 ? 'ELF64' : 'ELF32'} has ${expected}; build it again`);
  }
  if (count * entrySize > maximumTableSize) {
    throw imageError(source, `has ${count} program headers, more than ${Math.floor(maximumTableSize / entrySize)}; link it with fewer`);
  }
  const table = readPart(source, offset, count * entrySize, 'program header table');
  return Array.from({ length: count }, (_, index) => {
    const entry = table.subarray(index * entrySize);
    const word = (at: number) => entry.readUInt32LE(at);
    const long = (at: number) => Number(entry.readBigUInt64LE(at));
    return is64
      ? {
          type: word(0),
          offset: long(8),
          virtualAddress: long(16),
          physicalAddress: long(24),
          fileSize: long(32),
          memorySize: long(40),
        }
      : {
          type: word(0),
          offset: word(4),
          virtualAddress: word(8),
          physicalAddress: word(12),
          fileSize: word(16),
          memorySize: word(20),
        };
  });
}

/** What {@link loadElf32} did: where to start, and the end of the highest segment. */
export interface LoadedElf {
  readonly entry: number;
  readonly end: number;
}

/**
 * Loads the segments of a 32-bit i386 executable at their physical addresses, with the part beyond the file's bytes cleared.
 * An entry point given as a virtual address is translated by the segment that holds it.
 * Everything is checked before the first byte is written; throws ERR_HAX_IMAGE.
 */
export function loadElf32(loader: Loader): LoadedElf {
  const elf = readElf(loader.source);
  if (elf.bits !== 32 || elf.machine !== machine386) {
    if (elf.machine !== machine386 && elf.machine !== machineX8664) {
      const name = otherMachines[elf.machine];
      throw loader.error(
        `is an ELF file for machine ${elf.machine}${name ? ` (${name})` : ''}, and this one is an x86; build it as a 32-bit i386 executable`,
      );
    }
    const kind = elf.bits === 64 ? 'a 64-bit ELF file' : 'an ELF file for machine 62 (x86-64) of 32 bits';
    throw loader.error(
      `is ${kind}, and only 32-bit i386 ones can be entered; build it with -m32, or objcopy its code with -O binary and use format: 'flat'`,
    );
  }
  if (elf.type !== fileType.executable && elf.type !== fileType.sharedObject) {
    throw loader.error('is an ELF file but not an executable; link it first');
  }
  const segments = loadableSegments(loader, elf);
  for (const segment of segments) loader.claim('segment', segment.physicalAddress, segment.memorySize);
  const entry = physicalEntry(loader, elf.entry, segments);
  for (const { offset, fileSize, physicalAddress, memorySize } of segments) loader.fill(offset, fileSize, physicalAddress, memorySize);
  return { entry, end: Math.max(...segments.map((segment) => segment.physicalAddress + segment.memorySize)) };
}

function loadableSegments(loader: Loader, elf: ElfFile): ElfSegment[] {
  const segments = elf.segments.filter((segment) => segment.type === segmentType.load && segment.memorySize > 0);
  if (segments.length === 0) throw loader.error('has no loadable segment; link it as an executable');
  for (const { offset, fileSize, memorySize, physicalAddress } of segments) {
    const name = `the segment at 0x${physicalAddress.toString(16)}`;
    if (fileSize > memorySize) throw loader.error(`has more bytes than memory for ${name}; link it again`);
    // Where a segment without bytes would be in the file means nothing.
    if (fileSize > 0 && offset + fileSize > loader.source.size) {
      throw loader.error(
        `is truncated: ${name} ends at byte ${offset + fileSize} but the file has ${loader.source.size}; copy or build it again`,
      );
    }
    if (physicalAddress + memorySize > 2 ** 32) throw loader.error(`puts ${name} beyond 4 GiB; link it lower`);
  }
  return segments;
}

function physicalEntry(loader: Loader, entry: number, segments: readonly ElfSegment[]): number {
  const byVirtual = segments.find((segment) => contains(segment.virtualAddress, segment.memorySize, entry));
  if (byVirtual) return entry - byVirtual.virtualAddress + byVirtual.physicalAddress;
  if (segments.some((segment) => contains(segment.physicalAddress, segment.memorySize, entry))) return entry;
  throw loader.error(`has its entry point 0x${entry.toString(16)} outside every segment; link it with an entry symbol (-e)`);
}

function contains(start: number, size: number, address: number): boolean {
  return address >= start && address < start + size;
}
