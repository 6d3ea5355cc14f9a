import { hex } from '../util/numbers';
import { storeBiosData } from './bios-data';
import { isElf, loadElf32, readElf } from './elf';
import type { LoadedElf } from './elf';
import { readPart } from './image-source';
import type { ImageSource } from './image-source';
import { checkText } from './loader';
import type { BootResult, Loader } from './loader';
import { storeMultibootInfo } from './multiboot-info';
import type { LoadedModule } from './multiboot-info';
import { alignUp } from './placement';

/** Multiboot 1 (Multiboot Specification 0.6.96): finding the header, loading the kernel and its modules. */

const headerMagic = 0x1badb002;
/** In EAX at entry. */
const bootMagic = 0x2badb002;
/** The header lies wholly in here, on a 4-byte boundary (3.1). */
const searchSize = 8192;
const shortHeader = 12;
const headerWithAddresses = 32;
const pageSize = 4096;
/** The 256 vectors that {@link storeBiosData} writes, where a PC's firmware has them: kernels go back to real mode and use `int`. */
const realModeIdt = { base: 0, limit: 0x3ff } as const;
const oneMiB = 2 ** 20;

/** Header flags (3.1.2). Bits 0 to 15 are requirements: what is not understood there must be refused. */
const flag = { pageAlignedModules: 1, memoryInformation: 2, videoMode: 4, addressFields: 0x10000 } as const;
const requirements = 0xffff;
/** The video mode is a wish: QEMU and GRUB boot such kernels on machines without graphics, too, and tell them by flags 11 and 12 of the information (3.3). */
const understood = flag.pageAlignedModules | flag.memoryInformation | flag.videoMode;

export interface MultibootHeader {
  /** Of the header in the file. */
  readonly offset: number;
  readonly flags: number;
  /** Present with flag bit 16: where to load, in place of an executable's own headers (3.1.3). */
  readonly addresses?: {
    readonly header: number;
    readonly load: number;
    readonly loadEnd: number;
    readonly bssEnd: number;
    readonly entry: number;
  };
}

/** The first header in the file's first 8 KiB whose checksum is right; undefined when there is none. */
export function findMultibootHeader(source: ImageSource): MultibootHeader | undefined {
  const start = readPart(source, 0, Math.min(searchSize, source.size), 'first 8 KiB');
  for (let offset = 0; offset + shortHeader <= start.length; offset += 4) {
    if (start.readUInt32LE(offset) !== headerMagic) continue;
    const flags = start.readUInt32LE(offset + 4);
    if (((headerMagic + flags + start.readUInt32LE(offset + 8)) & 0xffffffff) !== 0) continue;
    if (!(flags & flag.addressFields)) return { offset, flags };
    if (offset + headerWithAddresses > start.length) continue;
    const field = (at: number) => start.readUInt32LE(offset + at);
    return {
      offset,
      flags,
      addresses: { header: field(12), load: field(16), loadEnd: field(20), bssEnd: field(24), entry: field(28) },
    };
  }
  return undefined;
}

/** Multiboot 2 (Multiboot2 Specification 2.0, 3.1.1): magic, architecture, length and checksum, on an 8-byte boundary of the first 32 KiB. */
const multiboot2 = { magic: 0xe85250d6, searchSize: 32768, header: 16 } as const;

/** Whether there is a header of Multiboot 2, which has another way of entry: kernels look at what EAX tells them. */
export function hasMultiboot2Header(source: ImageSource): boolean {
  const start = readPart(source, 0, Math.min(multiboot2.searchSize, source.size), 'first 32 KiB');
  for (let offset = 0; offset + multiboot2.header <= start.length; offset += 8) {
    if (start.readUInt32LE(offset) !== multiboot2.magic) continue;
    const sum = [0, 4, 8, 12].reduce((total, at) => total + start.readUInt32LE(offset + at), 0);
    if (sum % 2 ** 32 === 0) return true;
  }
  return false;
}

