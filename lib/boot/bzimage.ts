import { invalidArgument } from '../util/errors';
import type { HaxError } from '../util/errors';
import { hex } from '../util/numbers';
import { readPart } from './image-source';
import type { ImageSource } from './image-source';
import { checkText } from './loader';
import type { BootResult, Loader } from './loader';
import { alignUp } from './placement';
import { bootParams, maximumE820Entries } from './zero-page';
import type { Ramdisk } from './zero-page';

/** Linux kernels by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst). */

const bootFlag = { offset: 0x1fe, value: 0xaa55 } as const;
const headerMagic = { offset: 0x202, value: 0x53726448 } as const; // "HdrS"
const headerStart = 0x1f1;
/** struct boot_params leaves this much room for the header. */
const headerLimit = 0x290;
/** The fields up to init_size, which protocol 2.12 has. */
const neededHeaderEnd = 0x264;
const protocol212 = 0x020c;
const loadedHigh = 1;
const xlfKernel64 = 1;
/** Where a kernel that is not relocatable is loaded when it is LOADED_HIGH. */
const highLoadAddress = 0x100000;
/** From the load address to the 64-bit entry point. */
const entryOffset = 0x200;
const sectorSize = 512;
const paragraph = 16;
const pageSize = 4096;
/** The entry state maps this much (page-tables.ts). */
const mappedEnd = 2 ** 32;

const buildLower = 'build it for an address where the machine has RAM';

interface SetupHeader {
  /** The header's bytes, as they go into boot_params at 0x1f1. */
  readonly bytes: Buffer;
  /** Of the protected-mode kernel in the file. */
  readonly payloadOffset: number;
  readonly payloadSize: number;
  readonly relocatable: boolean;
  readonly alignment: number;
  readonly preferredAddress: number;
  /** Memory the kernel needs from its run-time start before it reads the memory map. */
  readonly initSize: number;
  readonly commandLineSize: number;
  readonly initrdAddressMax: number;
}

export function isBzImage(source: ImageSource): boolean {
  if (source.size < headerMagic.offset + 4) return false;
  const start = readPart(source, bootFlag.offset, 8, 'boot flag');
  return start.readUInt16LE(0) === bootFlag.value && start.readUInt32LE(headerMagic.offset - bootFlag.offset) === headerMagic.value;
}

/**
 * Loads a kernel at its preferred address, or aligned above it where that is not RAM, the initrd as high as the kernel allows, and
 * enters the kernel in 64-bit mode. Needs boot protocol 2.12 (Linux 3.8) and a 64-bit kernel.
 */
export function loadBzImage(loader: Loader): BootResult {
  const header = readSetupHeader(loader);
  const { memoryMap, modules = [], rsdp = 0 } = loader.options;
  const commandLine = checkCommandLine(loader, header);
  if (modules.length > 1) throw invalidArgument(`initrd: ${loader.source.name} takes one initrd, not ${modules.length}`);
  if (memoryMap.length > maximumE820Entries) {
    throw invalidArgument(`memoryMap must have at most ${maximumE820Entries} entries for a Linux kernel, not ${memoryMap.length}`);
  }
  const { load, end } = placeKernel(loader, header);
  const ramdisk = modules[0] && loadInitrd(loader, header, modules[0].source, end);
  const params = bootParams(header.bytes, {
    load,
    commandLine: loader.storeString('command line', commandLine),
    ramdisk,
    memoryMap,
    rsdp,
  });
  const paramsAddress = loader.store('boot_params', params, pageSize);
  loader.fill(header.payloadOffset, header.payloadSize, load, header.payloadSize);
  const entry = load + entryOffset;
  return loader.result('bzimage', entry, loader.enter64(entry, { rsi: paramsAddress }));
}

