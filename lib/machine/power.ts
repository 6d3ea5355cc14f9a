/**
 * Power, reset and the ACPI tables that tell of them. Which kind of ACPI goes with which interrupt controllers, and why:
 * docs/decisions/0001-acpi-flavour.md.
 */
import { writeAcpiTables } from '../boot/acpi/acpi';
import type { AcpiOptions, FullPlatform, HardwareReducedPlatform } from '../boot/acpi/options';
import { AcpiPm } from '../devices/acpi-pm';
import { AcpiPower } from '../devices/acpi-power';
import { KeyboardReset } from '../devices/keyboard-reset';
import { Pvpanic } from '../devices/pvpanic';
import type { RunEnd } from '../hypervisor/end';
import type { VirtualMachine } from '../hypervisor/vm';
import type { Clock } from '../time/clock';
import { acpiArea, ioApicAddress, localApicAddress, ports, resetValue, resetVector, sleepTypeS5 } from './layout';

/** What the two flavours of ACPI differ in. */
type Flavour = Pick<AcpiOptions, 'platform' | 'reset' | 'overrides' | 'cmosRtc'>;

/** The flavour of ACPI that goes with a VM's interrupt controllers. */
export function acpiKind(vm: VirtualMachine): AcpiOptions['platform']['kind'] {
  return vm.hasKernelIrqchip ? 'hardware-reduced' : 'full';
}

/** Puts the devices on the VM's ports and the tables into its memory; returns the address of the RSDP. `stop` ends the guest. */
export function addPower(vm: VirtualMachine, { clock, cpus }: { clock: Clock; cpus: number }, stop: (end: RunEnd) => void): number {
  const onReset = (): void => stop({ reason: 'reset' });
  const onPowerOff = (): void => stop({ reason: 'powered-off' });
  const keyboard = new KeyboardReset(onReset);
  vm.ports.add({ at: ports.keyboard.data, length: 1 }, keyboard);
  vm.ports.add({ at: ports.keyboard.command, length: 1, offset: ports.keyboard.command - ports.keyboard.data }, keyboard);
  const pvpanic = new Pvpanic((event) => {
    if (event === 'panicked') stop({ reason: 'panicked' });
  });
  vm.ports.add({ at: ports.pvpanic, length: 1 }, pvpanic);
  vm.memory.write(resetVector, resetCode);
  let flavour: Flavour;
  if (acpiKind(vm) === 'hardware-reduced') {
    vm.ports.add(ports.acpiPower, new AcpiPower({ sleepTypeS5, resetValue, onPowerOff, onReset }));
    flavour = reduced();
  } else {
    const { at, length, irq } = ports.acpiPm;
    vm.ports.add({ at, length }, new AcpiPm({ clock, irq: vm.irqLine(irq), sleepTypeS5, onPowerOff }));
    flavour = full();
  }
  return writeAcpiTables(vm.memory, {
    ...flavour,
    area: acpiArea,
    sleepTypeS5,
    legacy: { isaDevices: true, i8042: false, vga: false, pic: true },
    // A MADT alone makes Linux look for a local APIC, whatever CPUID says.
    apicIds: vm.hasKernelIrqchip ? Array.from({ length: cpus }, (_, id) => id) : [],
    localApic: localApicAddress,
    nmiPin: 1,
    ioApic: { id: 0, address: ioApicAddress, gsiBase: 0 },
    serialPorts: [{ port: ports.com1.at, irq: ports.com1.irq }],
    pvpanic: { port: ports.pvpanic },
  }).rsdp;
}

/** What pulses the reset line of the keyboard controller at its command port. */
const resetPulse = 0xfe;

/**
 * Real mode: mov al, 0xfe; out 0x64, al; and should that not end it: hlt; jmp to it. Boot sectors jump here, and so does Linux with
 * hardware-reduced ACPI: it takes that for a sign of EFI, whose services it then prefers to the FADT's reset register, and finding none
 * tries the BIOS (arch/x86/kernel/reboot.c, reboot_init and native_machine_emergency_restart).
 */
const resetCode = Uint8Array.of(0xb0, resetPulse, 0xe6, ports.keyboard.command, 0xf4, 0xeb, 0xfd);

/** The timer of the kernel's PIT is wired to GSI 2, as on a PC. */
const pitOverride = { irq: 0, gsi: 2, polarity: 'conform', trigger: 'conform' } as const;

function reduced(): Flavour {
  const { at } = ports.acpiPower;
  const platform: HardwareReducedPlatform = { kind: 'hardware-reduced', sleep: { controlPort: at, statusPort: at + 1 } };
  return { platform, reset: { port: at + 2, value: resetValue }, overrides: [pitOverride] };
}

function full(): Flavour {
  const { at, irq } = ports.acpiPm;
  const { cmos } = ports;
  const platform: FullPlatform = { kind: 'full', sciIrq: irq, pm1EventPort: at, pm1ControlPort: at + 4, pmTimerPort: at + 8 };
  const sciOverride = { irq, gsi: irq, polarity: 'high', trigger: 'level' } as const;
  return {
    platform,
    reset: { port: ports.keyboard.command, value: resetPulse },
    overrides: [pitOverride, sciOverride],
    cmosRtc: { port: cmos.at, irq: cmos.irq, century: cmos.century },
  };
}
