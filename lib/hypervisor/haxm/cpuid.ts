/** The CPUID table of GET_CPUID and SET_CPUID: a header of 8 bytes and entries of 40. */
import type { CpuidEntry } from '../cpuid';

export const maxCpuidEntries = 64;

const parts = ['function', 'index', 'flags', 'eax', 'ebx', 'ecx', 'edx'] as const;
const header = 8;
const entrySize = 40;

/** A table with room for `room` entries; GET_CPUID wants the number in its header. */
export function packCpuidTable(entries: readonly CpuidEntry[], room = entries.length): Buffer {
  const bytes = Buffer.alloc(header + room * entrySize);
  bytes.writeUInt32LE(room, 0);
  entries.forEach((entry, i) => parts.forEach((part, j) => bytes.writeUInt32LE(entry[part], header + i * entrySize + j * 4)));
  return bytes;
}

export function unpackCpuidTable(bytes: Buffer): CpuidEntry[] {
  const total = Math.min(bytes.readUInt32LE(0), Math.floor((bytes.length - header) / entrySize));
  return Array.from({ length: total }, (_, i) => {
    const at = (part: (typeof parts)[number]): number => bytes.readUInt32LE(header + i * entrySize + parts.indexOf(part) * 4);
    return Object.fromEntries(parts.map((part) => [part, at(part)])) as unknown as CpuidEntry;
  });
}
