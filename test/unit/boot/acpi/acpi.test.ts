import { writeAcpiTables } from '../../../../lib/boot/acpi/acpi';
import type { AcpiOptions } from '../../../../lib/boot/acpi/options';
import { FakeMemory } from '../../../support/fake-memory';
import { refusal } from '../images';
import { area, full, hardwareReduced, readTables, sum } from './tables';

function write(options: AcpiOptions) {
  const memory = new FakeMemory(0x100000);
  memory.bytes.fill(0xee);
  const result = writeAcpiTables(memory, options);
  return { ...result, memory, tables: readTables(memory, result.rsdp) };
}

const flavours = [
  ['hardware-reduced', hardwareReduced],
  ['full', full],
] as const;

describe.each(flavours)('%s', (kind, options) => {
  test.each([1, 4])('every checksum is right with %i processors', (cpus) => {
    const { tables } = write(options(cpus));
    expect(Object.keys(tables).sort()).toEqual(
      [...(kind === 'full' ? ['FACS'] : []), 'APIC', 'DSDT', 'FACP', 'RSD PTR ', 'RSDT', 'XSDT'].sort(),
    );
    for (const [signature, table] of Object.entries(tables)) {
      if (signature !== 'FACS') expect({ signature, sum: sum(table) }).toEqual({ signature, sum: 0 });
    }
    expect(sum(tables['RSD PTR '].subarray(0, 20))).toBe(0);
  });

  test('the RSDP starts the area, and nothing is written outside of it', () => {
    const { rsdp, end, memory } = write(options(1));
    expect(rsdp).toBe(area.start);
    expect(memory.string(rsdp).slice(0, 8)).toBe('RSD PTR ');
    expect(memory.bytes[area.start - 1]).toBe(0xee);
    expect(memory.bytes[end]).toBe(0xee);
    const exact = { start: area.start, size: end - area.start };
    expect(write(options(1, { area: exact })).end).toBe(end);
    const error = refusal(() => write(options(1, { area: { ...exact, size: exact.size - 1 } })));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toMatch(/^area must have at least 0x[0-9a-f]+ bytes for the ACPI tables, not 0x/);
  });

  test('an area that starts anywhere gives an RSDP on a 16-byte boundary', () => {
    expect(write(options(1, { area: { start: 0xe0001, size: 0x1000 } })).rsdp).toBe(0xe0010);
  });
});

test('tables too large for the area leave memory alone', () => {
  const memory = new FakeMemory(0x100000);
  refusal(() => writeAcpiTables(memory, full(1, { area: { start: 0xe0000, size: 64 } })));
  expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
});

describe('FADT', () => {
  const fadt = (options: AcpiOptions) => write(options).tables['FACP'];
  const port = (table: Buffer, offset: number) => [
    table[offset],
    table[offset + 1],
    table[offset + 3],
    Number(table.readBigUInt64LE(offset + 4)),
  ];

  test('hardware-reduced: sleep registers and nothing else', () => {
    const table = fadt(hardwareReduced(1));
    expect([table.length, table[8], table[131]]).toEqual([276, 6, 3]);
    expect(table.readUInt32LE(112)).toBe(0x100475);
    expect(port(table, 244)).toEqual([1, 8, 1, 0x600]);
    expect(port(table, 256)).toEqual([1, 8, 1, 0x601]);
    expect(port(table, 116)).toEqual([1, 8, 1, 0x602]);
    expect(table[128]).toBe(1);
    expect(table.readUInt16LE(109)).toBe(0x25); // legacy devices, no VGA, no CMOS
    expect(table.subarray(46, 96).every((byte) => byte === 0)).toBe(true);
    expect(table.toString('latin1', 268, 276)).toBe('node-hax');
  });

  test('full: SCI, PM1a, timer and FACS', () => {
    const { tables, memory } = write(full(1));
    const table = tables['FACP'];
    expect(table.readUInt32LE(112)).toBe(0x465);
    expect(table.readUInt16LE(46)).toBe(9);
    expect([56, 64, 76].map((offset) => table.readUInt32LE(offset))).toEqual([0x600, 0x604, 0x608]);
    expect([table[88], table[89], table[91]]).toEqual([4, 2, 4]);
    expect(port(table, 148)).toEqual([1, 32, 3, 0x600]);
    expect(port(table, 172)).toEqual([1, 16, 2, 0x604]);
    expect(port(table, 208)).toEqual([1, 32, 3, 0x608]);
    expect(port(table, 244)).toEqual([0, 0, 0, 0]);
    expect(table.readUInt16LE(109)).toBe(3); // legacy devices, 8042
    expect(table[108]).toBe(0x32);
    const facs = table.readUInt32LE(36);
    expect(facs % 64).toBe(0);
    expect(memory.bytes.toString('latin1', facs, facs + 4)).toBe('FACS');
  });

  test('says which legacy hardware there is', () => {
    const legacy = { isaDevices: false, i8042: false, vga: true, pic: false };
    const cmosRtc = { port: 0x70, irq: 8, century: 0x32 };
    expect(fadt(hardwareReduced(1, { legacy, cmosRtc })).readUInt16LE(109)).toBe(0);
  });

  test('full: a 32-bit timer and no power button', () => {
    const platform = { kind: 'full', sciIrq: 9, pm1EventPort: 0x600, pm1ControlPort: 0x604, pmTimerPort: 0x608, pmTimer32: true } as const;
    expect(fadt(full(1, { platform })).readUInt32LE(112)).toBe(0x575);
  });
});

