import type { GuestMemoryAccess } from '../memory/guest-memory';
import type { CpuStateInit } from '../util/cpu-state';
import { invalidArgument } from '../util/errors';
import type { HaxError } from '../util/errors';
import { checkInteger, hex } from '../util/numbers';
import { e820Type, lowRamLimit } from './e820';
import type { E820Entry, PhysicalRange } from './e820';
import { copyToGuest, imageError, readPart, zeroGuest } from './image-source';
import type { ImageSource } from './image-source';
import { Placement } from './placement';
import type { PlacedRange } from './placement';
import { bootGdt, flat32, long64 } from './registers';
import type { Flat32Options, GdtLocation } from './registers';
import { identityMap, identityMapSize } from './page-tables';

export const imageFormats = ['bzimage', 'multiboot', 'pvh', 'elf', 'bootsector', 'flat'] as const;
/** The kinds of images that can be booted. */
export type ImageFormat = (typeof imageFormats)[number];

/** A file handed to the guest beside its kernel. */
export interface BootModule {
  readonly source: ImageSource;
  /** Multiboot: the string that goes with the module; its name by default. */
  readonly text?: string;
}

export interface BootOptions {
  /** The machine's memory map; only what it calls RAM is written. */
  readonly memoryMap: readonly E820Entry[];
  /**
   * RAM below 4 GiB where the loader may put what it passes to the guest: GDT, page tables, command line, information structures and
   * a first stack, 64 KiB or more. It need not be free: structures are placed around an image that is loaded into it.
   */
  readonly bootArea: PhysicalRange;
  /**
   * Memory that the map keeps from the guest and that an image may be loaded into all the same, next to its RAM: where a PC has the shadow of its
   * BIOS. A linker that is told to begin at 1 MiB (`ld -Ttext 0x100000`) puts the ELF headers, as a segment, into the page before.
   */
  readonly shadow?: PhysicalRange;
  /** Command line (bzImage, multiboot). */
  readonly append?: string;
  /** bzImage: at most one, the initial RAM disk; multiboot: the modules. */
  readonly modules?: readonly BootModule[];
  /** bzImage: guest-physical address of the ACPI RSDP. */
  readonly rsdp?: number;
  /** Boot sector: BIOS drive number in DL; 0x80, the first hard disk, by default. */
  readonly bootDrive?: number;
  /** Boot sector, multiboot: the first I/O port of each serial port, COM1 first. */
  readonly serialPorts?: readonly number[];
  /** Flat image: where and how it starts. */
  readonly flat?: FlatOptions;
}

export interface FlatOptions {
  /** Guest-physical load address; 0x7c00 by default. */
  readonly load?: number;
  /** Guest-physical address of the first instruction; `load` by default. */
  readonly entry?: number;
  /** Processor mode at entry, in address bits; 16 (real mode) by default. */
  readonly mode?: 16 | 32 | 64;
}

export interface BootResult {
  readonly format: ImageFormat;
  /** The complete state in which the boot processor starts. */
  readonly registers: CpuStateInit;
  /** Guest-physical address of the first instruction. */
  readonly entry: number;
  /** Everything that was written, in the order of placement. */
  readonly placed: readonly PlacedRange[];
}

const stackSize = 4096;
/** The interrupt table and the BIOS's data lie below. */
export const biosDataEnd = 0x500;
/** Addresses that 32-bit structures and the identity map reach. */
const fourGiB = 2 ** 32;

/** One image on its way into one guest: what every format's loader needs. */
export class Loader {
  readonly placement: Placement;

  constructor(
    readonly source: ImageSource,
    readonly memory: GuestMemoryAccess,
    readonly options: BootOptions,
  ) {
    const { start, size } = options.bootArea;
    checkInteger(start, 'bootArea.start', 0, fourGiB - 1);
    checkInteger(size, 'bootArea.size', 1, fourGiB - start);
    const { memoryMap, shadow } = options;
    this.placement = new Placement(shadow ? [...memoryMap, { ...shadow, type: e820Type.ram }] : memoryMap);
  }

  /** ERR_HAX_IMAGE about this file; see {@link imageError}. */
  error(sentence: string): HaxError {
    return imageError(this.source, sentence);
  }

  /** See {@link readPart}. */
  read(offset: number, length: number, what: string): Buffer {
    return readPart(this.source, offset, length, what);
  }

  /** Takes a range at an address that the image fixes; throws ERR_HAX_IMAGE when it is not free RAM. */
  claim(what: string, start: number, size: number): void {
    if (this.placement.claim(what, start, size)) return;
    const end = start + size;
    const at = `${hex(start)} to ${hex(end - 1)}`;
    const other = this.placement.conflict(start, size);
    if (other) throw this.error(`wants its ${what} at ${at}, where its ${other.what} is; build it with separate ranges`);
    const remedy = this.memoryRemedyAt(start, end);
    if (remedy) throw this.error(`wants its ${what} at ${at}; ${remedy}`);
    throw this.error(
      `wants its ${what} at ${at}, which is not all RAM in this machine; make it smaller, or build or load it for another address`,
    );
  }

