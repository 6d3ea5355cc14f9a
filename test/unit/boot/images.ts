/** Images for the boot tests, built field by field, and the machine they are loaded into. */
import { buildE820 } from '../../../lib/boot/e820';
import { imageFromBytes } from '../../../lib/boot/image-source';
import type { ImageSource } from '../../../lib/boot/image-source';
import { loadImage } from '../../../lib/boot/image';
import type { LoadOptions } from '../../../lib/boot/image';
import type { BootResult } from '../../../lib/boot/loader';
import type { CpuStateInit } from '../../../lib/util/cpu-state';
import { HaxError } from '../../../lib/util/errors';
import { FakeMemory } from '../../support/fake-memory';

export const MiB = 2 ** 20;

export const bootArea = { start: 0x1000, size: 0x8f000 };

/** 640 KiB and what lies above 1 MiB, as on a PC. */
export function pcMap(size: number) {
  return buildE820({
    ram: [
      { start: 0, size: 0xa0000 },
      { start: MiB, size: size - MiB },
    ],
  });
}

export interface Loaded extends BootResult {
  memory: FakeMemory;
  registers: CpuStateInit & { rsp: number; rip: number };
}

/** Loads bytes into a fresh machine whose RAM is full of garbage where the loader does not write. */
export function load(bytes: Uint8Array, options: Partial<LoadOptions> & { ram?: number; name?: string } = {}): Loaded {
  const { ram = 8 * MiB, name = 'image', ...rest } = options;
  const memory = new FakeMemory(ram);
  memory.bytes.fill(0xee);
  const result = loadImage(imageFromBytes(name, bytes), memory, { memoryMap: pcMap(ram), bootArea, ...rest });
  return { ...result, memory } as Loaded;
}

