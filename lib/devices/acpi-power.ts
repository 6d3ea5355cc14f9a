/**
 * Power-off and reset of hardware-reduced ACPI.
 *
 * Reference: ACPI 6.5, 4.8.3.6 Reset Register, 4.8.3.7 Sleep Control and Status Registers.
 * Emulated: offset 0 SLEEP_CONTROL_REG, offset 1 SLEEP_STATUS_REG, offset 2 RESET_REG; S5 and the other sleep types through callbacks.
 * Not emulated: sleeping itself. What a type other than S5 does is the machine's affair, which reports the end of it with wake().
 */
import type { Device, DeviceState } from '../bus/device';
import { checkInteger } from '../util/numbers';
import { StateReader } from './state';

const sleepControl = 0;
const sleepStatus = 1;
const resetRegister = 2;

/** SLEEP_CONTROL_REG: "SLP_TYPx" in bits 4 to 2, "SLP_EN", which always reads 0. */
const sleepTypeShift = 2;
const sleepTypeMask = 0x7;
const sleepEnable = 0x20;
/** SLEEP_STATUS_REG: "WAK_STS", which a wake event sets and software clears by writing 1. */
const wakeStatus = 0x80;

/** The values that the guest's ACPI tables name, and what comes of them. */
export interface AcpiPowerOptions {
  /** The SLP_TYP of S5 that the `\_S5` object names, 0 to 7. */
  sleepTypeS5: number;
  /** The FADT's RESET_VALUE, 0 to 0xff. */
  resetValue: number;
  /** The guest has asked for S5. */
  onPowerOff: () => void;
  /** The guest has written RESET_VALUE. */
  onReset: () => void;
  /** Another sleep type was entered. */
  onSleep?: ((type: number) => void) | undefined;
}

/** What save() gives. */
export interface AcpiPowerState extends DeviceState {
  readonly device: 'acpi-power';
  readonly version: 1;
  /** SLP_TYP as it was written last. */
  readonly sleepType: number;
  /** WAK_STS. */
  readonly wakeStatus: boolean;
}

export class AcpiPower implements Device<AcpiPowerState> {
  readonly name = 'acpi-power';
  readonly maxWidth = 1;
  readonly #options: AcpiPowerOptions;
  #sleepType = 0;
  #wakeStatus = false;

  constructor(options: AcpiPowerOptions) {
    checkInteger(options.sleepTypeS5, 'sleepTypeS5', 0, sleepTypeMask);
    checkInteger(options.resetValue, 'resetValue', 0, 0xff);
    this.#options = { ...options };
  }

  /** The machine has left a sleep. */
  wake(): void {
    this.#wakeStatus = true;
  }

  read(offset: number): number {
    switch (offset) {
      case sleepControl:
        return this.#sleepType << sleepTypeShift;
      case sleepStatus:
        return this.#wakeStatus ? wakeStatus : 0;
      case resetRegister:
        return 0;
      default:
        return 0xffffffff;
    }
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    switch (offset) {
      case sleepControl:
        this.#sleepType = (byte >> sleepTypeShift) & sleepTypeMask;
        if (byte & sleepEnable) this.#sleep(this.#sleepType);
        break;
      case sleepStatus:
        if (byte & wakeStatus) this.#wakeStatus = false;
        break;
      case resetRegister:
        if (byte === this.#options.resetValue) this.#options.onReset();
        break;
    }
  }

  reset(): void {
    this.#sleepType = 0;
    this.#wakeStatus = false;
  }

  save(): AcpiPowerState {
    return { device: 'acpi-power', version: 1, sleepType: this.#sleepType, wakeStatus: this.#wakeStatus };
  }

  restore(state: AcpiPowerState): void {
    const from = new StateReader(state, this.name, 1);
    const sleepType = from.integer('sleepType', 0, sleepTypeMask);
    const wake = from.boolean('wakeStatus');
    from.end();
    this.#sleepType = sleepType;
    this.#wakeStatus = wake;
  }

  #sleep(type: number): void {
    if (type === this.#options.sleepTypeS5) this.#options.onPowerOff();
    else this.#options.onSleep?.(type);
  }
}
