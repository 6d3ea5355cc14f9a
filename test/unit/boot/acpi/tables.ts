/** Options for ACPI tables as a machine would give them, and a reader that follows the pointers as a guest does. */
import type { AcpiOptions } from '../../../../lib/boot/acpi/options';
import type { FakeMemory } from '../../../support/fake-memory';

export const area = { start: 0xe0000, size: 0x20000 };

const common = {
  area,
  sleepTypeS5: 5,
  reset: { port: 0x602, value: 1 },
  localApic: 0xfee00000,
  nmiPin: 1,
  ioApic: { id: 0, address: 0xfec00000, gsiBase: 0 },
  serialPorts: [{ port: 0x3f8, irq: 4 }],
  pvpanic: { port: 0x505 },
} as const;

export function hardwareReduced(cpus: number, changes: Partial<AcpiOptions> = {}): AcpiOptions {
  return {
    ...common,
    platform: { kind: 'hardware-reduced', sleep: { controlPort: 0x600, statusPort: 0x601 } },
    legacy: { isaDevices: true, i8042: false, vga: false, pic: false },
    apicIds: Array.from({ length: cpus }, (_, id) => id),
    overrides: [{ irq: 0, gsi: 2, polarity: 'conform', trigger: 'conform' }],
    ...changes,
  };
}

export function full(cpus: number, changes: Partial<AcpiOptions> = {}): AcpiOptions {
  return {
    ...common,
    platform: { kind: 'full', sciIrq: 9, pm1EventPort: 0x600, pm1ControlPort: 0x604, pmTimerPort: 0x608, powerButton: true },
    legacy: { isaDevices: true, i8042: true, vga: true, pic: true },
    apicIds: Array.from({ length: cpus }, (_, id) => id),
    overrides: [
      { irq: 0, gsi: 2, polarity: 'conform', trigger: 'conform' },
      { irq: 9, gsi: 9, polarity: 'high', trigger: 'level' },
    ],
    cmosRtc: { port: 0x70, irq: 8, century: 0x32 },
    ...changes,
  };
}

/** Every table by signature, found from the RSDP; RSDT and XSDT must agree. */
export function readTables(memory: FakeMemory, rsdp: number): Record<string, Buffer> {
  const table = (address: number) => memory.read(address, memory.bytes.readUInt32LE(address + 4));
  const root = memory.read(rsdp, 36);
  const rsdt = table(root.readUInt32LE(16));
  const xsdt = table(Number(root.readBigUInt64LE(24)));
  const listed = Array.from({ length: (xsdt.length - 36) / 8 }, (_, index) => Number(xsdt.readBigUInt64LE(36 + index * 8)));
  expect(Array.from({ length: (rsdt.length - 36) / 4 }, (_, index) => rsdt.readUInt32LE(36 + index * 4))).toEqual(listed);
  const tables = [rsdt, xsdt, ...listed.map(table)];
  const fadt = tables.find((each) => each.toString('latin1', 0, 4) === 'FACP')!;
  expect(Number(fadt.readBigUInt64LE(140))).toBe(fadt.readUInt32LE(40));
  tables.push(table(fadt.readUInt32LE(40)));
  if (fadt.readUInt32LE(36)) tables.push(table(fadt.readUInt32LE(36)));
  return { 'RSD PTR ': root, ...Object.fromEntries(tables.map((each) => [each.toString('latin1', 0, 4), each])) };
}

export function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
}
