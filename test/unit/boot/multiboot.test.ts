import { imageFromBytes } from '../../../lib/boot/image-source';
import { findMultibootHeader } from '../../../lib/boot/multiboot';
import { elf, load, MiB, multibootHeader, placed, refusal } from './images';
import type { Loaded } from './images';

const code = Buffer.from('f4ebfd', 'hex');

/** A kernel that its header loads: header at file offset 4 and 0x100004, 64 KiB of bss behind what the file holds. */
function addressKernel(change: Partial<Record<'header' | 'load' | 'loadEnd' | 'bssEnd' | 'entry', number>> = {}, flags = 0): Buffer {
  const size = 4 + 32 + 16;
  const {
    header,
    load: from,
    loadEnd,
    bssEnd,
    entry,
  } = {
    header: MiB + 4,
    load: MiB,
    loadEnd: MiB + size,
    bssEnd: MiB + size + 0x10000,
    entry: MiB + 36,
    ...change,
  };
  return Buffer.concat([Buffer.alloc(4, 0x90), multibootHeader(flags, [header, from, loadEnd, bssEnd, entry]), Buffer.alloc(16, 0xf4)]);
}

const elfKernel = (flags = 0, options: Parameters<typeof elf>[0] = {}) => elf({ preamble: multibootHeader(flags), ...options });

const info = ({ memory, registers }: Loaded) => {
  const at = (offset: number) => memory.bytes.readUInt32LE(Number(registers.rbx) + offset);
  return { at, string: (offset: number) => memory.string(at(offset)) };
};

describe('the header', () => {
  const find = (bytes: Uint8Array) => findMultibootHeader(imageFromBytes('kernel', bytes));
  const at = (offset: number, header = multibootHeader(3), size = 16384) => {
    const file = Buffer.alloc(size);
    header.copy(file, offset);
    return file;
  };

  test('is found on any 4-byte boundary of the first 8 KiB', () => {
    for (const offset of [0, 4, 4096, 8192 - 12]) expect(find(at(offset))).toEqual({ offset, flags: 3 });
    for (const offset of [2, 8192 - 8, 8192]) expect(find(at(offset))).toBeUndefined();
    expect(find(at(20, multibootHeader(3), 32))).toEqual({ offset: 20, flags: 3 });
    expect(find(multibootHeader(3).subarray(0, 11))).toBeUndefined();
  });

  test('with address fields lies wholly in them', () => {
    const header = multibootHeader(0, [1, 2, 3, 4, 5]);
    expect(find(at(8192 - 32, header))).toMatchObject({ addresses: { header: 1, load: 2, loadEnd: 3, bssEnd: 4, entry: 5 } });
    expect(find(at(8192 - 28, header))).toBeUndefined();
  });

  test('has a valid checksum; another may follow one that has not', () => {
    const file = at(64);
    multibootHeader(3).copy(file, 0);
    file.writeUInt32LE(1, 8);
    expect(find(file)).toEqual({ offset: 64, flags: 3 });
  });
});

