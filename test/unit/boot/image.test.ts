import { imageFromBytes } from '../../../lib/boot/image-source';
import { loadImage, recogniseImage } from '../../../lib/boot/image';
import { imageFormats } from '../../../lib/boot/loader';
import { bootArea, bootSector, bzImage, elf, load, MiB, multibootHeader, note, pcMap, recordingSource, refusal } from './images';
import { FakeMemory } from '../../support/fake-memory';

const pvhElf = (bits: 32 | 64) =>
  elf({
    bits,
    segments: [
      { physical: MiB, contents: Buffer.from([0xf4]) },
      { type: 4, contents: note('Xen', 18, Buffer.alloc(4)) },
    ],
  });

/** 256 bytes and more, with `bytes` somewhere in them. */
const at = (offset: number, bytes: Buffer): Buffer => Buffer.concat([Buffer.alloc(offset), bytes, Buffer.alloc(256)]);

/** 128 bytes: a DOS header, and the signature that it says is behind `contents`. */
function pe(contents: Buffer = Buffer.alloc(0)): Buffer {
  const file = Buffer.alloc(128);
  file.write('MZ');
  contents.copy(file, 0x40);
  file.writeUInt32LE(0x78, 0x3c);
  file.write('PE\0\0', 0x78);
  return file;
}

/** A disk of four sectors; its partition begins at sector `first`. */
function disk(first: number, status = 0x80): Buffer {
  const file = Buffer.concat([bootSector(), Buffer.alloc(3 * 512)]);
  file.fill(0, 446, 510);
  file[446] = status;
  file[450] = 0x83;
  file.writeUInt32LE(first, 454);
  file.writeUInt32LE(0xffffffff, 458);
  return file;
}

const samples = {
  bzimage: bzImage(),
  multiboot: elf({ preamble: multibootHeader() }),
  pvh: pvhElf(32),
  elf: elf(),
  bootsector: bootSector(),
};

