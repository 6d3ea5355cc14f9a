import { bootSector, load, MiB, refusal } from './images';

test('the first sector is loaded at 0:7c00 with the drive in DL', () => {
  const { memory, registers, entry, format } = load(bootSector(1024));
  expect(format).toBe('bootsector');
  expect(entry).toBe(0x7c00);
  expect(registers).toMatchObject({ rip: 0x7c00, rsp: 0x7c00, rdx: 0x80, cr0: 0x10 });
  expect(registers.cs).toMatchObject({ base: 0, selector: 0 });
  expect(memory.read(0x7c00, 512).equals(bootSector())).toBe(true);
  expect(memory.bytes[0x7e00]).toBe(0xee);
});

test('the drive can be chosen', () => {
  expect(load(bootSector(), { bootDrive: 0 }).registers.rdx).toBe(0);
  const error = refusal(() => load(bootSector(), { bootDrive: 256 }));
  expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
  expect(error.message).toContain('bootDrive');
});

test('BIOS calls have somewhere to go: they set the carry flag and return, interrupts of devices just return', () => {
  const { memory } = load(bootSector());
  for (const vector of [0x10, 0x13, 0x15, 0xff]) expect(memory.bytes.readUInt32LE(vector * 4)).toBe(0x4f0);
  for (const vector of [0, 4, 7, 0x08, 0x0f, 0x70, 0x77]) expect(memory.bytes.readUInt32LE(vector * 4)).toBe(0x4f8);
  expect(memory.read(0x4f0, 9).toString('hex')).toBe('5589e5804e06015dcf');
  expect(memory.bytes.readUInt16LE(0x413)).toBe(640);
});

test('the BIOS data area has the serial ports, up to four, and their number', () => {
  const area = (serialPorts?: readonly number[]): number[] => {
    const { memory } = load(bootSector(), serialPorts && { serialPorts });
    return [0x400, 0x402, 0x404, 0x406, 0x408, 0x410].map((at) => memory.bytes.readUInt16LE(at));
  };
  expect(area()).toEqual([0, 0, 0, 0, 0, 0]);
  expect(area([0x3f8])).toEqual([0x3f8, 0, 0, 0, 0, 1 << 9]);
  expect(area([0x3f8, 0x2f8, 0x3e8, 0x2e8, 0x100])).toEqual([0x3f8, 0x2f8, 0x3e8, 0x2e8, 0, 4 << 9]);
});

test('memory without room for it is refused', () => {
  const error = refusal(() => load(bootSector(), { memoryMap: [{ start: 0, size: 0x4000, type: 1 }] }));
  expect(error.code).toBe('ERR_HAX_IMAGE');
  expect(error.message).toMatch(/boot sector at 0x7c00 to 0x7dff; give the guest at least 1M/);
});

test('low memory that is no RAM is left alone', () => {
  const { memory } = load(bootSector(), { memoryMap: [{ start: 0x7000, size: MiB, type: 1 }] });
  expect(memory.bytes[0x413]).toBe(0xee);
});

test('a command line is refused', () => {
  expect(refusal(() => load(bootSector(), { append: 'x' })).message).toMatch(/^append: image is started as a boot sector/);
});
