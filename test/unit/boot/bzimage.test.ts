import { imageFromBytes } from '../../../lib/boot/image-source';
import { bzImage, load, MiB, pcMap, placed, refusal } from './images';
import type { BzImageSpec, Loaded } from './images';

const zeroPage = ({ memory, registers }: Loaded) => memory.read(Number(registers.rsi), 4096);
const initrd = (size: number, name = 'initrd.img') => [{ source: imageFromBytes(name, Buffer.alloc(size, 0x77)) }];

describe('a relocatable kernel', () => {
  test('goes to its preferred address and is entered in 64-bit mode at +0x200', () => {
    const result = load(bzImage(), { append: 'console=ttyS0' });
    expect(result).toMatchObject({ format: 'bzimage', entry: 2 * MiB + 0x200 });
    expect(result.registers).toMatchObject({ rip: 2 * MiB + 0x200, cr0: 0x80000031, efer: 0x500, rflags: 2 });
    expect(result.memory.string(2 * MiB)).toBe('start of the kernel');
    expect(placed(result, 'kernel')).toMatchObject({ start: 2 * MiB, size: MiB });
  });

  test('goes to the next aligned address when the preferred one is not RAM', () => {
    const memoryMap = [
      { start: 0, size: 0xa0000, type: 1 },
      { start: MiB, size: MiB + 0x1000, type: 1 },
      { start: 2 * MiB + 0x1000, size: 0x1000, type: 2 },
      { start: 2 * MiB + 0x2000, size: 30 * MiB, type: 1 },
    ] as const;
    const result = load(bzImage(), { memoryMap, ram: 40 * MiB });
    expect(result.entry).toBe(4 * MiB + 0x200);
    expect(zeroPage(result).readUInt32LE(0x214)).toBe(4 * MiB);
  });

  test('is aligned up when its preferred address is not, and never goes below 1 MiB', () => {
    expect(load(bzImage({ preferred: 2 * MiB + 1 })).entry).toBe(4 * MiB + 0x200);
    expect(load(bzImage({ preferred: 0, alignment: 0x1000 })).entry).toBe(MiB + 0x200);
  });

  test('may need less than it brings', () => expect(placed(load(bzImage({ initSize: 1 })), 'kernel').size).toBe(0x3000));
});

describe('a kernel that is not relocatable', () => {
  test('is loaded at 1 MiB, with room where it unpacks itself', () => {
    const result = load(bzImage({ relocatable: false, preferred: 4 * MiB, alignment: 0 }));
    expect(result.entry).toBe(MiB + 0x200);
    expect(placed(result, 'kernel')).toMatchObject({ start: MiB, size: 4 * MiB });
    expect(placed(load(bzImage({ relocatable: false, preferred: 0 })), 'kernel')).toMatchObject({ start: MiB, size: MiB });
  });

  test('needs all of it', () => {
    const error = refusal(() => load(bzImage({ relocatable: false, preferred: 8 * MiB })));
    expect(error.message).toMatch(/needs free RAM of 8388608 bytes at 0x100000 for its kernel; give the guest at least 9M of memory/);
  });
});

test('an initrd for which no memory has room, and a kernel with no entry, are told as such', () => {
  const big = { name: 'initrd.img', size: 2200 * MiB, read: () => Buffer.alloc(0) };
  expect(refusal(() => load(bzImage(), { modules: [{ source: big }] })).message).toMatch(
    /needs free RAM of 2306867200 bytes below 0x80000000 for the initrd initrd.img; make the initrd smaller$/,
  );
  const short = bzImage();
  short.writeUInt32LE(16, 0x1f4);
  expect(refusal(() => load(short)).message).toMatch(/has a kernel of 256 bytes, without its 64-bit entry point; copy or build it again$/);
});

describe('boot_params', () => {
  test('has the setup header, and zeros around what the loader sets', () => {
    const image = bzImage({ headerLength: 0x62 });
    image.fill(0xff, 0x264);
    const page = zeroPage(load(image, { rsdp: 0xe0000, append: 'quiet' }));
    expect(page.readBigUInt64LE(0x70)).toBe(0xe0000n);
    expect(page.readUInt16LE(0x206)).toBe(0x20f);
    expect(page[0x1ef]).toBe(0);
    expect(page.readUInt16LE(0x1fa)).toBe(0xffff);
    expect(page[0x210]).toBe(0xff);
    expect(page[0x211]).toBe(0x81);
    expect(page.readUInt16LE(0x224)).toBe(0xde00);
    expect(page.readUInt32LE(0x260)).toBe(MiB);
    expect(page.readUInt32LE(0x264)).toBe(0); // beyond the header's end
    expect([page.readUInt32LE(0x218), page.readUInt32LE(0x21c)]).toEqual([0, 0]);
  });

  test('points to the command line', () => {
    const result = load(bzImage(), { append: 'root=/dev/ram0 büro' });
    expect(result.memory.string(zeroPage(result).readUInt32LE(0x228))).toBe('root=/dev/ram0 büro');
    const without = load(bzImage());
    expect(without.memory.string(zeroPage(without).readUInt32LE(0x228))).toBe('');
  });

  test('lists the memory map', () => {
    const page = zeroPage(load(bzImage()));
    expect(page[0x1e8]).toBe(2);
    expect(page.readBigUInt64LE(0x2d0 + 20)).toBe(BigInt(MiB));
    expect(page.readBigUInt64LE(0x2d0 + 28)).toBe(BigInt(7 * MiB));
    expect(page.readUInt32LE(0x2d0 + 36)).toBe(1);
  });

  test('cannot list more than 128 ranges', () => {
    const memoryMap = [
      ...pcMap(8 * MiB),
      ...Array.from({ length: 127 }, (_, index) => ({ start: 2 ** 32 + index * 8192, size: 4096, type: 1 as const })),
    ];
    expect(load(bzImage(), { memoryMap: memoryMap.slice(0, 128) }).format).toBe('bzimage');
    const error = refusal(() => load(bzImage(), { memoryMap }));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toMatch(/^memoryMap must have at most 128 entries.*not 129/);
  });
});

