import type { AcpiOptions, FullPlatform, HardwareReducedPlatform, LegacyHardware } from './options';
import { newTable, seal, writePortAddress } from './table';

/** Fixed ACPI Description Table of ACPI 6.3 (section 5.2.9). */

const size = 276;
const majorVersion = 6;
const minorVersion = 3;

const offset = {
  firmwareControl: 36,
  dsdt: 40,
  sciInterrupt: 46,
  pm1aEvent: 56,
  pm1aControl: 64,
  pmTimer: 76,
  pm1EventLength: 88,
  pm1ControlLength: 89,
  pmTimerLength: 91,
  c2Latency: 96,
  c3Latency: 98,
  century: 108,
  bootArchitecture: 109,
  flags: 112,
  resetRegister: 116,
  resetValue: 128,
  minorVersion: 131,
  xDsdt: 140,
  xPm1aEvent: 148,
  xPm1aControl: 172,
  xPmTimer: 208,
  sleepControl: 244,
  sleepStatus: 256,
  hypervisorVendor: 268,
} as const;

/** Fixed feature flags (5.2.9, table of FADT flags). */
const flag = {
  wbinvd: 1 << 0,
  /** C1 works on all processors. */
  procC1: 1 << 2,
  /** Set: the power button is not fixed hardware. */
  powerButton: 1 << 4,
  /** Set: the sleep button is not fixed hardware. */
  sleepButton: 1 << 5,
  /** Set: RTC wake status is not in fixed registers. */
  fixRtc: 1 << 6,
  timer32: 1 << 8,
  resetRegister: 1 << 10,
  hardwareReduced: 1 << 20,
} as const;

/** IA-PC boot architecture flags (5.2.9.3). */
const bootFlag = { legacyDevices: 1 << 0, i8042: 1 << 1, vgaNotPresent: 1 << 2, cmosRtcNotPresent: 1 << 5 } as const;

/** Larger than what the specification takes for C2 (100 µs) and C3 (1000 µs): neither state exists. */
const noC2 = 0xfff;
const noC3 = 0xfff;

/** `facs` is the address of the FACS, which only the full flavour has, else 0. */
export function fadt(options: AcpiOptions, dsdt: number, facs: number): Buffer {
  const { platform, reset, legacy, cmosRtc } = options;
  const table = newTable('FACP', majorVersion, size);
  table.writeUInt8(minorVersion, offset.minorVersion);
  table.writeUInt32LE(dsdt, offset.dsdt);
  table.writeBigUInt64LE(BigInt(dsdt), offset.xDsdt);
  table.writeUInt16LE(noC2, offset.c2Latency);
  table.writeUInt16LE(noC3, offset.c3Latency);
  table.writeUInt8(cmosRtc?.century ?? 0, offset.century);
  table.writeUInt16LE(bootArchitecture(legacy) | (cmosRtc ? 0 : bootFlag.cmosRtcNotPresent), offset.bootArchitecture);
  writePortAddress(table, offset.resetRegister, reset.port, 1);
  table.writeUInt8(reset.value, offset.resetValue);
  table.write('node-hax', offset.hypervisorVendor, 8, 'ascii');
  const common = flag.wbinvd | flag.procC1 | flag.sleepButton | flag.fixRtc | flag.resetRegister;
  table.writeUInt32LE(common | platformFlags(platform), offset.flags);
  if (platform.kind === 'full') writeFixedHardware(table, platform, facs);
  else writeSleepRegisters(table, platform);
  return seal(table);
}

function platformFlags(platform: HardwareReducedPlatform | FullPlatform): number {
  if (platform.kind === 'hardware-reduced') return flag.hardwareReduced | flag.powerButton;
  return (platform.powerButton ? 0 : flag.powerButton) | (platform.pmTimer32 ? flag.timer32 : 0);
}

function bootArchitecture({ isaDevices, i8042, vga }: LegacyHardware): number {
  return (isaDevices ? bootFlag.legacyDevices : 0) | (i8042 ? bootFlag.i8042 : 0) | (vga ? 0 : bootFlag.vgaNotPresent);
}

function writeSleepRegisters(table: Buffer, { sleep }: HardwareReducedPlatform): void {
  writePortAddress(table, offset.sleepControl, sleep.controlPort, 1);
  writePortAddress(table, offset.sleepStatus, sleep.statusPort, 1);
}

/** SMI_CMD stays 0: the machine is in ACPI mode from the start (4.8.3.2.1, SCI_EN). */
function writeFixedHardware(table: Buffer, platform: FullPlatform, facs: number): void {
  table.writeUInt32LE(facs, offset.firmwareControl);
  table.writeUInt16LE(platform.sciIrq, offset.sciInterrupt);
  table.writeUInt32LE(platform.pm1EventPort, offset.pm1aEvent);
  table.writeUInt32LE(platform.pm1ControlPort, offset.pm1aControl);
  table.writeUInt32LE(platform.pmTimerPort, offset.pmTimer);
  table.writeUInt8(4, offset.pm1EventLength);
  table.writeUInt8(2, offset.pm1ControlLength);
  table.writeUInt8(4, offset.pmTimerLength);
  writePortAddress(table, offset.xPm1aEvent, platform.pm1EventPort, 4);
  writePortAddress(table, offset.xPm1aControl, platform.pm1ControlPort, 2);
  writePortAddress(table, offset.xPmTimer, platform.pmTimerPort, 4);
}
