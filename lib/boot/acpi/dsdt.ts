import { amlDevice, amlEisaId, amlInteger, amlName, amlPackage, amlResources, amlScope, amlString, ioResource, irqResource } from './aml';
import type { Aml } from './aml';
import type { AcpiOptions, CmosRtc, SerialPort } from './options';
import { headerSize, newTable, seal } from './table';

/** Differentiated System Description Table (ACPI 6.3, section 5.2.11.1): power-off, the clock, the serial ports and pvpanic, and nothing to run. */

/** Integers are 64 bits wide. */
const revision = 2;
const uartPorts = 8;
const rtcPorts = 2;

export function dsdt({ sleepTypeS5, serialPorts, cmosRtc, pvpanic }: AcpiOptions): Buffer {
  const devices = serialPorts.map(serialDevice);
  if (cmosRtc) devices.push(rtcDevice(cmosRtc));
  if (pvpanic) devices.push(pvpanicDevice(pvpanic.port));
  const terms = Buffer.concat([
    // SLP_TYP for PM1a and PM1b control, two reserved elements (7.4.2.6).
    amlName('\\_S5', amlPackage(amlInteger(sleepTypeS5), amlInteger(0), amlInteger(0), amlInteger(0))),
    ...(devices.length > 0 ? [amlScope('\\_SB', ...devices)] : []),
  ]);
  const table = newTable('DSDT', revision, headerSize + terms.length);
  table.set(terms, headerSize);
  return seal(table);
}

/** PNP0501: a 16550A-compatible port. */
function serialDevice({ port, irq }: SerialPort, index: number): Aml {
  return amlDevice(
    `COM${index + 1}`,
    amlName('_HID', amlEisaId('PNP0501')),
    amlName('_UID', amlInteger(index + 1)),
    amlName('_CRS', amlResources(ioResource(port, uartPorts), irqResource(irq))),
  );
}

/** PNP0B00: an MC146818 as in a PC AT. */
function rtcDevice({ port, irq }: CmosRtc): Aml {
  return amlDevice(
    'RTC',
    amlName('_HID', amlEisaId('PNP0B00')),
    amlName('_CRS', amlResources(ioResource(port, rtcPorts), irqResource(irq))),
  );
}

/** QEMU0001 (QEMU, docs/specs/pvpanic.rst). */
function pvpanicDevice(port: number): Aml {
  const present = 0x0f; // present, enabled, shown, functioning (6.3.7)
  return amlDevice(
    'PEVT',
    amlName('_HID', amlString('QEMU0001')),
    amlName('_CRS', amlResources(ioResource(port, 1))),
    amlName('_STA', amlInteger(present)),
  );
}
