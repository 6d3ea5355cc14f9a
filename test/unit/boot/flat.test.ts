import type { FlatOptions } from '../../../lib/boot/loader';
import { memoryMap } from '../../../lib/machine/layout';
import { load, MiB, placed, refusal } from './images';

const code = Buffer.from('b84200f4', 'hex');
const flat = (options: FlatOptions = {}, bytes: Uint8Array = code) => load(bytes, { format: 'flat', flat: options, name: 'code.bin' });

test('by default: real mode at 0:7c00', () => {
  const { registers, memory, entry } = flat();
  expect(entry).toBe(0x7c00);
  expect(registers).toMatchObject({ rip: 0x7c00, cr0: 0x10 });
  for (const name of ['cs', 'ds', 'es', 'ss'] as const) expect(registers[name]).toMatchObject({ selector: 0, base: 0 });
  expect(memory.read(0x7c00, 4).equals(code)).toBe(true);
});

test('real mode has a stack below 64 KiB that is not in the image', () => {
  expect(flat().registers).toMatchObject({ rsp: 0xfff0, ss: { selector: 0 } });
  const result = flat({ load: 0x7c00 }, Buffer.alloc(0x8000));
  expect(placed(result, 'stack').start).toBe(0x6c00);
  expect(result.registers).toMatchObject({ rsp: 0x7bf0, ss: { selector: 0 } });
});

test('real mode has a stack segment of its own where the image leaves no room', () => {
  const result = flat({ load: 0 }, Buffer.alloc(0xf800));
  expect(placed(result, 'stack')).toMatchObject({ start: 0xf800, size: 0x1000 });
  expect(result.registers).toMatchObject({ rsp: 0xff0, ss: { selector: 0xf80, base: 0xf800 } });
});

test('real mode above 64 KiB gets segments of its own', () => {
  const { registers } = flat({ load: 0x12345, entry: 0x12347 });
  expect(registers).toMatchObject({ rip: 7, cs: { selector: 0x1234, base: 0x12340 }, ds: { selector: 0x1234 } });
});

test('32-bit mode', () => {
  const { registers } = flat({ load: 2 * MiB, entry: 2 * MiB + 3, mode: 32 });
  expect(registers).toMatchObject({ rip: 2 * MiB + 3, cr0: 0x11, cs: { attributes: 0xc09b } });
});

test('64-bit mode has page tables and a GDT in memory', () => {
  const result = flat({ load: 2 * MiB, mode: 64 });
  const { registers, memory } = result;
  const tables = placed(result, 'page tables');
  expect(registers).toMatchObject({ rip: 2 * MiB, cr0: 0x80000031, cr3: tables.start, efer: 0x500 });
  expect(tables.start % 4096).toBe(0);
  expect(memory.bytes.readUInt32LE(tables.start)).toBe(tables.start + 0x1000 + 3);
  expect(memory.read(Number(registers.gdt!.base) + 0x10, 8).toString('hex')).toBe('ffff0000009baf00');
});

test.each<[string, FlatOptions, RegExp]>([
  ['a load address that is none', { load: NaN }, /^load must be/],
  ['an entry beyond 4 GiB', { entry: 2 ** 32 }, /^entry must be/],
  [
    'an entry behind the image',
    { load: 0x8000, entry: 0x8004 },
    /^entry 0x8004 must be inside code\.bin, which is loaded at 0x8000 to 0x8003/,
  ],
  ['an entry before the image', { load: 0x8000, entry: 0x7fff }, /^entry 0x7fff must not be below the load address 0x8000$/],
  ['a real-mode entry above 1 MiB', { load: MiB }, /^entry 0x100000 must be at most 0xfffff in 16-bit mode/],
  ['an unknown mode', { mode: 8 as 16 }, /^mode must be 16, 32 or 64, not 8/],
  ['a mode that JSON has no word for', { mode: 16n as never }, /^mode must be 16, 32 or 64, not 16n/],
])('refuses %s', (_, options, message) => {
  const error = refusal(() => flat(options));
  expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
  expect(error.message).toMatch(message);
});

test('refuses an image larger than memory', () => {
  const error = refusal(() => flat({ load: MiB, mode: 32 }, Buffer.alloc(8 * MiB)));
  expect(error.code).toBe('ERR_HAX_IMAGE');
  expect(error.message).toMatch(/^code\.bin wants its contents at 0x100000 to 0x8fffff; give the guest at least 9M of memory/);
});

test.each([
  ['in it', 0xa0000, 0x200],
  ['into it', 0x9fb00, 0x200],
  ['over it', 0x9fb00, 2 * MiB],
])('reserved memory, %s, is not told as a want of memory where memory ends behind it', (_, at, size) => {
  const bytes = Buffer.alloc(size);
  const { message } = refusal(() => load(bytes, { format: 'flat', flat: { load: at, mode: 32 }, memoryMap: memoryMap(MiB, 'full') }));
  expect(message).toMatch(/which is not all RAM in this machine; make it smaller, or build or load it for another address$/);
});

test('refuses an address where no memory is, of any size', () => {
  expect(refusal(() => flat({ load: 0xd0000000, mode: 32 })).message).toMatch(
    /^code\.bin wants its contents at 0xd0000000 to \S+, which is not all RAM in this machine; make it smaller, or build or load it for another address$/,
  );
});