describe('a kernel with address fields', () => {
  test('is loaded as they say', () => {
    const kernel = addressKernel();
    const result = load(Buffer.concat([kernel, Buffer.from('not loaded')]));
    expect(result).toMatchObject({ format: 'multiboot', entry: MiB + 36 });
    expect(result.memory.read(MiB, kernel.length).equals(kernel)).toBe(true);
    expect(result.memory.read(MiB + kernel.length, 0x10000).every((byte) => byte === 0)).toBe(true);
    expect(result.memory.bytes[MiB + kernel.length + 0x10000]).toBe(0xee);
  });

  test('may leave out both ends: the rest of the file, and no bss', () => {
    const kernel = Buffer.concat([addressKernel({ loadEnd: 0, bssEnd: 0 }), Buffer.from('tail')]);
    const result = load(kernel);
    expect(placed(result, 'kernel')).toMatchObject({ start: MiB, size: kernel.length });
  });

  test('may start behind the beginning of the file, and need not be ELF or may be', () => {
    const kernel = Buffer.concat([Buffer.alloc(4096), addressKernel({ bssEnd: 0 })]);
    expect(load(kernel).memory.bytes[MiB + 36]).toBe(0xf4);
    const offset = 52 + 32;
    const inElf = elf({ preamble: multibootHeader(0, [MiB + offset, MiB, MiB + offset + 32, 0, MiB + 1]), entry: 0 });
    expect(load(inElf).entry).toBe(MiB + 1);
  });

  test.each([
    ['a load address behind the header', { load: MiB + 8 }, /load address 0x100008 does not fit its header address 0x100004; /],
    ['a load address before the file', { load: MiB - 16 }, /load address 0xffff0 does not fit/],
    ['an end before its beginning', { loadEnd: MiB }, /not in ascending order; /],
    ['a bss that ends before the data', { bssEnd: MiB + 20 }, /not in ascending order; /],
    ['an end beyond the file', { loadEnd: MiB + 53 }, /is truncated: it should be loaded up to byte 53 but the file has 52; /],
    ['an entry before it', { entry: MiB - 1 }, /entry point 0xfffff outside 0x100000 to 0x110033; /],
    ['an entry behind it', { entry: MiB + 52 + 0x10000 }, /entry point 0x110034 outside/],
    [
      'a bss beyond memory',
      { bssEnd: 0xffffffff },
      /wants its kernel at 0x100000 to 0xfffffffe, which is not all RAM in this machine; make it smaller/,
    ],
    ['an address in the hole', { header: 0xa0004, load: 0xa0000, loadEnd: 0, bssEnd: 0, entry: 0xa0000 }, /which is not all RAM/],
  ])('refuses %s', (_, change, message) => {
    const error = refusal(() => load(addressKernel(change), { name: 'kernel' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(message);
  });
});

describe('an ELF kernel', () => {
  test('is loaded by its program headers', () => {
    const { entry, registers } = load(elfKernel(3));
    expect(entry).toBe(MiB);
    expect(registers).toMatchObject({ rax: 0x2badb002, rip: MiB, cr0: 0x11, rflags: 2 });
  });

  test('finds the interrupt table of real mode at 0 when it goes back there', () => {
    expect(load(elfKernel(3)).registers.idt).toEqual({ base: 0, limit: 0x3ff });
  });

  test('of 64 bits is refused with the way out', () => {
    const error = refusal(() => load(elfKernel(0, { bits: 64 }), { name: 'kernel' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(/^kernel is a 64-bit ELF file.*objcopy -O elf32-i386/);
  });

  test('that is damaged is refused as an ELF file', () => {
    expect(refusal(() => load(elfKernel(0, { entry: 0 }))).message).toMatch(/entry point 0x0 outside every segment/);
  });
});

describe('requirements', () => {
  test.each([0, 1, 2, 3, 4, 7, 0x40000000])('flags %d are served', (flags) => expect(load(elfKernel(flags)).format).toBe('multiboot'));

  test.each([
    [8, /requires multiboot features that do not exist \(flags 0x8\)/],
    [0x8001, /\(flags 0x8000\)/],
  ])('flags %d are not', (flags, message) => {
    const error = refusal(() => load(elfKernel(flags)));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(message);
  });

  test('a kernel that is neither ELF nor has addresses is refused', () => {
    expect(refusal(() => load(multibootHeader(3))).message).toMatch(/without load addresses and not an ELF file; set flag 16/);
  });
});

describe('the information structure', () => {
  test('tells memory, command line, map and boot loader', () => {
    const result = load(elfKernel(3), { append: 'root=/dev/hda1', name: 'boot/kernel' });
    const { at, string } = info(result);
    expect(at(0)).toBe(0x24d);
    expect([at(4), at(8)]).toEqual([640, 7 * 1024]);
    expect(string(16)).toBe('boot/kernel root=/dev/hda1');
    expect([at(20), at(24)]).toEqual([0, 0]);
    expect(string(64)).toBe('node-hax');
    const map = result.memory.read(at(48), at(44));
    expect(map.toString('hex')).toBe(
      '14000000' + '0000000000000000' + '00000a0000000000' + '01000000' + '14000000' + '0000100000000000' + '0000700000000000' + '01000000',
    );
  });

  test('has the name alone when there is no command line', () => expect(info(load(elfKernel())).string(16)).toBe('image'));

  test('lists the modules, each on a page of its own behind the kernel', () => {
    const modules = [
      { source: imageFromBytes('initrd.gz', Buffer.alloc(5000, 1)), text: 'initrd ro' },
      { source: imageFromBytes('second', Buffer.alloc(1, 2)) },
    ];
    const result = load(elfKernel(1, { segments: [{ contents: code, size: 0x1234 }] }), { modules });
    const { at } = info(result);
    expect(at(20)).toBe(2);
    const list = result.memory.read(at(24), 32);
    const field = (index: number) => list.readUInt32LE(index * 4);
    expect([field(0), field(1), field(3)]).toEqual([MiB + 0x2000, MiB + 0x2000 + 5000, 0]);
    expect([field(4), field(5), field(7)]).toEqual([MiB + 0x4000, MiB + 0x4001, 0]);
    expect(result.memory.string(field(2))).toBe('initrd ro');
    expect(result.memory.string(field(6))).toBe('second');
    expect(result.memory.read(field(0), 5000).every((byte) => byte === 1)).toBe(true);
    expect(result.memory.bytes[field(4)]).toBe(2);
  });

  test('keeps modules out of low memory', () => {
    const low = elfKernel(0, { entry: 0x20000, segments: [{ physical: 0x20000, contents: code }] });
    const result = load(low, { modules: [{ source: imageFromBytes('module', code) }] });
    expect(placed(result, 'module').start).toBe(MiB);
    expect(placed(result, 'BIOS data')).toMatchObject({ start: 0, size: 0x500 });
  });
});

test.each([
  [
    'a module that does not fit',
    { modules: [{ source: imageFromBytes('rootfs', Buffer.alloc(8 * MiB)) }] },
    'ERR_HAX_IMAGE',
    /leaves no 8388608 bytes.*module rootfs; give the guest at least 10M/,
  ],
  [
    'a module for which no memory has room',
    { modules: [{ source: { name: 'rootfs', size: 3 * 1024 * MiB, read: () => code } }] },
    'ERR_HAX_IMAGE',
    /leaves no 3221225472 bytes of RAM below 4 GiB for the module rootfs; make it smaller$/,
  ],
  ['an empty module', { modules: [{ source: imageFromBytes('rootfs', Buffer.alloc(0)) }] }, 'ERR_HAX_IMAGE', /^rootfs is empty; /],
  ['NUL in the command line', { append: 'a\0b' }, 'ERR_HAX_INVALID_ARGUMENT', /^append must not contain a NUL/],
  [
    "NUL in a module's string",
    { modules: [{ source: imageFromBytes('m', code), text: '\0' }] },
    'ERR_HAX_INVALID_ARGUMENT',
    /string of a module must not contain a NUL/,
  ],
  [
    'a command line longer than the boot area',
    { append: 'x'.repeat(0x90000) },
    'ERR_HAX_IMAGE',
    /leaves no \d+ bytes for the command line in the boot area.*pass shorter strings/,
  ],
] as const)('refuses %s', (_, options, code, message) => {
  const error = refusal(() => load(elfKernel(), options));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});
