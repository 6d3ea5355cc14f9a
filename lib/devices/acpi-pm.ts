/**
 * The fixed power-management hardware of a PC: events, control and the PM timer, for machines with full ACPI.
 *
 * Reference: ACPI 6.5, 4.8.3.1 PM1 Event Grouping, 4.8.3.2 PM1 Control Grouping, 4.8.3.3 PM Timer.
 * Emulated: offsets 0 to 1 PM1 status, 2 to 3 PM1 enable, 4 to 5 PM1 control, 8 to 11 the timer of 24 bits; the system control interrupt;
 * power and sleep buttons; S5 and the other sleep types through callbacks.
 * Not emulated: the global lock's other side (there is no firmware to share it with, so GBL_RLS has no effect and GBL_STS stays clear),
 * bus mastering, wake-up from sleep (the clock's neither: RTC_EN has no effect and RTC_STS stays clear), and the legacy mode without SCI_EN:
 * the hardware is in ACPI mode from the start.
 */
import type { Device, DeviceState, Width } from '../bus/device';
import { disconnected, type IrqLine } from '../bus/irq-line';
import type { Clock, Timer } from '../time/clock';
import { checkInteger } from '../util/numbers';
import { StateReader } from './state';

const statusAt = 0;
const enableAt = 2;
const controlAt = 4;
const timerAt = 8;
const length = 12;

/** PM1 Status, table 4.12: "TMR_STS", "GBL_STS", "PWRBTN_STS", "SLPBTN_STS", "RTC_STS"; bits 14:11 and 7:6, 4:1 are not there. */
const timerBit = 1 << 0;
const powerButtonBit = 1 << 8;
const sleepButtonBit = 1 << 9;
const rtcBit = 1 << 10;
/** The events that PM1 Enable has a bit for: table 4.13. */
const enableMask = timerBit | (1 << 5) | powerButtonBit | sleepButtonBit | rtcBit;

/** PM1 Control, table 4.14: "SCI_EN", "SLP_TYPx" 12:10, "SLP_EN". */
const sciEnable = 1 << 0;
const sleepTypeShift = 10;
const sleepTypeMask = 7;
const sleepEnable = 1 << 13;
/** What a write can change; SLP_EN and GBL_RLS read 0. */
const controlMask = (1 << 1) | (sleepTypeMask << sleepTypeShift);

/** "A 3.579545 MHz free-running, count-up timer": 4.8.1.4. */
const frequency = 3579545;
const timerSize = 2 ** 24;
/** TMR_STS is set whenever the most significant bit changes. */
const halfPeriod = 2 ** 23;

/** What an AcpiPm is connected to. */
export interface AcpiPmOptions {
  /** The time by which the power management timer counts. */
  clock: Clock;
  /** The system control interrupt, a level. */
  irq?: IrqLine | undefined;
  /** The SLP_TYP of S5 that the `\_S5` object names, 0 to 7. */
  sleepTypeS5: number;
  /** The guest has asked for S5. */
  onPowerOff: () => void;
  /** Another sleep type was entered. */
  onSleep?: ((type: number) => void) | undefined;
}

/** What save() gives. */
export interface AcpiPmState extends DeviceState {
  readonly device: 'acpi-pm';
  readonly version: 1;
  /** PM1 status register (ACPI 6.5, 4.8.3.1.1). */
  readonly status: number;
  /** PM1 enable register. */
  readonly enable: number;
  /** PM1 control register. */
  readonly control: number;
  /** Nanoseconds since the timer was 0, when the state was saved. */
  readonly age: number;
  /** How many times the timer's top bit had changed then. */
  readonly seen: number;
}

/** Ticks in so many nanoseconds; whole seconds apart, so that the product stays exact for years. */
function ticksIn(nanoseconds: number): number {
  const seconds = Math.floor(nanoseconds / 1e9);
  return seconds * frequency + Math.floor(((nanoseconds - seconds * 1e9) * frequency) / 1e9);
}

/** The first nanosecond of a tick; exact for as long. */
function nsOfTick(tick: number): number {
  const seconds = Math.floor(tick / frequency);
  return seconds * 1e9 + Math.ceil(((tick - seconds * frequency) * 1e9) / frequency);
}

export class AcpiPm implements Device<AcpiPmState> {
  readonly name = 'acpi-pm';
  readonly #options: AcpiPmOptions;
  readonly #irq: IrqLine;
  /** Clock time at which the timer was 0. */
  #origin: number;
  #status = 0;
  #enable = 0;
  #control = sciEnable;
  /** Changes of the timer's top bit that TMR_STS has taken note of. */
  #seen = 0;
  #alarm: Timer | undefined;