function readSetupHeader(loader: Loader): SetupHeader {
  const { source } = loader;
  if (!isBzImage(source))
    throw loader.error('is not a bzImage: it has no "HdrS" at byte 0x202; leave out format to have its format recognised');
  const file = loader.read(0, neededHeaderEnd, 'setup header');
  const version = file.readUInt16LE(0x206);
  if (version < protocol212) {
    const name = `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
    throw loader.error(`speaks Linux boot protocol ${name}, and the 64-bit entry needs 2.12; give a 64-bit kernel of Linux 3.8 or later`);
  }
  if (!(file.readUInt16LE(0x236) & xlfKernel64)) {
    throw loader.error('is a Linux kernel without a 64-bit entry point; give one built for x86_64');
  }
  if (!(file[0x211] & loadedHigh)) throw loader.error('is a zImage, which is loaded below 1 MiB; build the kernel as a bzImage');
  const headerEnd = headerMagic.offset + file[0x201];
  const alignment = file.readUInt32LE(0x230);
  if (headerEnd < neededHeaderEnd || headerEnd > headerLimit) {
    throw loader.error(
      `has a setup header that ends at ${hex(headerEnd)}, which boot protocol 2.12 does not allow; copy or build it again`,
    );
  }
  const relocatable = file[0x234] !== 0;
  if (relocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0)) {
    throw loader.error(`has the kernel alignment ${hex(alignment)}, which is not a power of two; copy or build it again`);
  }
  return {
    bytes: loader.read(headerStart, headerEnd - headerStart, 'setup header'),
    ...payload(loader, file),
    relocatable,
    alignment,
    preferredAddress: Number(file.readBigUInt64LE(0x258)),
    initSize: file.readUInt32LE(0x260),
    commandLineSize: file.readUInt32LE(0x238),
    initrdAddressMax: file.readUInt32LE(0x22c),
  };
}

/** setup_sects sectors of real-mode code follow the boot sector (0 means 4); the kernel is syssize paragraphs, the last maybe cut short. */
function payload(loader: Loader, file: Buffer): { payloadOffset: number; payloadSize: number } {
  const payloadOffset = ((file[headerStart] || 4) + 1) * sectorSize;
  const declared = file.readUInt32LE(0x1f4) * paragraph;
  const payloadSize = Math.min(declared, loader.source.size - payloadOffset);
  if (declared <= entryOffset)
    throw loader.error(`has a kernel of ${declared} bytes, without its 64-bit entry point; copy or build it again`);
  if (payloadSize <= declared - paragraph) {
    throw loader.error(
      `is truncated: its kernel should end at byte ${payloadOffset + declared} but the file has ${loader.source.size}; copy or build it again`,
    );
  }
  return { payloadOffset, payloadSize };
}

function checkCommandLine(loader: Loader, { commandLineSize }: SetupHeader): string {
  const text = checkText(loader.options.append ?? '', 'append');
  const size = Buffer.byteLength(text);
  if (size > commandLineSize) {
    throw invalidArgument(`append has ${size} bytes, and ${loader.source.name} takes a command line of at most ${commandLineSize}`);
  }
  return text;
}

/**
 * A relocatable kernel goes to its preferred address or the next aligned one with room: not below, because it moves itself up to that
 * address from anywhere below it (arch/x86/boot/compressed/head_64.S). Another is loaded at 1 MiB and unpacks to its preferred address.
 */
function placeKernel(loader: Loader, header: SetupHeader): { load: number; end: number } {
  const { relocatable, alignment, payloadSize, preferredAddress } = header;
  const size = Math.max(header.initSize, payloadSize);
  if (relocatable) {
    const from = alignUp(Math.max(preferredAddress, highLoadAddress), alignment);
    const load = loader.placement.claimLowest('kernel', { size, align: alignment, from, to: mappedEnd });
    if (load === undefined)
      throw noRoom(loader, `${size} bytes from ${hex(from)} up for its kernel`, loader.memoryRemedy(from + size) ?? buildLower);
    return { load, end: load + size };
  }
  const start = Math.min(highLoadAddress, preferredAddress || highLoadAddress);
  const end = Math.max(highLoadAddress + payloadSize, (preferredAddress || highLoadAddress) + size);
  if (!loader.placement.claim('kernel', start, end - start)) {
    throw noRoom(loader, `${end - start} bytes at ${hex(start)} for its kernel`, loader.memoryRemedyAt(start, end) ?? buildLower);
  }
  return { load: highLoadAddress, end };
}

function loadInitrd(loader: Loader, header: SetupHeader, source: ImageSource, kernelEnd: number): Ramdisk {
  loader.checkModule(source);
  const size = alignUp(source.size, pageSize);
  const to = Math.min(header.initrdAddressMax + 1, mappedEnd);
  const address = loader.placement.claimHighest('initrd', { size, align: pageSize, from: highLoadAddress, to });
  if (address === undefined) {
    const remedy = loader.memoryRemedy(alignUp(kernelEnd, pageSize) + size, to) ?? 'make the initrd smaller';
    throw noRoom(loader, `${size} bytes below ${hex(to)} for the initrd ${source.name}`, remedy);
  }
  loader.copyModule(source, address);
  return { address, size: source.size };
}

function noRoom(loader: Loader, what: string, remedy: string): HaxError {
  return loader.error(`needs free RAM of ${what}; ${remedy}`);
}