describe('recognition', () => {
  test.each(Object.entries(samples))('%s', (format, bytes) => {
    expect(recogniseImage(imageFromBytes('image', bytes))).toBe(format);
  });

  test('a bzImage wins over a multiboot header in it, and a multiboot header over a PVH note', () => {
    const both = bzImage();
    multibootHeader().copy(both, 0x400);
    expect(recogniseImage(imageFromBytes('image', both))).toBe('bzimage');
    const noted = elf({
      preamble: multibootHeader(),
      segments: [{ contents: Buffer.from([0xf4]) }, { type: 4, contents: note('Xen', 18, Buffer.alloc(4)) }],
    });
    expect(recogniseImage(imageFromBytes('image', noted))).toBe('multiboot');
  });

  test.each([
    ['raw code', Buffer.from([0xf4]), /^code\.bin is not a bzImage.*; use format: 'flat' with load and mode /],
    ['a boot sector cut short', bootSector().subarray(0, 511), /; use format: 'flat'/],
    ['a compressed kernel', Buffer.from('1f8b0800', 'hex'), /^code\.bin is compressed with gzip; unpack it/],
    ['nothing', Buffer.alloc(0), /^code\.bin is empty; /],
    ['xz', at(0, Buffer.from('fd377a585a00', 'hex')), /is compressed with xz; unpack it with unxz first$/],
    ['zstd', at(0, Buffer.from('28b52ffd', 'hex')), /is compressed with zstd; unpack it with unzstd first$/],
    ['bzip2', at(0, Buffer.from('BZh91AY&SY')), /is compressed with bzip2; unpack it with bunzip2 first$/],
    [
      'lz4 with a multiboot header as it was',
      Buffer.concat([Buffer.from('04224d18', 'hex'), multibootHeader(), Buffer.alloc(99)]),
      /is compressed with lz4; unpack it with unlz4 first$/,
    ],
    ['a qcow2 image', at(0, Buffer.from('514649fb', 'hex')), /is a qcow2 disk image, and this machine has no disk; /],
    ['a VMDK image', at(0, Buffer.from('KDMV')), /is a VMDK disk image, /],
    ['a VHDX image', at(0, Buffer.from('vhdxfile')), /is a VHDX disk image, /],
    ['a VDI image', at(0x40, Buffer.from('7f10dabe', 'hex')), /is a VDI disk image, /],
    ['a kernel for arm64', at(0x38, Buffer.from('ARM\x64')), /is a Linux kernel for arm64; give one built for x86_64$/],
    ['a kernel for RISC-V', at(0x38, Buffer.from('RSC\x05')), /is a Linux kernel for RISC-V; /],
    ['an EFI program with a multiboot header', pe(multibootHeader()), /is an EFI program, and this machine has no EFI; give .* bzImage/],
    ['an EFI program with a boot signature', Buffer.concat([pe(), bootSector().subarray(128)]), /is an EFI program/],
    [
      'a CD image with a boot sector',
      Buffer.concat([bootSector(), at(0x8001 - 512, Buffer.from('CD001'))]),
      /is a CD image, and this machine has neither drive nor BIOS; give the kernel that is on it, or use format: 'bootsector' /,
    ],
    [
      'a disk image',
      disk(1),
      /is a disk image, and this machine has neither disk nor BIOS; give the kernel that is on it, or use format: 'bootsector' /,
    ],
  ])('refuses %s', (_, bytes, message) => {
    const error = refusal(() => load(bytes, { name: 'code.bin' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(message);
  });
});

test('what looks like something else and is a kernel all the same is taken for one', () => {
  const dos = bzImage();
  dos.write('MZ');
  expect(recogniseImage(imageFromBytes('vmlinuz', dos))).toBe('bzimage');
  const disc = Buffer.concat([bootSector(), at(0x8001 - 512, Buffer.from('CD001'))]);
  expect(load(disc, { format: 'bootsector' }).format).toBe('bootsector');
  for (const image of [disk(0), disk(4), disk(1, 0x33), disk(1).subarray(0, 512), Buffer.concat([bootSector(), Buffer.alloc(512)])]) {
    expect(load(image).format).toBe('bootsector');
  }
});

describe('a format by name', () => {
  const unlike = Buffer.alloc(1024);
  test.each(imageFormats.filter((format) => format !== 'flat'))('%s refuses a file that is not of it', (format) => {
    const error = refusal(() => load(unlike, { format, name: 'zeros' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(/^zeros /);
  });

  test('chooses among several that fit', () => {
    const sectorAndElf = Buffer.concat([elf(), Buffer.alloc(600)]);
    sectorAndElf.writeUInt16LE(0xaa55, 510);
    expect(load(sectorAndElf).format).toBe('elf');
    expect(load(sectorAndElf, { format: 'bootsector' }).format).toBe('bootsector');
    expect(load(sectorAndElf, { format: 'flat' }).format).toBe('flat');
  });

  test('must exist', () => {
    const error = refusal(() => load(elf(), { format: 'a.out' as 'elf' }));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toContain('multiboot');
  });
});

describe('multiboot 2', () => {
  const header = (checksum = 2 ** 32 - 0xe85250d6 - 16): Buffer => {
    const bytes = Buffer.alloc(24);
    [0xe85250d6, 0, 16, checksum].forEach((word, index) => bytes.writeUInt32LE(word, index * 4));
    return bytes;
  };
  /** The header on 8 bytes, behind an ELF header of 84 or 120. */
  const segments = (contents: Buffer, before = 12) => [
    { physical: MiB, contents: Buffer.concat([Buffer.alloc(before), contents, Buffer.alloc(256)]) },
  ];
  const kernel = (bits: 32 | 64, ...checksum: number[]) => elf({ bits, segments: segments(header(...checksum), bits === 32 ? 12 : 8) });

  test.each([32, 64] as const)('an ELF%i kernel for it alone is refused, and entered when that is asked for', (bits) => {
    const error = refusal(() => load(kernel(bits), { name: 'os.elf' }));
    expect(error.code).toBe('ERR_HAX_UNSUPPORTED');
    expect(error.message).toMatch(/^os\.elf is a multiboot 2 kernel, which cannot be booted yet; give it a multiboot 1 header too$/);
    if (bits === 32) expect(load(kernel(bits), { format: 'elf' }).format).toBe('elf');
  });

  test('one that has a multiboot 1 header, or a wrong checksum, is not', () => {
    const both = elf({ preamble: multibootHeader(), segments: segments(header()) });
    expect(recogniseImage(imageFromBytes('image', both))).toBe('multiboot');
    expect(recogniseImage(imageFromBytes('image', kernel(32, 0)))).toBe('elf');
  });
});

describe('PVH', () => {
  test.each([32, 64] as const)('an ELF%i kernel with the note is recognised and refused with the way out', (bits) => {
    for (const format of ['auto', 'pvh'] as const) {
      const error = refusal(() => load(pvhElf(bits), { format, name: 'vmlinux' }));
      expect(error.code).toBe('ERR_HAX_UNSUPPORTED');
      expect(error.message).toMatch(/^vmlinux is a PVH kernel.*bzImage/);
      expect(error.hint).toContain('the format elf');
    }
  });

  test('the ELF entry of such a file can be asked for', () => expect(load(pvhElf(32), { format: 'elf' }).entry).toBe(MiB));

  test.each([
    ['of another type', [note('Xen', 6, Buffer.alloc(4))]],
    ['of another owner', [note('GNU', 18, Buffer.alloc(16))]],
    ['of a size that runs over the end', [note('GNU', 1, Buffer.alloc(4)).fill(0xff, 0, 8)]],
    ['shorter than a header', [Buffer.alloc(8)]],
  ])('a note %s does not count', (_, notes) => {
    const file = elf({ segments: [{ contents: Buffer.from([0xf4]) }, ...notes.map((contents) => ({ type: 4, contents }))] });
    expect(recogniseImage(imageFromBytes('image', file))).toBe('elf');
  });

  test('the note is found behind others, and a note segment beyond the file is passed over', () => {
    const contents = Buffer.concat([note('GNU', 3, Buffer.alloc(7)), note('Linux', 0, Buffer.alloc(3)), note('Xen', 18, Buffer.alloc(4))]);
    const file = elf({ segments: [{ contents: Buffer.from([0xf4]) }, { type: 4, contents: Buffer.alloc(4) }, { type: 4, contents }] });
    file.writeUInt32LE(0x7fffffff, 52 + 32 + 4); // p_offset of the first note segment
    expect(recogniseImage(imageFromBytes('image', file))).toBe('pvh');
  });
});

describe('how a file reaches memory', () => {
  const body = Buffer.alloc(9 * MiB, 0x90);
  body.writeUInt32LE(0x11223344, body.length - 4);

  const flat = { memoryMap: pcMap(16 * MiB), bootArea, format: 'flat', flat: { load: MiB, mode: 32 } } as const;

  test('in pieces of at most 1 MiB, in order', () => {
    const source = recordingSource('big', body);
    const memory = new FakeMemory(16 * MiB);
    loadImage(source, memory, flat);
    expect(source.reads.map(([, length]) => length)).toEqual(Array(9).fill(MiB));
    expect(memory.bytes.readUInt32LE(10 * MiB - 4)).toBe(0x11223344);
  });

  test('through one buffer where the source can fill it', () => {
    const targets: Uint8Array[] = [];
    const source = {
      ...imageFromBytes('big', body),
      read: () => Buffer.alloc(0),
      readInto: (offset: number, target: Uint8Array) => {
        targets.push(target);
        target.set(body.subarray(offset, offset + target.length));
      },
    };
    const memory = new FakeMemory(16 * MiB);
    loadImage(source, memory, flat);
    expect(new Set(targets.map((target) => target.buffer)).size).toBe(1);
    expect(memory.bytes.readUInt32LE(10 * MiB - 4)).toBe(0x11223344);
  });

  test('a file that shrinks while it is read is an ERR_HAX_FILE', () => {
    const source = { name: 'log', size: 4096, read: (_: number, length: number) => Buffer.alloc(length - 1) };
    const error = refusal(() => recogniseImage(source));
    expect(error.code).toBe('ERR_HAX_FILE');
    expect(error.message).toMatch(/^log changed while it was read/);
  });

  test('memory that is not there is reported by the memory', () => {
    const memory = new FakeMemory(MiB);
    const error = refusal(() => loadImage(imageFromBytes('image', elf()), memory, { memoryMap: pcMap(8 * MiB), bootArea }));
    expect(error.code).toBe('ERR_HAX_MEMORY');
  });
});

test.each([
  ['start', { start: -1, size: 0x1000 }],
  ['start', { start: 2 ** 32, size: 0x1000 }],
  ['size', { start: 0x1000, size: 0 }],
  ['size', { start: 0xfffff000, size: 0x2000 }],
])('a boot area with a bad %s is refused', (part, area) => {
  const error = refusal(() => load(elf(), { bootArea: area }));
  expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
  expect(error.message).toContain(`bootArea.${part}`);
});

test('a boot area that is too small is named with what did not fit', () => {
  const error = refusal(() => load(elf(), { bootArea: { start: 0x1000, size: 0x800 } }));
  expect(error.code).toBe('ERR_HAX_IMAGE');
  expect(error.message).toMatch(/^image leaves no 4096 bytes for the stack in the boot area 0x1000 to 0x17ff; /);
});