  /** The remedy when RAM ends before `end`, in whole MiB; undefined where more memory would not go up to there. */
  memoryRemedy(end: number, limit = lowRamLimit): string | undefined {
    if (end <= this.placement.lowTop || end > Math.min(limit, lowRamLimit)) return undefined;
    return `give the guest at least ${Math.ceil(end / 2 ** 20)}M of memory`;
  }

  /** As {@link memoryRemedy}, for a range at a fixed address: none where a part of it is reserved, however much memory there is. */
  memoryRemedyAt(start: number, end: number): string | undefined {
    const reserved = this.options.memoryMap.some(
      (entry) => entry.type !== e820Type.ram && entry.start < end && start < entry.start + entry.size,
    );
    return reserved ? undefined : this.memoryRemedy(end);
  }

  /** Puts a structure for the guest into the boot area and returns its address. */
  store(what: string, bytes: Uint8Array, align = 16): number {
    const address = this.#reserve(what, bytes.length, align);
    this.memory.write(address, bytes);
    return address;
  }

  /** A NUL-terminated string in the boot area. */
  storeString(what: string, text: string): number {
    return this.store(what, Buffer.from(`${text}\0`), 1);
  }

  /** Room for a first stack; returns its start and its exclusive end. */
  stack(): { start: number; end: number } {
    const start = this.#reserve('stack', stackSize, 16);
    return { start, end: start + stackSize };
  }

  /** As {@link stack}, below 64 KiB where there is room: then real mode reaches it with ss = 0. */
  realModeStack(): { start: number; end: number } {
    const start = this.placement.claimHighest('stack', { size: stackSize, align: 16, from: biosDataEnd, to: 0x10000 });
    return start === undefined ? this.stack() : { start, end: start + stackSize };
  }

  /** Copies a part of the image to a range that was claimed, and clears the rest of the range. */
  fill(offset: number, length: number, gpa: number, size: number): void {
    copyToGuest(this.source, offset, length, this.memory, gpa);
    if (size > length) zeroGuest(this.memory, gpa + length, size - length);
  }

  /** Copies a whole module to a range that was claimed. */
  copyModule(module: ImageSource, gpa: number): void {
    copyToGuest(module, 0, module.size, this.memory, gpa);
  }

  /** Flat protected mode at `entry`, with a GDT and a stack; `changes` are registers the format prescribes. */
  enter32(entry: number, changes: CpuStateInit = {}): CpuStateInit {
    const registers: Flat32Options = { ip: entry, sp: this.stack().end, gdt: this.#gdt(32) };
    return { ...flat32(registers), ...changes };
  }

  /** 64-bit mode at `entry` with the first 4 GiB mapped to themselves, a GDT and a stack. */
  enter64(entry: number, changes: CpuStateInit = {}): CpuStateInit {
    const cr3 = this.#reserve('page tables', identityMapSize, 4096);
    this.memory.write(cr3, identityMap(cr3));
    return { ...long64({ ip: entry, sp: this.stack().end, cr3, gdt: this.#gdt(64) }), ...changes };
  }

  result(format: ImageFormat, entry: number, registers: CpuStateInit): BootResult {
    return { format, registers, entry, placed: this.placement.placed };
  }

  /** Throws ERR_HAX_INVALID_ARGUMENT when options were given that this format has no way to pass on. */
  refuse(options: readonly ('append' | 'modules')[], format: string): void {
    if (options.includes('append') && this.options.append) {
      throw invalidArgument(`append: ${this.source.name} is started as ${format}, which takes no command line`);
    }
    if (options.includes('modules') && this.options.modules?.length) {
      throw invalidArgument(`initrd: ${this.source.name} is started as ${format}, which takes no initrd or module`);
    }
  }

  /** A module's size; throws ERR_HAX_IMAGE when it is empty. */
  checkModule(module: ImageSource): void {
    if (module.size === 0) throw imageError(module, 'is empty; give the initrd or module that was meant, or none');
  }

  #gdt(mode: 32 | 64): GdtLocation {
    const table = bootGdt(mode);
    return { base: this.store('GDT', table), limit: table.length - 1 };
  }

  #reserve(what: string, size: number, align: number): number {
    const { start, size: areaSize } = this.options.bootArea;
    const to = start + areaSize;
    const address = this.placement.claimLowest(what, { size, align, from: start, to });
    if (address === undefined) {
      throw this.error(
        `leaves no ${size} bytes for the ${what} in the boot area ${hex(start)} to ${hex(to - 1)}; load it elsewhere or pass shorter strings`,
      );
    }
    return address;
  }
}

/** Throws ERR_HAX_INVALID_ARGUMENT for text that a NUL-terminated string cannot carry. */
export function checkText(text: string, name: string): string {
  if (text.includes('\0')) throw invalidArgument(`${name} must not contain a NUL character`);
  return text;
}
