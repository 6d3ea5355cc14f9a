import { Pit8254 } from '../../../lib/devices/i8254';
import { SpeakerPort, type SpeakerPortState } from '../../../lib/devices/speaker-port';
import { ManualClock } from '../../../lib/time/clock';
import { deviceLaws } from '../../support/device-laws';

// A timer that stands still: the laws of the real one are its own.
const still = { setGate: () => undefined, out: () => true, refreshToggle: false };
deviceLaws<SpeakerPortState, SpeakerPort>('speaker-port', () => new SpeakerPort(still), { length: 1, widths: [1] });

function bench() {
  const clock = new ManualClock();
  const pit = new Pit8254({ clock });
  return { clock, pit, port: new SpeakerPort(pit) };
}

describe('SpeakerPort', () => {
  it('keeps bits 3 to 0 and nothing else', () => {
    const { port } = bench();
    for (let value = 0; value < 0x100; value++) {
      port.write(0, value);
      expect(port.read(0)).toBe(value & 0x0f);
    }
  });

  it('bit 0 is the gate of timer 2, bit 5 its output', () => {
    const { clock, pit, port } = bench();
    for (const byte of [0xb0, 10, 0]) pit.write(byte === 0xb0 ? 3 : 2, byte);
    clock.advance(1e6);
    expect(port.read(0) & 0x20).toBe(0);
    port.write(0, 0x01);
    clock.advance(9000);
    expect(port.read(0) & 0x21).toBe(0x21);
    port.reset();
    expect(pit.save().gate2).toBe(false);
    // The gate has no effect on OUT in mode 0.
    expect(port.read(0) & 0x21).toBe(0x20);
  });

  it('takes the gate when it is made', () => {
    const { pit } = bench();
    pit.setGate(2, true);
    new SpeakerPort(pit);
    expect(pit.save().gate2).toBe(false);
  });

  it('bit 4 toggles every 18 ticks, about 66,288 times a second', () => {
    const { clock, port } = bench();
    let toggles = 0;
    let last = port.read(0) & 0x10;
    for (let i = 0; i < 100_000; i++) {
      clock.advance(1000);
      const bit = port.read(0) & 0x10;
      if (bit !== last) toggles++;
      last = bit;
    }
    expect(toggles).toBe(Math.floor((0.1 * 105e6) / 88 / 18));
  });

  it.each(['timer first', 'port first'])('is restored without a trigger, %s', (which) => {
    const { clock, pit, port } = bench();
    port.write(0, 0x03);
    for (const byte of [0xb6, 0x00, 0x10]) pit.write(byte === 0xb6 ? 3 : 2, byte);
    clock.advance(1e6);
    const states = { pit: pit.save(), port: port.save() };
    const other = bench();
    const steps = [() => other.pit.restore(states.pit), () => other.port.restore(states.port)];
    for (const step of which === 'timer first' ? steps : steps.reverse()) step();
    expect([other.pit.save(), other.port.save()]).toEqual([states.pit, states.port]);
  });
});

/** Linux's two ways to learn the frequency of the TSC from timer 2 (arch/x86/kernel/tsc.c), on a machine where each access takes a while. */
class Linux {
  readonly #pit: Pit8254;
  readonly #port: SpeakerPort;
  readonly #clock: ManualClock;

  constructor(
    private readonly khz: number,
    private readonly access: (n: number) => number,
  ) {
    ({ pit: this.#pit, port: this.#port, clock: this.#clock } = bench());
  }

  #accesses = 0;

  #tick(): void {
    this.#clock.advance(this.access(this.#accesses++));
  }

  inb(port: number): number {
    this.#tick();
    return (port === 0x61 ? this.#port.read(0) : this.#pit.read(port - 0x40)) & 0xff;
  }

  outb(value: number, port: number): void {
    this.#tick();
    if (port === 0x61) this.#port.write(0, value);
    else this.#pit.write(port - 0x40, value);
  }

  tsc(): number {
    return Math.floor((this.#clock.now() * this.khz) / 1e6);
  }

  verifyMsb(value: number): boolean {
    this.inb(0x42);
    return this.inb(0x42) === value;
  }

  expectMsb(value: number): { ok: boolean; tsc: number; delta: number } {
    let [tsc, previous, count] = [0, 0, 0];
    for (; count < 50_000; count++) {
      if (!this.verifyMsb(value)) break;
      previous = tsc;
      tsc = this.tsc();
    }
    return { ok: count > 5, tsc, delta: this.tsc() - previous };
  }

  startTimer2(count: number): void {
    this.outb((this.inb(0x61) & ~0x02) | 0x01, 0x61);
    this.outb(0xb0, 0x43);
    this.outb(count & 0xff, 0x42);
    this.outb(count >> 8, 0x42);
  }

  quickCalibrate(): number {
    const iterations = Math.floor((50 * 1_193_182) / 1000 / 256);
    this.startTimer2(0xffff);
    this.verifyMsb(0);
    const first = this.expectMsb(0xff);
    if (!first.ok) return 0;
    for (let i = 1; i <= iterations; i++) {
      const next = this.expectMsb(0xff - i);
      if (!next.ok) break;
      const delta = next.tsc - first.tsc;
      const error = first.delta + next.delta;
      if (i === 1 && error >= Math.floor((delta * iterations) / 2048)) return 0;
      if (error >= Math.floor(delta / 2048)) continue;
      if (!this.verifyMsb(0xfe - i)) break;
      return Math.floor((delta * 1_193_182) / (i * 256 * 1000));
    }
    return 0;
  }

  calibrate(milliseconds: number, loopMin: number): number {
    this.startTimer2(Math.floor(1_193_182 / (1000 / milliseconds)));
    const start = this.tsc();
    let [tsc, last, loops, min, max] = [start, start, 0, Infinity, 0];
    while ((this.inb(0x61) & 0x20) === 0) {
      last = this.tsc();
      min = Math.min(min, last - tsc);
      max = Math.max(max, last - tsc);
      tsc = last;
      loops++;
    }
    if (loops < loopMin || max > 10 * min) return NaN;
    return (last - start) / milliseconds;
  }
}

describe('calibration of the TSC', () => {
  // What an access to a port takes.
  it.each([
    ['1 µs', () => 1000],
    ['2.5 µs', () => 2500],
    ['1.5 to 2.5 µs', (n: number) => 1500 + ((n * 7919) % 1000)],
  ])('quick, %s an access', (_, access) => {
    const khz = 2_419_200;
    const measured = new Linux(khz, access).quickCalibrate();
    expect(Math.abs(measured / khz - 1)).toBeLessThan(500e-6);
  });

  it('quick, gives up at 7 µs an access: four of them are more than 500 ppm of 50 ms', () => {
    expect(new Linux(2_419_200, () => 7000).quickCalibrate()).toBe(0);
  });

  it.each([
    [10, 1000, () => 1000],
    [50, 1000, () => 2500],
    [50, 1000, (n: number) => 2000 + ((n * 7919) % 4000)],
  ])('over %p ms', (milliseconds, loopMin, access) => {
    const khz = 3_000_000;
    const measured = new Linux(khz, access).calibrate(milliseconds, loopMin);
    expect(Math.abs(measured / khz - 1)).toBeLessThan(2e-3);
  });
});