describe('the initrd', () => {
  test('goes as high as memory allows, on a page boundary', () => {
    const result = load(bzImage(), { modules: initrd(5000) });
    const page = zeroPage(result);
    expect([page.readUInt32LE(0x218), page.readUInt32LE(0x21c)]).toEqual([8 * MiB - 0x2000, 5000]);
    expect(result.memory.read(8 * MiB - 0x2000, 5000).every((byte) => byte === 0x77)).toBe(true);
  });

  test('stays below initrd_addr_max', () => {
    const page = zeroPage(load(bzImage({ initrdMax: 5 * MiB - 1 }), { modules: initrd(0x1000) }));
    expect(page.readUInt32LE(0x218)).toBe(5 * MiB - 0x1000);
    const error = refusal(() => load(bzImage({ initrdMax: 0 }), { modules: initrd(0x1000) }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(/needs free RAM of 4096 bytes below 0x1 for the initrd initrd\.img; make the initrd smaller/);
  });

  test('names the memory it needs', () => {
    const error = refusal(() => load(bzImage(), { modules: initrd(6 * MiB), name: 'vmlinuz' }));
    expect(error.message).toMatch(
      /^vmlinuz needs free RAM of 6291456 bytes below 0x80000000 for the initrd initrd\.img; give the guest at least 9M/,
    );
    expect(load(bzImage(), { modules: initrd(6 * MiB), ram: 9 * MiB }).format).toBe('bzimage');
  });

  test('is one file that is not empty', () => {
    expect(refusal(() => load(bzImage(), { modules: [...initrd(1), ...initrd(1)] })).message).toMatch(
      /^initrd: image takes one initrd, not 2/,
    );
    expect(refusal(() => load(bzImage(), { modules: initrd(0) })).message).toMatch(/^initrd\.img is empty; /);
  });
});

describe('a kernel is refused', () => {
  test.each<[string, BzImageSpec, RegExp]>([
    ['of an old protocol', { version: 0x0207 }, /speaks Linux boot protocol 2\.07, .*needs 2\.12; give a 64-bit kernel/],
    ['without a 64-bit entry', { xloadflags: 0x0e }, /without a 64-bit entry point; give one built for x86_64/],
    ['that is a zImage', { loadflags: 0 }, /is a zImage/],
    ['with a short header', { headerLength: 0x61 }, /setup header that ends at 0x263/],
    ['with a long header', { headerLength: 0x8f }, /setup header that ends at 0x291/],
    ['with no alignment', { alignment: 0 }, /kernel alignment 0x0, which is not a power of two/],
    ['with an odd alignment', { alignment: 3 * MiB }, /kernel alignment 0x300000/],
    ['with a payload too short for its entry', { payloadSize: 0x200 }, /has a kernel of 512 bytes, without its 64-bit entry point/],
    [
      'that needs more than there is',
      { initSize: 7 * MiB },
      /needs free RAM of 7340032 bytes from 0x200000 up for its kernel; give the guest at least 9M/,
    ],
    ['that wants to be beyond 4 GiB', { preferred: 2 ** 40 }, /build it for an address where the machine has RAM/],
  ])('%s', (_, spec, message) => {
    const error = refusal(() => load(bzImage(spec), { name: 'vmlinuz' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(/^vmlinuz /);
    expect(error.message).toMatch(message);
  });

  test.each([0x206, 0x263, 0x5ff, 0x600, 0x3600 - 16])('cut at byte %d', (length) => {
    const error = refusal(() => load(bzImage().subarray(0, length), { name: 'vmlinuz' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(/^vmlinuz is truncated: .* but the file has \d+; copy or build it again/);
  });

  test('but not when only its last paragraph is short, as memtest86+ is, or when a signature follows', () => {
    expect(load(bzImage().subarray(0, 0x3600 - 15)).format).toBe('bzimage');
    expect(placed(load(Buffer.concat([bzImage({ initSize: 0 }), Buffer.alloc(1472)])), 'kernel').size).toBe(0x3000);
  });

  test('and 0 setup sectors mean 4', () => expect(load(bzImage({ setupSects: 0 })).memory.string(2 * MiB)).toBe('start of the kernel'));

  test.each([
    [{ append: 'x'.repeat(2048) }, /^append has 2048 bytes, and image takes a command line of at most 2047/],
    [{ append: 'é'.repeat(1024) }, /^append has 2048 bytes/],
    [{ append: 'a\0' }, /^append must not contain a NUL/],
  ])('with a bad command line', (options, message) => {
    const error = refusal(() => load(bzImage(), options));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toMatch(message);
  });
});