describe('MADT', () => {
  test('lists processors, I/O APIC, overrides and the NMI pin', () => {
    const table = write(full(2, { apicIds: [0, 2] })).tables['APIC'];
    expect(table.readUInt32LE(36)).toBe(0xfee00000);
    expect(table.readUInt32LE(40)).toBe(1);
    expect(table.toString('hex', 44)).toBe(
      '0008000001000000' +
        '0008010201000000' +
        '010c00000000c0fe00000000' +
        '020a0000020000000000' +
        '020a0009090000000d00' +
        '0406ff000001',
    );
  });

  test('polarity and trigger in all combinations', () => {
    const flags = (['conform', 'high', 'low'] as const).flatMap((polarity) =>
      (['conform', 'edge', 'level'] as const).map((trigger) => {
        const table = write(hardwareReduced(1, { overrides: [{ irq: 5, gsi: 5, polarity, trigger }], nmiPin: undefined })).tables['APIC'];
        return table.readUInt16LE(table.length - 2);
      }),
    );
    expect(flags).toEqual([0, 4, 12, 1, 5, 13, 3, 7, 15]);
    expect(write(hardwareReduced(1, { overrides: [] })).tables['APIC'].readUInt32LE(40)).toBe(0);
  });
});

describe('DSDT', () => {
  test('names the power-off state, the serial port and pvpanic', () => {
    const text = write(hardwareReduced(1)).tables['DSDT'].toString('latin1');
    for (const name of ['_S5_', '_SB_', 'COM1', 'PEVT', 'QEMU0001']) expect(text).toContain(name);
  });

  test('names the clock with its ports and its interrupt where the FADT says that there is one', () => {
    const table = write(full(1)).tables['DSDT'].toString('hex');
    // _HID PNP0B00; ports 0x70 and 0x71, interrupt 8, end tag.
    expect(table).toContain(`${Buffer.from('RTC_').toString('hex')}08${Buffer.from('_HID').toString('hex')}0c41d00b00`);
    expect(table).toContain('4701700070000102' + '220001' + '7900');
    expect(write(full(1, { cmosRtc: undefined })).tables['FACP'].readUInt16LE(109)).toBe(0x23);
    expect(write(hardwareReduced(1)).tables['DSDT'].toString('latin1')).not.toContain('RTC_');
  });

  test('holds only the power-off state when there are no devices', () => {
    const table = write(hardwareReduced(1, { serialPorts: [], pvpanic: undefined })).tables['DSDT'];
    expect(table.toString('hex', 36)).toBe('085c5f53355f' + '1207040a05000000');
  });
});

describe('numbers out of range are refused by name', () => {
  const platform = full(1).platform as Extract<AcpiOptions['platform'], { kind: 'full' }>;
  test.each<[string, Partial<AcpiOptions>]>([
    ['area.start', { area: { start: -1, size: 1 } }],
    ['area.size', { area: { start: 0xfffff000, size: 0x1001 } }],
    ['sleepTypeS5', { sleepTypeS5: 8 }],
    ['reset.port', { reset: { port: 0x10000, value: 0 } }],
    ['reset.value', { reset: { port: 0, value: 256 } }],
    ['sciIrq', { platform: { ...platform, sciIrq: 16 } }],
    ['pm1EventPort', { platform: { ...platform, pm1EventPort: -1 } }],
    ['pm1ControlPort', { platform: { ...platform, pm1ControlPort: NaN } }],
    ['pmTimerPort', { platform: { ...platform, pmTimerPort: 0.5 } }],
    ['sleep.controlPort', { platform: { kind: 'hardware-reduced', sleep: { controlPort: 1e6, statusPort: 0 } } }],
    ['sleep.statusPort', { platform: { kind: 'hardware-reduced', sleep: { controlPort: 0, statusPort: 1e6 } } }],
    ['apicIds', { apicIds: [1, 1] }],
    ['apicIds', { apicIds: [255] }],
    ['localApic', { localApic: 2 ** 32 }],
    ['ioApic.id', { ioApic: { id: 256, address: 0, gsiBase: 0 } }],
    ['ioApic.address', { ioApic: { id: 0, address: 2 ** 32, gsiBase: 0 } }],
    ['ioApic.gsiBase', { ioApic: { id: 0, address: 0, gsiBase: -1 } }],
    ['overrides[].irq', { overrides: [{ irq: 16, gsi: 0, polarity: 'high', trigger: 'edge' }] }],
    ['overrides[].gsi', { overrides: [{ irq: 0, gsi: -1, polarity: 'high', trigger: 'edge' }] }],
    ['serialPorts[].port', { serialPorts: [{ port: 0x10000, irq: 4 }] }],
    ['serialPorts[].irq', { serialPorts: [{ port: 0x3f8, irq: 16 }] }],
    ['serialPorts.length', { serialPorts: Array(10).fill({ port: 0x3f8, irq: 4 }) }],
    ['pvpanic.port', { pvpanic: { port: -1 } }],
    ['cmosRtc.port', { cmosRtc: { port: 0x10000, irq: 8, century: 0x32 } }],
    ['cmosRtc.irq', { cmosRtc: { port: 0x70, irq: 16, century: 0x32 } }],
    ['cmosRtc.century', { cmosRtc: { port: 0x70, irq: 8, century: 128 } }],
  ])('%s', (name, changes) => {
    const error = refusal(() => write(full(1, changes)));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message.startsWith(name)).toBe(true);
  });
});
