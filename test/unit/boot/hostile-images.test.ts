/** Whatever an image holds, loading it ends soon, and with a result or a HaxError. */
import fc from 'fast-check';
import { loadImage } from '../../../lib/boot/image';
import { imageFromBytes } from '../../../lib/boot/image-source';
import { imageFormats } from '../../../lib/boot/loader';
import { HaxError } from '../../../lib/util/errors';
import { FakeMemory } from '../../support/fake-memory';
import { bootArea, bootSector, bzImage, elf, MiB, multibootHeader, note, pcMap } from './images';

const ram = 8 * MiB;
const memory = new FakeMemory(ram);
const memoryMap = pcMap(ram);

const images = {
  bzImage: bzImage(),
  'non-relocatable bzImage': bzImage({ relocatable: false }),
  'multiboot by addresses': Buffer.concat([multibootHeader(3, [MiB, MiB, MiB + 64, MiB + 128, MiB + 32]), Buffer.alloc(64)]),
  'multiboot ELF': elf({ preamble: multibootHeader(3), segments: [{ contents: Buffer.alloc(64) }, { physical: 2 * MiB, size: 4096 }] }),
  'PVH ELF': elf({ segments: [{ contents: Buffer.alloc(64) }, { type: 4, contents: note('Xen', 18, Buffer.alloc(8)) }] }),
  'PVH ELF64': elf({ bits: 64, segments: [{ contents: Buffer.alloc(64) }, { type: 4, contents: note('Xen', 18, Buffer.alloc(8)) }] }),
  ELF: elf({
    segments: [
      { contents: Buffer.alloc(64), size: 4096 },
      { physical: 2 * MiB, contents: Buffer.alloc(8) },
    ],
  }),
  'boot sector': bootSector(64),
};

const initrd = { source: imageFromBytes('initrd', Buffer.alloc(100)) };

function survives(bytes: Uint8Array): void {
  for (const format of ['auto', ...imageFormats] as const) {
    try {
      const modules = format === 'auto' ? [initrd] : [];
      const { entry, placed } = loadImage(imageFromBytes('image', bytes), memory, { memoryMap, bootArea, format, modules });
      expect(placed.some(({ start, size }) => entry >= start && entry < start + size)).toBe(true);
    } catch (error) {
      if (!(error instanceof HaxError)) throw error;
      expect(['ERR_HAX_IMAGE', 'ERR_HAX_UNSUPPORTED', 'ERR_HAX_INVALID_ARGUMENT']).toContain(error.code);
      expect(error.message).toMatch(/image/);
    }
  }
}

describe.each(Object.entries(images))('%s', (_, image) => {
  test('cut short anywhere in its headers', () => {
    for (let length = 0; length <= Math.min(image.length, 0x280); length += length < 0x60 ? 1 : 5) survives(image.subarray(0, length));
  });

  test('with 32-bit words overwritten', () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff), fc.nat(0xffffffff), fc.nat(image.length));
    const changes = fc.array(fc.tuple(fc.nat(Math.min(image.length, 0x300) - 4), word), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(changes, (list) => {
        const changed = Buffer.from(image);
        for (const [offset, value] of list) changed.writeUInt32LE(value, offset);
        survives(changed);
      }),
      { numRuns: 100 },
    );
  });
});

test('random bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => survives(bytes)),
    { numRuns: 100 },
  );
});

test('an ELF file with the most program headers there may be is loaded at once', () => {
  const segments = Array.from({ length: 2048 }, (_, index) => ({
    physical: MiB + index * 2048,
    contents: Buffer.from([0xf4]),
    size: 2048,
  }));
  const began = process.cpuUsage();
  survives(elf({ segments }));
  survives(elf({ segments: segments.map((segment) => ({ ...segment, type: 4, contents: Buffer.alloc(0x4000) })) }));
  const { user, system } = process.cpuUsage(began);
  expect((user + system) / 1e6).toBeLessThan(10);
});
