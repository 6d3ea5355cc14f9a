import { bootDs } from '../../../lib/boot/registers';
import { elf, load, MiB, placed, refusal } from './images';
import type { ElfSpec } from './images';

const hlt = Buffer.from([0xf4]);

describe('an ELF32 program', () => {
  test('is loaded by physical addresses, with its bss cleared', () => {
    const { memory, registers, entry, format, ...rest } = load(
      elf({
        entry: MiB + 1,
        segments: [
          { physical: MiB, contents: Buffer.from('text') },
          { physical: 2 * MiB, contents: Buffer.from('data'), size: 0x21000 },
        ],
      }),
    );
    expect(format).toBe('elf');
    expect(entry).toBe(MiB + 1);
    expect(memory.read(MiB, 5).toString('latin1')).toBe('text\xee');
    expect(memory.read(2 * MiB, 4).toString()).toBe('data');
    expect(memory.read(2 * MiB + 4, 0x21000 - 4).every((byte) => byte === 0)).toBe(true);
    expect(memory.bytes[2 * MiB + 0x21000]).toBe(0xee);
    const stack = placed({ ...rest, memory, registers, entry, format } as never, 'stack');
    expect(registers).toMatchObject({ rip: MiB + 1, rsp: stack.start + stack.size, cr0: 0x11 });
  });

  test('may have a bss alone in a segment that lies nowhere in the file', () => {
    const file = elf({ segments: [{ contents: hlt }, { physical: 2 * MiB, size: 0x1000 }] });
    file.writeUInt32LE(0xffff0000, 52 + 32 + 4); // p_offset of the second one
    expect(
      load(file)
        .memory.read(2 * MiB, 0x1000)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  test('may have the headers that a linker puts below 1 MiB, where a PC has its BIOS, alone or with its code', () => {
    const shadow = { start: 0xf0000, size: 0x10000 };
    const file = elf({ segments: [{ physical: 0xff000, contents: Buffer.concat([Buffer.alloc(0x1000, 0x90), hlt]) }] });
    expect(load(file, { shadow }).memory.read(0xffffe, 4).toString('hex')).toBe('9090f4ee');
    expect(refusal(() => load(file)).message).toMatch(/which is not all RAM/);
    const below = elf({ segments: [{ physical: 0xef000, contents: Buffer.alloc(0x1001) }] });
    expect(refusal(() => load(below, { shadow })).message).toMatch(/which is not all RAM/);
  });

  test('has a GDT from which it can reload its segments', () => {
    const { memory, registers } = load(elf());
    const { base, limit } = registers.gdt!;
    const table = memory.read(Number(base), Number(limit) + 1);
    expect(table.subarray(bootDs).toString('hex')).toBe('ffff00000093cf00');
  });

  test('may name its entry point by virtual address', () => {
    expect(load(elf({ entry: 0xc0100002, segments: [{ physical: MiB, virtual: 0xc0100000, contents: Buffer.alloc(16) }] })).entry).toBe(
      MiB + 2,
    );
    expect(load(elf({ entry: MiB + 2, segments: [{ physical: MiB, virtual: 0xc0100000, contents: Buffer.alloc(16) }] })).entry).toBe(
      MiB + 2,
    );
  });

  test('may be position independent, have empty segments and segments of other types', () => {
    const segments = [{ contents: hlt }, { physical: 0x5000_0000, size: 0 }, { type: 0x6474e551, physical: 0x7000_0000, size: 0x1000 }];
    expect(load(elf({ type: 3, segments })).entry).toBe(MiB);
  });

  test('in the boot area moves what the loader puts there', () => {
    const result = load(elf({ entry: 0x1000, segments: [{ physical: 0x1000, contents: Buffer.alloc(0x2000, 0xf4) }] }));
    expect(placed(result, 'stack').start).toBe(0x3000);
    expect(result.memory.read(0x1000, 0x2000).every((byte) => byte === 0xf4)).toBe(true);
  });

  test.each([
    ['append', 'append'],
    ['modules', 'initrd'],
  ] as const)('has no use for %s', (option, name) => {
    const given = { append: 'quiet', modules: [{ source: { name: 'initrd', size: 1, read: () => hlt } }] };
    const error = refusal(() => load(elf(), { [option]: given[option], name: 'prog' }));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toMatch(new RegExp(`^${name}: prog is started as an ELF program`));
  });
});

describe('an ELF file is refused', () => {
  const patched = (offset: number, bytes: number[], spec: ElfSpec = {}) => {
    const file = elf(spec);
    file.set(bytes, offset);
    return file;
  };
  const programHeader = 52;

  test.each<[string, Buffer, RegExp]>([
    ['with an unknown class', patched(4, [3]), /unknown ELF class 3; /],
    ['with big-endian data', patched(5, [2]), /not a little-endian ELF file; /],
    ['of 64 bits', elf({ bits: 64 }), /is a 64-bit ELF file, and only 32-bit i386 .*-m32/],
    [
      'for another machine',
      elf({ machine: 40 }),
      /is an ELF file for machine 40 \(ARM\), and this one is an x86; build it as a 32-bit i386 executable$/,
    ],
    ['for another machine of 64 bits', elf({ bits: 64, machine: 183 }), /is an ELF file for machine 183 \(AArch64\), /],
    ['for a machine without a name here', elf({ machine: 999 }), /is an ELF file for machine 999, /],
    ['for x32', elf({ machine: 62 }), /machine 62/],
    ['that is not linked', elf({ type: 1 }), /not an executable; link it/],
    ['that is a core dump', elf({ type: 4 }), /not an executable; /],
    [
      'cut in its identification',
      elf().subarray(0, 10),
      /is truncated: its ELF identification should end at byte 16 but the file has 10; /,
    ],
    ['cut in its header', elf().subarray(0, 40), /is truncated: its ELF header should end at byte 52/],
    ['cut in its program headers', elf().subarray(0, 60), /is truncated: its program header table should end at byte 84/],
    ['cut in a segment', elf().subarray(0, 85), /is truncated: the segment at 0x100000 ends at byte 87 but the file has 85; /],
    ['with program headers of an odd size', patched(42, [31, 0]), /program headers of 31 bytes where ELF32 has 32; /],
    ['with too many program headers', patched(44, [0xff, 0xff]), /65535 program headers, more than 2048; /],
    ['with program headers beyond the file', patched(28, [0, 0, 0, 0xff]), /is truncated: its program header table/],
    ['without program headers', elf({ segments: [] }), /no loadable segment; link it/],
    ['with empty segments only', elf({ segments: [{ size: 0 }] }), /no loadable segment; /],
    [
      'with more bytes than memory',
      elf({ segments: [{ contents: Buffer.alloc(8), size: 4 }] }),
      /more bytes than memory for the segment at 0x100000; /,
    ],
    ['with a segment that starts beyond the file', patched(programHeader + 4, [0xff, 0xff, 0xff, 0xff]), /is truncated: the segment/],
    [
      'with a segment that wraps around 4 GiB',
      elf({ segments: [{ physical: 0xfffff000, size: 0x2000 }] }),
      /puts the segment at 0xfffff000 beyond 4 GiB; /,
    ],
    [
      'with a segment larger than memory',
      elf({ segments: [{ size: 32 * MiB }] }),
      /wants its segment at 0x100000 to 0x20fffff; give the guest at least 33M/,
    ],
    [
      'with a segment in a hole',
      elf({ segments: [{ physical: 0xb8000, size: 1 }] }),
      /at 0xb8000 to 0xb8000, which is not all RAM in this machine; /,
    ],
    [
      'with overlapping segments',
      elf({ segments: [{ size: 16 }, { physical: MiB + 15, size: 16 }] }),
      /where its segment is; build it with separate ranges/,
    ],
    ['with its entry point outside', elf({ entry: MiB + 3 }), /entry point 0x100003 outside every segment; /],
  ])('%s', (_, file, message) => {
    const error = refusal(() => load(file, { format: 'elf', name: 'prog' }));
    expect(error.code).toBe('ERR_HAX_IMAGE');
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^prog /);
  });

  test.each([
    ['cut in its header', elf({ bits: 64 }).subarray(0, 60), /ELF header should end at byte 64/],
    ['with program headers of the wrong size', patched(54, [32, 0], { bits: 64 }), /32 bytes where ELF64 has 56/],
    ['with program headers far beyond the file', patched(32, [0, 0, 0, 0, 0, 0, 0, 0xff], { bits: 64 }), /is truncated/],
  ])('of 64 bits %s', (_, file, message) => {
    expect(refusal(() => load(file)).message).toMatch(message);
  });

  test('before anything is written', () => {
    const { memory } = load(elf());
    const untouched = memory.bytes.fill(0xee).toString('latin1', MiB, MiB + 64);
    refusal(() => load(elf({ entry: 0 })));
    expect(memory.bytes.toString('latin1', MiB, MiB + 64)).toBe(untouched);
  });
});
