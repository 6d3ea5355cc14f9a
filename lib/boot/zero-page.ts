import type { E820Entry } from './e820';

/** struct boot_params, the "zero page" (Linux, Documentation/arch/x86/zero-page.rst and boot.rst). */

const size = 4096;
/** What e820_table has room for. */
export const maximumE820Entries = 128;
const e820EntrySize = 20;

const field = {
  acpiRsdpAddr: 0x70,
  e820Entries: 0x1e8,
  setupHeader: 0x1f1,
  vidMode: 0x1fa,
  typeOfLoader: 0x210,
  loadflags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  heapEndPtr: 0x224,
  cmdLinePtr: 0x228,
  e820Table: 0x2d0,
} as const;

/** "normal" */
const vidModeNormal = 0xffff;
/** A boot loader without an assigned id. */
const loaderUndefined = 0xff;
const canUseHeap = 0x80;
/** End of the real-mode heap of boot.rst's sample configuration, less 0x200; the 64-bit entry never uses it. */
const heapEnd = 0xe000 - 0x200;

export interface Ramdisk {
  readonly address: number;
  readonly size: number;
}

export interface ZeroPageFields {
  /** Where the protected-mode kernel was loaded. */
  readonly load: number;
  /** Address of the NUL-terminated command line. */
  readonly commandLine: number;
  readonly ramdisk: Ramdisk | undefined;
  readonly memoryMap: readonly E820Entry[];
  /** 0 when there is no ACPI. */
  readonly rsdp: number;
}

/** The zero page for a kernel with the given setup header (its bytes from 0x1f1 on); what the loader does not set is 0. */
export function bootParams(setupHeader: Uint8Array, { load, commandLine, ramdisk, memoryMap, rsdp }: ZeroPageFields): Uint8Array {
  const page = Buffer.alloc(size);
  page.set(setupHeader, field.setupHeader);
  page.writeBigUInt64LE(BigInt(rsdp), field.acpiRsdpAddr);
  page.writeUInt8(memoryMap.length, field.e820Entries);
  page.writeUInt16LE(vidModeNormal, field.vidMode);
  page.writeUInt8(loaderUndefined, field.typeOfLoader);
  page.writeUInt8(page.readUInt8(field.loadflags) | canUseHeap, field.loadflags);
  page.writeUInt32LE(load, field.code32Start);
  page.writeUInt32LE(ramdisk?.address ?? 0, field.ramdiskImage);
  page.writeUInt32LE(ramdisk?.size ?? 0, field.ramdiskSize);
  page.writeUInt16LE(heapEnd, field.heapEndPtr);
  page.writeUInt32LE(commandLine, field.cmdLinePtr);
  memoryMap.forEach((entry, index) => {
    const at = field.e820Table + index * e820EntrySize;
    page.writeBigUInt64LE(BigInt(entry.start), at);
    page.writeBigUInt64LE(BigInt(entry.size), at + 8);
    page.writeUInt32LE(entry.type, at + 16);
  });
  return page;
}
