/**
 * Where everything is in the machine `micro`: the one place that knows addresses, ports and interrupt numbers.
 * A machine without firmware and without PCI: what the kernel needs to know stands in the E820 map and the ACPI tables.
 */
import type { AcpiOptions } from '../boot/acpi/options';
import { buildE820, e820Type, lowRamLimit, type E820Entry, type PhysicalRange } from '../boot/e820';
import { HaxError } from '../util/errors';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** End of conventional memory: where a PC's BIOS keeps its extended data area. */
const conventionalEnd = 0x9fc00;
/** End of the BIOS area, and start of extended memory. */
const extendedStart = 1 * MiB;
const highRamStart = 4 * GiB;

/** The smallest machine: conventional memory and the BIOS area. */
export const minMemory = extendedStart;

/** Where boot loaders put what they pass on: above the boot sector and the real-mode IVT, below the extended BIOS data area. */
export const bootArea: PhysicalRange = { start: 64 * KiB, size: conventionalEnd - 64 * KiB };
/** ACPI tables: in the part of the BIOS area that guests also search for the RSDP. */
export const acpiArea: PhysicalRange = { start: 0xe0000, size: 64 * KiB };
/** What a PC has its BIOS in; of ours there is only the code at {@link resetVector}, which an image that is loaded there replaces. */
export const biosArea: PhysicalRange = { start: 0xf0000, size: extendedStart - 0xf0000 };
/** F000:FFF0, where guests jump to reset a PC. */
export const resetVector = 0xffff0;

export const localApicAddress = 0xfee00000;
export const ioApicAddress = 0xfec00000;
/** With {@link ports.debugExit}, as {@link testPorts}. */
export const testMemory: PhysicalRange = { start: 0xff000000, size: 64 * KiB };

export const ports = {
  com1: { at: 0x3f8, length: 8, irq: 4 },
  keyboard: { data: 0x60, command: 0x64 },
  /** The interrupt controllers and the timer where they are ours. */
  pic: { master: 0x20, slave: 0xa0, length: 2 },
  elcr: { at: 0x4d0, length: 2 },
  pit: { at: 0x40, length: 4, irq: 0 },
  speaker: { at: 0x61, length: 1 },
  cmos: { at: 0x70, length: 2, irq: 8, century: 0x32 },
  debugExit: 0xf4,
  /**
   * The next three are there with {@link ports.debugExit}, as kvm-unit-tests need them all. One port an interrupt, but for that between the
   * two controllers.
   */
  testInterrupts: { at: 0x2000, length: 16, cascade: 2 },
  testData: { at: 0xe0, length: 4 },
  fwCfg: { at: 0x510, length: 2 },
  debugConsole: 0xe9,
  pvpanic: 0x505,
  /** Sleep control, sleep status and reset register of hardware-reduced ACPI. */
  acpiPower: { at: 0x600, length: 3 },
  /** PM1 events, PM1 control and PM timer of full ACPI, in the same place: a machine has one kind or the other. */
  acpiPm: { at: 0x600, length: 12, irq: 9 },
} as const;

/** The value that `\_S5` names and the sleep control register takes for power-off; any of 0 to 7. */
export const sleepTypeS5 = 5;
/** Written to the third ACPI port to reset. */
export const resetValue = 1;

/** RAM of a machine with `bytes` of it: contiguous up to 3 GiB, the rest from 4 GiB on. */
export function ramRanges(bytes: number): PhysicalRange[] {
  if (bytes < minMemory) {
    throw new HaxError('ERR_HAX_INVALID_ARGUMENT', `the machine needs at least 1M of memory, not ${bytes} bytes`);
  }
  const low = Math.min(bytes, lowRamLimit);
  const ranges = [{ start: 0, size: low }];
  if (bytes > low) ranges.push({ start: highRamStart, size: bytes - low });
  return ranges;
}

/**
 * What a BIOS leaves in the CMOS RAM for boot loaders and kernels that look there how much RAM there is; as QEMU does (hw/i386/pc.c). KiB below 640K
 * and, twice, from 1M on; 64 KiB from 16M on and from 4G on. What is more than its bytes can say is as much as they can.
 */
export function cmosMemory(bytes: number): [index: number, value: number][] {
  const low = Math.min(bytes, lowRamLimit);
  const number = (indices: readonly number[], size: number, unit: number): [number, number][] => {
    const value = Math.min(Math.floor(Math.max(size, 0) / unit), 2 ** (8 * indices.length) - 1);
    return indices.map((index, i) => [index, (value >>> (8 * i)) & 0xff]);
  };
  return [
    ...number([0x15, 0x16], Math.min(low, 640 * KiB), KiB),
    ...number([0x17, 0x18], low - extendedStart, KiB),
    ...number([0x30, 0x31], low - extendedStart, KiB),
    ...number([0x34, 0x35], low - 16 * MiB, 64 * KiB),
    ...number([0x5b, 0x5c, 0x5d], bytes - low, 64 * KiB),
  ];
}

