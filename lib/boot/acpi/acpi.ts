import { invalidArgument } from '../../util/errors';
import { checkInteger, hex } from '../../util/numbers';
import type { GuestMemoryAccess } from '../../memory/guest-memory';
import { alignUp } from '../placement';
import { dsdt } from './dsdt';
import { fadt } from './fadt';
import { madt } from './madt';
import type { AcpiOptions } from './options';
import { facs, rootPointer, rsdt, xsdt } from './table';

const rootPointerSize = 36;
const tableAlignment = 16;
const facsAlignment = 64;

export interface AcpiTables {
  /** Guest-physical address of the RSDP: 16-byte aligned, so that a guest also finds it when the area is in e0000 to fffff. */
  readonly rsdp: number;
  /** End of the last table, exclusive. */
  readonly end: number;
}

/**
 * Builds the ACPI tables of a machine (ACPI 6.3: RSDP, RSDT, XSDT, FADT, MADT, DSDT, and FACS for the full flavour) and writes them
 * into the area. Throws ERR_HAX_INVALID_ARGUMENT for numbers out of range and when the area is too small.
 */
export function writeAcpiTables(memory: GuestMemoryAccess, options: AcpiOptions): AcpiTables {
  checkOptions(options);
  const { start, size } = options.area;
  const pieces: { address: number; bytes: Buffer }[] = [];
  let end = start;
  const reserve = (length: number, align = tableAlignment) => {
    const address = alignUp(end, align);
    end = address + length;
    return address;
  };
  const put = (bytes: Buffer, address = reserve(bytes.length)) => {
    pieces.push({ address, bytes });
    return address;
  };
  // The roots come first in memory, and their sizes are known before what they point to.
  const hasApics = options.apicIds.length > 0;
  const listed = new Array<number>(hasApics ? 2 : 1).fill(0);
  const rsdp = reserve(rootPointerSize);
  const rsdtAddress = reserve(rsdt(listed).length);
  const xsdtAddress = reserve(xsdt(listed).length);
  const dsdtAddress = put(dsdt(options));
  const facsAddress = options.platform.kind === 'full' ? put(facs(), reserve(facs().length, facsAlignment)) : 0;
  const tables = [put(fadt(options, dsdtAddress, facsAddress))];
  if (hasApics) tables.push(put(madt(options)));
  put(rsdt(tables), rsdtAddress);
  put(xsdt(tables), xsdtAddress);
  put(rootPointer(rsdtAddress, xsdtAddress), rsdp);
  if (end > start + size) {
    throw invalidArgument(`area must have at least ${hex(end - start)} bytes for the ACPI tables, not ${hex(size)}`);
  }
  for (const { address, bytes } of pieces) memory.write(address, bytes);
  return { rsdp, end };
}

function checkOptions(options: AcpiOptions): void {
  const { area, platform, reset, apicIds, ioApic } = options;
  checkInteger(area.start, 'area.start', 0, 0xffffffff);
  checkInteger(area.size, 'area.size', 1, 2 ** 32 - area.start);
  checkInteger(options.sleepTypeS5, 'sleepTypeS5', 0, 7);
  checkPort(reset.port, 'reset.port');
  checkInteger(reset.value, 'reset.value', 0, 0xff);
  if (platform.kind === 'full') {
    checkIrq(platform.sciIrq, 'sciIrq');
    checkPort(platform.pm1EventPort, 'pm1EventPort');
    checkPort(platform.pm1ControlPort, 'pm1ControlPort');
    checkPort(platform.pmTimerPort, 'pmTimerPort');
  } else {
    checkPort(platform.sleep.controlPort, 'sleep.controlPort');
    checkPort(platform.sleep.statusPort, 'sleep.statusPort');
  }
  if (new Set(apicIds).size !== apicIds.length) {
    throw invalidArgument('apicIds must have one entry for each processor, all different');
  }
  // 255 addresses all processors.
  for (const apicId of apicIds) checkInteger(apicId, 'apicIds', 0, 254);
  checkInteger(options.localApic, 'localApic', 0, 0xffffffff);
  checkInteger(ioApic.id, 'ioApic.id', 0, 0xff);
  checkInteger(ioApic.address, 'ioApic.address', 0, 0xffffffff);
  checkInteger(ioApic.gsiBase, 'ioApic.gsiBase', 0, 0xffffffff);
  for (const { irq, gsi } of options.overrides) {
    checkIrq(irq, 'overrides[].irq');
    checkInteger(gsi, 'overrides[].gsi', 0, 0xffffffff);
  }
  for (const { port, irq } of options.serialPorts) {
    checkPort(port, 'serialPorts[].port');
    checkIrq(irq, 'serialPorts[].irq');
  }
  // Device names COM1 to COM9.
  checkInteger(options.serialPorts.length, 'serialPorts.length', 0, 9);
  if (options.cmosRtc) {
    checkPort(options.cmosRtc.port, 'cmosRtc.port');
    checkIrq(options.cmosRtc.irq, 'cmosRtc.irq');
    checkInteger(options.cmosRtc.century, 'cmosRtc.century', 0, 0x7f);
  }
  if (options.pvpanic) checkPort(options.pvpanic.port, 'pvpanic.port');
}

function checkPort(value: number, name: string): void {
  checkInteger(value, name, 0, 0xffff);
}

function checkIrq(value: number, name: string): void {
  checkInteger(value, name, 0, 15);
}
