import fc from 'fast-check';
import { Pit8254 } from '../../../lib/devices/i8254';
import { PicPair } from '../../../lib/devices/pic-pair';
import { control, nsOf, ticksIn, ms, second, WatchedClock, bench, program } from './i8254-bench';

describe('ticks that could not be given in time', () => {
  const hz250 = 4772;

  it.each([2, 3, 5, 18])('a count of %p: 5000 interrupts and timers a second', (count) => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, count);
    const { calls } = clock;
    clock.advance(second);
    for (const many of [edges.at.length, clock.calls - calls]) {
      expect(many).toBeGreaterThan(4900);
      expect(many).toBeLessThanOrEqual(5000);
    }
    // Whatever the guest does meanwhile.
    edges.at.length = 0;
    for (let i = 0; i < 100_000; i++) {
      clock.stall(1000);
      pit.read(0);
    }
    expect(edges.at.length).toBeLessThanOrEqual(500);
  });

  it('are made up for one each half period', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.advance(nsOf(10 * hz250));
    edges.at.length = 0;
    clock.stall(nsOf(20 * hz250));
    clock.advance(nsOf(30 * hz250));
    // All that were due by now, one after the other.
    expect(edges.at).toHaveLength(50);
    const gaps = edges.at.slice(1).map((tick, i) => tick - edges.at[i]);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(hz250 / 2);
    expect(gaps.slice(0, 19).every((gap) => gap <= hz250 / 2 + 1)).toBe(true);
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(hz250 - 1);
  });

  it('leave a guest that takes longer than a period for each as long for itself, where it is told when', () => {
    const clock = new WatchedClock();
    const rises: number[] = [];
    const service = 7 * ms;
    let served = 0;
    const pit = new Pit8254({
      clock,
      tellsServed: true,
      irq: {
        set: (level) => {
          if (!level) return;
          rises.push(clock.now());
          clock.at(clock.now() + service, () => {
            served++;
            pit.served();
          });
        },
      },
    });
    program(pit, 0, 2, hz250);
    clock.advance(second);
    const gaps = rises.slice(1).map((at, i) => at - rises[i]);
    expect(served).toBeGreaterThan(60);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2 * service - 1000);
    expect(Math.max(...gaps)).toBeLessThan(2 * service + 5000);
    // One that nobody serves, masked perhaps, does not hold up the rest for ever.
    const deaf = new Pit8254({ clock, tellsServed: true, irq: { set: (level) => level && rises.push(clock.now()) } });
    program(deaf, 0, 2, hz250);
    const before = rises.length;
    clock.advance(second);
    expect(rises.length - before).toBeGreaterThan(30);
  });

  it('of more than a second are dropped', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(3600 * second);
    edges.at.length = 0;
    clock.advance(10 * second);
    expect(edges.at.length).toBe(250 + 2500);
  });

  it('are forgotten when the counter is programmed anew', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(second);
    pit.write(control, 0x38);
    edges.at.length = 0;
    clock.advance(second);
    expect(edges.at).toEqual([]);
  });

  it('come when the guest looks at the timer, if the host has not called', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(nsOf(hz250 + 1));
    pit.read(2);
    expect(edges.at).toEqual([0, hz250 + 1]);
    clock.fire();
    expect(edges.at).toHaveLength(2);
  });

  it('a guest behind a PIC counts all its jiffies, without bursts, whatever the host is late by', () => {
    const lateness = fc.array(fc.oneof(fc.integer({ min: 0, max: 1.5 * ms }), fc.integer({ min: 0, max: 40 * ms })), {
      maxLength: 20,
      size: 'max',
    });
    fc.assert(
      fc.property(lateness, fc.constantFrom(100, 250), (late, hz) => {
        const clock = new WatchedClock();
        const pic = new PicPair();
        for (const byte of [0x11, 0x30, 0x04, 0x01, 0xfe]) pic.master.write(byte === 0x11 ? 0 : 1, byte);
        const pit = new Pit8254({ clock, irq: pic.line(0) });
        const count = Math.floor(1_193_182 / hz);
        program(pit, 0, 2, count);
        const jiffies: number[] = [];
        const serve = (): void => {
          while (pic.source.pending) {
            expect(pic.source.acknowledge()).toBe(0x30);
            jiffies.push(clock.now());
            pic.master.write(0, 0x60);
          }
        };
        serve();
        jiffies.length = 0;
        pic.source.onPending = () => queue.push(serve);
        const queue: (() => void)[] = [];
        let i = 0;
        clock.advance(2 * second, () => {
          queue.splice(0).forEach((each) => each());
          return late[i++] ?? 0;
        });
        // A quiet second to catch up in.
        clock.advance(second, () => {
          queue.splice(0).forEach((each) => each());
          return 0;
        });
        queue.splice(0).forEach((each) => each());
        const due = Math.floor((ticksIn(3 * second) - 1) / count);
        expect(jiffies.length).toBeGreaterThanOrEqual(due - 1);
        expect(jiffies.length).toBeLessThanOrEqual(due);
        const gaps = jiffies.slice(1).map((at, n) => at - jiffies[n]);
        expect(Math.min(...gaps)).toBeGreaterThan(0.49 * (second / hz));
      }),
      { numRuns: 30 },
    );
  });
});