  constructor(options: AcpiPmOptions) {
    checkInteger(options.sleepTypeS5, 'sleepTypeS5', 0, sleepTypeMask);
    this.#options = { ...options };
    this.#irq = options.irq ?? disconnected;
    this.#origin = options.clock.now();
  }

  /** Somebody has pressed the power button: the guest is told, and what it does is its affair. */
  pressPowerButton(): void {
    this.#raise(powerButtonBit);
  }

  /** Somebody has pressed the sleep button; as pressPowerButton(). */
  pressSleepButton(): void {
    this.#raise(sleepButtonBit);
  }

  read(offset: number, width: Width): number {
    // The timer is one value: bytes read at different times would not belong together.
    const timer = ticksIn(this.#age()) % timerSize;
    this.#watchTimer();
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.#readByte(offset + i, timer);
    return value;
  }

  write(offset: number, value: number, width: Width): void {
    for (let i = 0; i < width; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  reset(): void {
    this.#origin = this.#options.clock.now();
    this.#status = 0;
    this.#enable = 0;
    this.#control = sciEnable;
    this.#seen = 0;
    this.#update();
  }

  save(): AcpiPmState {
    this.#watchTimer();
    return {
      device: 'acpi-pm',
      version: 1,
      status: this.#status,
      enable: this.#enable,
      control: this.#control,
      age: this.#age(),
      seen: this.#seen,
    };
  }

  restore(state: AcpiPmState): void {
    const from = new StateReader(state, this.name, 1);
    const status = from.integer('status', 0, 0xffff);
    const enable = from.integer('enable', 0, 0xffff);
    const control = from.integer('control', 0, 0xffff);
    const age = from.integer('age', 0, Number.MAX_SAFE_INTEGER);
    const seen = from.integer('seen', 0, Math.floor(ticksIn(age) / halfPeriod));
    from.check((status & ~enableMask) === 0 && (enable & ~enableMask) === 0, 'has events that the chip has not');
    from.check((control & ~(controlMask | sciEnable)) === 0 && (control & sciEnable) !== 0, 'has a control register that cannot be');
    from.end();
    this.#status = status;
    this.#enable = enable;
    this.#control = control;
    this.#origin = this.#options.clock.now() - age;
    this.#seen = seen;
    this.#update();
  }

  #age(): number {
    return this.#options.clock.now() - this.#origin;
  }

  #watchTimer(): void {
    const changes = Math.floor(ticksIn(this.#age()) / halfPeriod);
    if (changes === this.#seen) return;
    this.#seen = changes;
    this.#raise(timerBit);
  }

  #raise(event: number): void {
    this.#status |= event;
    this.#update();
  }

  /** The interrupt follows the registers; the alarm for the timer's next change is set only while somebody waits for it. */
  #update(): void {
    this.#irq.set((this.#status & this.#enable) !== 0);
    this.#alarm?.cancel();
    this.#alarm = undefined;
    if (!(this.#enable & timerBit) || this.#status & timerBit) return;
    const next = nsOfTick((this.#seen + 1) * halfPeriod);
    this.#alarm = this.#options.clock.at(this.#origin + next, () => this.#watchTimer());
  }

  #readByte(offset: number, timer: number): number {
    if (offset >= timerAt && offset < timerAt + 4) return (timer >>> (8 * (offset - timerAt))) & 0xff;
    const shift = 8 * (offset & 1);
    switch (offset & ~1) {
      case statusAt:
        return (this.#status >> shift) & 0xff;
      case enableAt:
        return (this.#enable >> shift) & 0xff;
      case controlAt:
        return (this.#control >> shift) & 0xff;
      default:
        return 0xff;
    }
  }

  #writeByte(offset: number, byte: number): void {
    if (offset >= length) return;
    const shift = 8 * (offset & 1);
    const others = 0xff00 >> shift;
    const value = byte << shift;
    switch (offset & ~1) {
      case statusAt:
        this.#watchTimer();
        this.#status &= ~value;
        this.#update();
        break;
      case enableAt:
        this.#watchTimer();
        this.#enable = (this.#enable & others) | (value & enableMask);
        this.#update();
        break;
      case controlAt:
        this.#control = (this.#control & (others | sciEnable)) | (value & controlMask);
        if (value & sleepEnable) this.#sleep((this.#control >> sleepTypeShift) & sleepTypeMask);
        break;
    }
  }

  #sleep(type: number): void {
    if (type === this.#options.sleepTypeS5) this.#options.onPowerOff();
    else this.#options.onSleep?.(type);
  }
}