/** The HaxError that an action throws; anything else fails the test. */
export function refusal(action: () => unknown): HaxError {
  try {
    action();
  } catch (error) {
    if (error instanceof HaxError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** The range placed under a name. */
export function placed(result: BootResult, what: string) {
  const range = result.placed.find((each) => each.what === what);
  if (!range) throw new Error(`no ${what} among ${result.placed.map((each) => each.what).join(', ')}`);
  return range;
}

/** A source that hands out no direct reads and records what was asked of it. */
export function recordingSource(name: string, bytes: Uint8Array): ImageSource & { reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name,
    size: bytes.length,
    reads,
    read(offset, length) {
      reads.push([offset, length]);
      return bytes.subarray(offset, offset + length);
    },
  };
}

export interface SegmentSpec {
  type?: number;
  physical?: number;
  virtual?: number;
  contents?: Uint8Array;
  /** Size in memory; that of the contents by default. */
  size?: number;
}

export interface ElfSpec {
  bits?: 32 | 64;
  machine?: number;
  type?: number;
  entry?: number;
  segments?: SegmentSpec[];
  /** Bytes between the headers and the first segment's contents. */
  preamble?: Uint8Array;
}

const code = Buffer.from('f4ebfd', 'hex'); // hlt; jmp $-1

/** An ELF executable: file header, program headers, preamble, contents of the segments one after another. */
export function elf({ bits = 32, machine = bits === 32 ? 3 : 62, type = 2, entry = MiB, segments, preamble }: ElfSpec = {}): Buffer {
  const specs: SegmentSpec[] = segments ?? [{ physical: MiB, contents: code }];
  const [headerSize, entrySize] = bits === 32 ? [52, 32] : [64, 56];
  const header = Buffer.alloc(headerSize + specs.length * entrySize);
  header.write('\x7fELF', 'latin1');
  header.set([bits / 32, 1, 1], 4);
  header.writeUInt16LE(type, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeUInt32LE(entry, 24);
  header.writeUInt32LE(headerSize, bits === 32 ? 28 : 32);
  const tail = bits === 32 ? 40 : 52;
  header.writeUInt16LE(headerSize, tail);
  header.writeUInt16LE(entrySize, tail + 2);
  header.writeUInt16LE(specs.length, tail + 4);
  const bodies = [header, preamble ?? Buffer.alloc(0)];
  let offset = header.length + (preamble?.length ?? 0);
  specs.forEach(({ type: kind = 1, physical = MiB, virtual = physical, contents = Buffer.alloc(0), size = contents.length }, index) => {
    const at = headerSize + index * entrySize;
    const fields = bits === 32 ? [0, 4, 8, 12, 16, 20] : [0, 8, 16, 24, 32, 40];
    [kind, offset, virtual, physical, contents.length, size].forEach((value, field) => header.writeUInt32LE(value, at + fields[field]));
    bodies.push(Buffer.from(contents));
    offset += contents.length;
  });
  return Buffer.concat(bodies);
}

/** An ELF note, as in a PT_NOTE segment. */
export function note(name: string, type: number, descriptor: Uint8Array): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(name.length + 1, 0);
  header.writeUInt32LE(descriptor.length, 4);
  header.writeUInt32LE(type, 8);
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  return Buffer.concat([header, padded(Buffer.from(`${name}\0`)), padded(descriptor)]);
}

/** A multiboot header, with address fields when they are given. */
export function multibootHeader(flags = 0, addresses: [number, number, number, number, number] | [] = []): Buffer {
  const allFlags = (addresses.length ? flags | 0x10000 : flags) >>> 0;
  const fields = [0x1badb002, allFlags, -(0x1badb002 + allFlags) >>> 0, ...addresses];
  const header = Buffer.alloc(fields.length * 4);
  fields.forEach((field, index) => header.writeUInt32LE(field, index * 4));
  return header;
}

export interface BzImageSpec {
  payloadSize?: number;
  setupSects?: number;
  version?: number;
  preferred?: number;
  alignment?: number;
  initSize?: number;
  relocatable?: boolean;
  xloadflags?: number;
  loadflags?: number;
  commandLineSize?: number;
  initrdMax?: number;
  /** Of the setup header, counted from 0x202. */
  headerLength?: number;
}

/** A Linux image with a payload of recognisable bytes; by default a relocatable 64-bit kernel for 2 MiB that needs 1 MiB. */
export function bzImage(spec: BzImageSpec = {}): Buffer {
  const { payloadSize = 0x3000, setupSects = 2 } = spec;
  const payloadOffset = ((setupSects || 4) + 1) * 512;
  const image = Buffer.alloc(payloadOffset + payloadSize);
  image.fill(0x5a, payloadOffset);
  image.write('start of the kernel\0', payloadOffset);
  image.writeUInt8(setupSects, 0x1f1);
  image.writeUInt32LE(Math.ceil(payloadSize / 16), 0x1f4);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.writeUInt8(0xeb, 0x200);
  image.writeUInt8(spec.headerLength ?? 0x6a, 0x201);
  image.write('HdrS', 0x202);
  image.writeUInt16LE(spec.version ?? 0x020f, 0x206);
  image.writeUInt8(spec.loadflags ?? 1, 0x211);
  image.writeUInt32LE(MiB, 0x214);
  image.writeUInt32LE(spec.initrdMax ?? 0x7fffffff, 0x22c);
  image.writeUInt32LE(spec.alignment ?? 2 * MiB, 0x230);
  image.writeUInt8(spec.relocatable === false ? 0 : 1, 0x234);
  image.writeUInt16LE(spec.xloadflags ?? 1, 0x236);
  image.writeUInt32LE(spec.commandLineSize ?? 2047, 0x238);
  image.writeBigUInt64LE(BigInt(spec.preferred ?? 2 * MiB), 0x258);
  image.writeUInt32LE(spec.initSize ?? MiB, 0x260);
  return image;
}

/** A boot sector of one HLT, with bytes behind it. */
export function bootSector(tail = 0): Buffer {
  const sector = Buffer.alloc(512 + tail, 0x90);
  sector.writeUInt8(0xf4, 0);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
