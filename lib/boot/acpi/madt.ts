import type { AcpiOptions, InterruptOverride } from './options';
import { headerSize, newTable, seal } from './table';

/** Multiple APIC Description Table of ACPI 6.3 (section 5.2.12). */

const revision = 5;
/** The machine also has two 8259s, which the guest must mask. */
const pcatCompat = 1;
const processorEnabled = 1;
const allProcessors = 0xff;
const isaBus = 0;

/** MPS INTI flags (5.2.12.5): polarity in bits 1:0, trigger mode in bits 3:2. */
const polarity = { conform: 0, high: 1, low: 3 } as const;
const trigger = { conform: 0, edge: 1 << 2, level: 3 << 2 } as const;

export function madt(options: AcpiOptions): Buffer {
  const entries = Buffer.concat([
    ...options.apicIds.map(localApic),
    ioApic(options.ioApic),
    ...options.overrides.map(interruptOverride),
    ...(options.nmiPin === undefined ? [] : [localApicNmi(options.nmiPin)]),
  ]);
  const table = newTable('APIC', revision, headerSize + 8 + entries.length);
  table.writeUInt32LE(options.localApic, headerSize);
  table.writeUInt32LE(options.legacy.pic ? pcatCompat : 0, headerSize + 4);
  table.set(entries, headerSize + 8);
  return seal(table);
}

/** Processor Local APIC (5.2.12.2); processor UIDs count from 0. */
function localApic(apicId: number, uid: number): Buffer {
  return Buffer.of(0, 8, uid, apicId, processorEnabled, 0, 0, 0);
}

/** I/O APIC (5.2.12.3). */
function ioApic({ id, address, gsiBase }: AcpiOptions['ioApic']): Buffer {
  const entry = Buffer.alloc(12);
  entry.set([1, entry.length, id]);
  entry.writeUInt32LE(address, 4);
  entry.writeUInt32LE(gsiBase, 8);
  return entry;
}

/** Interrupt Source Override (5.2.12.5). */
function interruptOverride(override: InterruptOverride): Buffer {
  const entry = Buffer.alloc(10);
  entry.set([2, entry.length, isaBus, override.irq]);
  entry.writeUInt32LE(override.gsi, 4);
  entry.writeUInt16LE(polarity[override.polarity] | trigger[override.trigger], 8);
  return entry;
}

/** Local APIC NMI for every processor (5.2.12.7). */
function localApicNmi(pin: number): Buffer {
  return Buffer.of(4, 6, allProcessors, polarity.conform | trigger.conform, 0, pin);
}
