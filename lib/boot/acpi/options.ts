import type { PhysicalRange } from '../e820';

/** What the tables tell the guest; every address and number comes from the machine. */
export interface AcpiOptions {
  /** RAM below 4 GiB for the tables, which the memory map must not give away as free RAM. The RSDP comes first. */
  readonly area: PhysicalRange;
  readonly platform: HardwareReducedPlatform | FullPlatform;
  /** Written to power off: the SLP_TYP value of state S5, 0 to 7. */
  readonly sleepTypeS5: number;
  /** A write of `value` to `port` resets the machine. */
  readonly reset: { readonly port: number; readonly value: number };
  readonly legacy: LegacyHardware;
  /** APIC id of each processor, the boot processor first, 0 to 254; empty for a machine without APICs, which has no MADT then. */
  readonly apicIds: readonly number[];
  /** Guest-physical address of the local APICs. */
  readonly localApic: number;
  /** The local interrupt pin on which every processor takes NMIs, edge triggered; none when absent. */
  readonly nmiPin?: 0 | 1;
  readonly ioApic: { readonly id: number; readonly address: number; readonly gsiBase: number };
  /** ISA interrupts that reach the I/O APIC other than as edge-triggered, active-high GSI of the same number. */
  readonly overrides: readonly InterruptOverride[];
  readonly serialPorts: readonly SerialPort[];
  /** The real-time clock that the guest is to drive, interrupt and all; none when absent. */
  readonly cmosRtc?: CmosRtc;
  /** I/O port of the pvpanic device. */
  readonly pvpanic?: { readonly port: number };
}

/** No fixed ACPI hardware but sleep registers (ACPI 6.3, 4.1): Linux then uses neither PIC nor PIT, nor waits for an SCI. */
export interface HardwareReducedPlatform {
  readonly kind: 'hardware-reduced';
  /** SLEEP_CONTROL_REG and SLEEP_STATUS_REG, one I/O port each (4.8.3.7). */
  readonly sleep: { readonly controlPort: number; readonly statusPort: number };
}

/** The fixed ACPI hardware of a PC (ACPI 6.3, 4.8): event and control registers, PM timer, SCI and the global lock in the FACS. */
export interface FullPlatform {
  readonly kind: 'full';
  /** ISA interrupt that carries the SCI, level triggered: name it in `overrides` too. */
  readonly sciIrq: number;
  /** Four ports: PM1 status and enable. */
  readonly pm1EventPort: number;
  /** Two ports: PM1 control. */
  readonly pm1ControlPort: number;
  /** Four ports: the 3.579545 MHz timer. */
  readonly pmTimerPort: number;
  /** The timer counts 32 bits instead of 24. */
  readonly pmTimer32?: boolean;
  /** Whether PM1 reports a power button. */
  readonly powerButton?: boolean;
}

/** IAPC_BOOT_ARCH (ACPI 6.3, 5.2.9.3): what is said to be absent is not probed, which saves tens of thousands of exits. */
export interface LegacyHardware {
  /** User-visible devices on the ISA bus, such as serial or parallel ports. */
  readonly isaDevices: boolean;
  /** Keyboard controller at ports 0x60 and 0x64. */
  readonly i8042: boolean;
  readonly vga: boolean;
  /** Two 8259 interrupt controllers. */
  readonly pic: boolean;
}

export interface InterruptOverride {
  /** ISA interrupt, 0 to 15. */
  readonly irq: number;
  readonly gsi: number;
  /** `conform` is what the ISA bus has: active high. */
  readonly polarity: 'conform' | 'high' | 'low';
  /** `conform` is what the ISA bus has: edge. */
  readonly trigger: 'conform' | 'edge' | 'level';
}

/** An MC146818: an index port and, behind it, a data port. */
export interface CmosRtc {
  readonly port: number;
  /** ISA interrupt. */
  readonly irq: number;
  /** Index of the byte with the century. */
  readonly century: number;
}

export interface SerialPort {
  readonly port: number;
  /** ISA interrupt. */
  readonly irq: number;
}