/**
 * Loads a multiboot kernel by its address fields or its ELF32 headers, then the modules behind it, page aligned, from 1 MiB up.
 * Low memory holds BIOS data, as the specification wants it (3.2). The kernel's command line is its file name, a blank and `append`, as QEMU passes it.
 */
export function loadMultiboot(loader: Loader): BootResult {
  const { source, options } = loader;
  const header = findMultibootHeader(source);
  if (!header) {
    throw loader.error(
      'has no multiboot header with a valid checksum in its first 8192 bytes; check its linker script, or leave out format',
    );
  }
  checkRequirements(loader, header.flags);
  const append = checkText(options.append ?? '', 'append');
  const kernel = header.addresses ? loadByAddresses(loader, header.offset, header.addresses) : loadByElf(loader);
  const modules = loadModules(loader, kernel.end);
  storeBiosData(loader);
  const info = storeMultibootInfo(loader, {
    commandLine: append ? `${source.name} ${append}` : source.name,
    modules,
    memoryMap: options.memoryMap,
  });
  const registers = loader.enter32(kernel.entry, { rax: bootMagic, rbx: info, idt: realModeIdt });
  return loader.result('multiboot', kernel.entry, registers);
}

function checkRequirements(loader: Loader, flags: number): void {
  const unknown = flags & requirements & ~understood;
  if (unknown) {
    throw loader.error(`requires multiboot features that do not exist (flags ${hex(unknown)}); clear them in its multiboot header`);
  }
}

function loadByElf(loader: Loader): LoadedElf {
  const { source } = loader;
  if (!isElf(source)) {
    throw loader.error(
      'is a multiboot kernel without load addresses and not an ELF file; set flag 16 and the address fields in its header',
    );
  }
  if (readElf(source).bits === 64) {
    throw loader.error('is a 64-bit ELF file, and multiboot enters 32-bit code; convert it with objcopy -O elf32-i386');
  }
  return loadElf32(loader);
}

function loadByAddresses(loader: Loader, offset: number, fields: NonNullable<MultibootHeader['addresses']>): LoadedElf {
  const { header, load, entry } = fields;
  const start = offset - (header - load);
  if (load > header || start < 0) {
    throw loader.error(
      `has a multiboot header whose load address ${hex(load)} does not fit its header address ${hex(header)}; link it again`,
    );
  }
  const loadEnd = fields.loadEnd || load + (loader.source.size - start);
  const end = fields.bssEnd || loadEnd;
  if (loadEnd <= load || end < loadEnd) {
    throw loader.error('has a multiboot header whose load, load end and bss end addresses are not in ascending order; link it again');
  }
  const length = loadEnd - load;
  if (start + length > loader.source.size) {
    throw loader.error(
      `is truncated: it should be loaded up to byte ${start + length} but the file has ${loader.source.size}; copy or build it again`,
    );
  }
  if (entry < load || entry >= end) {
    throw loader.error(`has its entry point ${hex(entry)} outside ${hex(load)} to ${hex(end - 1)}; correct its multiboot header`);
  }
  loader.claim('kernel', load, end - load);
  loader.fill(start, length, load, end - load);
  return { entry, end };
}

function loadModules(loader: Loader, kernelEnd: number): LoadedModule[] {
  const loaded: LoadedModule[] = [];
  let from = alignUp(Math.max(kernelEnd, oneMiB), pageSize);
  for (const { source, text = source.name } of loader.options.modules ?? []) {
    checkText(text, 'the string of a module');
    loader.checkModule(source);
    const size = alignUp(source.size, pageSize);
    const start = loader.placement.claimLowest('module', { size, align: pageSize, from, to: 2 ** 32 });
    if (start === undefined) {
      const remedy = loader.memoryRemedy(from + size) ?? 'make it smaller';
      throw loader.error(`leaves no ${size} bytes of RAM below 4 GiB for the module ${source.name}; ${remedy}`);
    }
    loader.copyModule(source, start);
    loaded.push({ start, end: start + source.size, text });
    from = start + size;
  }
  return loaded;
}