/** The system address map that the guest is told. Full ACPI has a FACS among its tables, whose global lock is used for good: they are kept. */
export function memoryMap(bytes: number, acpi: AcpiOptions['platform']['kind']): E820Entry[] {
  const type = acpi === 'full' ? e820Type.nvs : e820Type.acpi;
  return buildE820({
    ram: ramRanges(bytes),
    reserved: [{ start: conventionalEnd, size: acpiArea.start - conventionalEnd }, { ...acpiArea, type }, biosArea],
  });
}

/** What the layout depends on, of the machine's options. */
export interface LayoutOptions {
  memory: number;
  irqchip?: 'kernel' | 'user';
  /** Ports of devices that a machine has when they are asked for; undefined shows where they would be. */
  debugExit?: number;
  debugConsole?: number;
}

/** The ports of a machine that nobody has to ask for: who is there, with its verb for a sentence, and what it is. */
export function takenPorts(irqchip: LayoutOptions['irqchip']): { at: number; length: number; owner: string; what: string }[] {
  const { com1, pic, pit, speaker, elcr, cmos, keyboard, acpiPm, acpiPower } = ports;
  const reset = { length: 1, owner: 'the keyboard controller is', what: 'keyboard controller (reset and A20 only)' };
  const ours = { ...acpiPm, owner: 'ACPI is', what: `ACPI events, control, timer, interrupt ${acpiPm.irq}` };
  return [
    { at: pic.master, length: pic.length, owner: 'the interrupt controller is', what: 'interrupt controller' },
    { ...pit, owner: 'the timer is', what: 'timer' },
    { ...reset, at: keyboard.data },
    { ...speaker, owner: 'the speaker is', what: 'speaker' },
    { ...reset, at: keyboard.command },
    { ...cmos, owner: 'the clock is', what: `real-time clock, interrupt ${cmos.irq}` },
    { at: pic.slave, length: pic.length, owner: 'the second interrupt controller is', what: 'second interrupt controller' },
    { ...com1, owner: 'COM1 is', what: `COM1, interrupt ${com1.irq}` },
    { ...elcr, owner: 'the interrupt controllers are', what: 'edge or level of interrupts' },
    { at: ports.pvpanic, length: 1, owner: 'pvpanic is', what: 'pvpanic' },
    irqchip === 'user' ? ours : { ...acpiPower, owner: 'ACPI is', what: 'ACPI sleep control, sleep status, reset' },
  ];
}

/** The ports that a debug exit at {@link ports.debugExit} brings, as {@link takenPorts}. */
export const testPorts: ReturnType<typeof takenPorts> = [
  { ...ports.testData, owner: 'the test data port is', what: 'test data' },
  { ...ports.fwCfg, owner: 'fw_cfg is', what: 'fw_cfg' },
  { ...ports.testInterrupts, owner: 'the test interrupts are', what: 'test interrupts 0 to 15' },
];

/** `--print-layout`: one line a range, in ascending order. */
export function describeLayout({ memory: bytes, irqchip, debugExit, debugConsole }: LayoutOptions): string {
  const line = (what: string, start: number, size: number, digits: number): string =>
    `${start.toString(16).padStart(digits, '0')}-${(start + size - 1).toString(16).padStart(digits, '0')}  ${what}`;
  const names = { 1: 'RAM', 2: 'reserved', 3: 'ACPI tables', 4: 'ACPI tables (NVS)' };
  const ours = irqchip === 'user';
  const apics = [
    { start: ioApicAddress, size: 0x1000, what: 'I/O APIC' },
    { start: localApicAddress, size: 0x1000, what: 'local APICs' },
  ];
  const exitAt = debugExit ?? ports.debugExit;
  const ifAsked = (given: unknown, option: string): string => (given === undefined ? `, with ${option}` : '');
  const withExit = ifAsked(debugExit, '--debug-exit');
  const forTests = exitAt === ports.debugExit;
  const memory = memoryMap(bytes, ours ? 'full' : 'hardware-reduced')
    .map(({ start, size, type }) => ({ start, size, what: names[type] }))
    .concat(ours ? [] : apics, forTests ? [{ ...testMemory, what: `test memory${withExit}` }] : [])
    .sort((a, b) => a.start - b.start);
  const io = [
    ...takenPorts(irqchip),
    { at: debugConsole ?? ports.debugConsole, length: 1, what: `debug console${ifAsked(debugConsole, '--debugcon')}` },
    { at: exitAt, length: 4, what: `debug exit${withExit}` },
    ...(forTests ? testPorts : []).map(({ at, length, what }) => ({ at, length, what: what + withExit })),
  ].sort((a, b) => a.at - b.at);
  return [
    'memory',
    ...memory.map(({ what, start, size }) => `  ${line(what, start, size, 12)}`),
    'ports',
    ...io.map(({ what, at, length }) => `  ${line(what, at, length, 4)}`),
  ].join('\n');
}
