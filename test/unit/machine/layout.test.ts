import { e820Type } from '../../../lib/boot/e820';
import {
  acpiArea,
  bootArea,
  cmosMemory,
  describeLayout,
  ioApicAddress,
  localApicAddress,
  memoryMap,
  type LayoutOptions,
  minMemory,
  ramRanges,
  testMemory,
} from '../../../lib/machine/layout';

const GiB = 2 ** 30;

it('RAM is contiguous up to 3 GiB and goes on at 4 GiB', () => {
  expect(ramRanges(128 * 2 ** 20)).toEqual([{ start: 0, size: 128 * 2 ** 20 }]);
  expect(ramRanges(3 * GiB)).toEqual([{ start: 0, size: 3 * GiB }]);
  expect(ramRanges(5 * GiB)).toEqual([
    { start: 0, size: 3 * GiB },
    { start: 4 * GiB, size: 2 * GiB },
  ]);
});

it('less than the BIOS area is refused', () => {
  expect(ramRanges(minMemory)).toEqual([{ start: 0, size: minMemory }]);
  expect(() => ramRanges(minMemory - 4096)).toThrow(/at least 1M/);
});

it.each([minMemory, 2 ** 27, 3 * GiB, 8 * GiB])('the map of %i bytes is ascending, without overlap, and tells all RAM', (bytes) => {
  const map = memoryMap(bytes, 'hardware-reduced');
  for (let i = 1; i < map.length; i++) expect(map[i].start).toBeGreaterThanOrEqual(map[i - 1].start + map[i - 1].size);
  expect(map.reduce((sum, { size }) => sum + size, 0)).toBe(bytes);
  const ram = map.filter(({ type }) => type === e820Type.ram);
  expect(ram[0]).toMatchObject({ start: 0, size: 0x9fc00 });
  expect(map).toContainEqual({ ...acpiArea, type: e820Type.acpi });
  // There the FACS is, whose global lock is used for good.
  expect(memoryMap(bytes, 'full')).toContainEqual({ ...acpiArea, type: e820Type.nvs });
  // What the boot loaders write is RAM, and not where a boot sector and the interrupt table are.
  expect(bootArea.start).toBeGreaterThanOrEqual(0x7e00);
  expect(bootArea.start + bootArea.size).toBeLessThanOrEqual(0x9fc00);
});

// Below 640K and from 1M on, twice, in KiB; from 16M and from 4G on in 64 KiB.
it.each<[number, number[]]>([
  [minMemory, [640, 0, 0, 0, 0]],
  [8 * 2 ** 20 + 4096, [640, 7 * 1024 + 4, 7 * 1024 + 4, 0, 0]],
  [64 * 2 ** 20, [640, 63 * 1024, 63 * 1024, 48 * 16, 0]],
  [3 * GiB, [640, 65535, 65535, 48896, 0]],
  [8 * GiB, [640, 65535, 65535, 48896, 5 * 16384]],
  [2 ** 45, [640, 65535, 65535, 48896, 2 ** 24 - 1]],
])('the CMOS RAM tells how much of %i bytes is where', (bytes, told) => {
  const ram = new Map(cmosMemory(bytes));
  const number = (...indices: number[]): number => indices.reduceRight((value, index) => value * 256 + ram.get(index)!, 0);
  expect([number(0x15, 0x16), number(0x17, 0x18), number(0x30, 0x31), number(0x34, 0x35), number(0x5b, 0x5c, 0x5d)]).toEqual(told);
});

it('nothing that is not memory lies in RAM', () => {
  for (const address of [ioApicAddress, localApicAddress, testMemory.start]) {
    expect(ramRanges(64 * GiB).some(({ start, size }) => address >= start && address < start + size)).toBe(false);
  }
});

it.each<[string, Omit<LayoutOptions, 'memory'>, string[], string[]]>([
  [
    'of itself',
    {},
    [
      '00e0-00e3  test data, with --debug-exit',
      '00f4-00f7  debug exit, with --debug-exit',
      '0510-0511  fw_cfg, with --debug-exit',
      '2000-200f  test interrupts 0 to 15, with --debug-exit',
      '0000ff000000-0000ff00ffff  test memory, with --debug-exit',
      'fee00000-0000fee00fff  local APICs',
      '0040-0043  timer',
      '0070-0071  real-time clock, interrupt 8',
      '0600-0602  ACPI',
    ],
    ['(NVS)'],
  ],
  [
    'with controllers of ours',
    { irqchip: 'user' },
    ['0020-0021  interrupt controller', '0040-0043  timer', '0070-0071  real-time clock, interrupt 8', '0600-060b  ACPI'],
    ['APICs', 'I/O APIC'],
  ],
  [
    'with debug devices',
    { debugConsole: 0x402, debugExit: 0x501 },
    ['0402-0402  debug console\n', '0501-0504  debug exit\n'],
    ['with --debug', 'test ', 'fw_cfg'],
  ],
  [
    'with the debug exit',
    { debugExit: 0xf4 },
    ['00e0-00e3  test data\n', '0000ff000000-0000ff00ffff  test memory\n'],
    ['with --debug-exit'],
  ],
])('is printed one line a range, in ascending order: %s', (_which, options, there, notThere) => {
  const lines = describeLayout({ memory: 5 * GiB, ...options }).split('\n');
  expect(lines[0]).toBe('memory');
  for (const text of there) expect(lines.join('\n')).toContain(text);
  for (const text of notThere) expect(lines.join('\n')).not.toContain(text);
  const split = lines.indexOf('ports');
  for (const part of [lines.slice(1, split), lines.slice(split + 1)]) {
    expect(part.every((line) => /^ {2}[0-9a-f]+-[0-9a-f]+ {2}\S/.test(line))).toBe(true);
    expect(part).toEqual([...part].sort());
  }
  expect(lines).toContain('  000000000000-00000009fbff  RAM');
  expect(lines).toContain(`  0000000e0000-0000000effff  ACPI tables${options.irqchip === 'user' ? ' (NVS)' : ''}`);
  expect(lines).toContain('  000100000000-00017fffffff  RAM');
});
