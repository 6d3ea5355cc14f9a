import fc from 'fast-check';
import type { Device, DeviceState, Width } from '../../lib/bus/device';
import type { IrqLine } from '../../lib/bus/irq-line';
import { ManualClock } from '../../lib/time/clock';
import { codeOf } from './codes';

/** An interrupt line that remembers. */
export class RecordedLine implements IrqLine {
  level = false;
  /** How often the line has risen. */
  edges = 0;

  set(level: boolean): void {
    if (level && !this.level) this.edges++;
    this.level = level;
  }
}

/** What a device under test is connected to. */
export interface Surroundings {
  readonly irq: RecordedLine;
  readonly clock: ManualClock;
}

export interface DeviceLawOptions<D> {
  /** How many bytes of registers it has; what lies beyond is unknown to it. */
  readonly length: number;
  /** The widths its bus may hand it. */
  readonly widths?: readonly Width[];
  /** Offsets below `length` that hold no register. */
  readonly holes?: readonly number[];
  /** What the host does to it besides: input, line changes; `value` is any byte. */
  readonly hostActions?: readonly ((device: D, value: number) => void)[];
  /** As hostActions, but on attachments of the host, which outlive a reset. */
  readonly lastingHostActions?: readonly ((device: D, value: number) => void)[];
  /** Bytes that its state may take as JSON, whatever the guest does. */
  readonly maxStateBytes?: number;
  /** Nanoseconds that the clock may advance between accesses. */
  readonly maxAdvance?: number;
}

type Step =
  | { do: 'read'; offset: number; width: Width }
  | { do: 'write'; offset: number; width: Width; value: number }
  | { do: 'host'; action: number; value: number }
  | { do: 'advance'; ns: number };

interface Bench<D> extends Surroundings {
  device: D;
}

/** All the values that a width can carry. */
const full = (width: number): number => 2 ** (8 * width) - 1;

/**
 * Holds a device to the laws of every device: reset equals fresh; save then restore is the identity, interrupt level included; any access
 * at any width is bounded and never throws; unknown offsets read all-ones; a state survives JSON; a damaged state is refused and changes
 * nothing. `makeDevice` makes it as after power-on.
 */
export function deviceLaws<State extends DeviceState, D extends Device<State>>(
  name: string,
  makeDevice: (surroundings: Surroundings) => D,
  options: DeviceLawOptions<D>,
): void {
  const {
    length,
    widths = [1, 2, 4],
    holes = [],
    hostActions = [],
    lastingHostActions = [],
    maxStateBytes = 65536,
    maxAdvance = 10_000_000,
  } = options;

  const actions = [...hostActions, ...lastingHostActions];

  const bench = (startTime = 0): Bench<D> => {
    const clock = new ManualClock();
    clock.advance(startTime);
    const irq = new RecordedLine();
    return { irq, clock, device: makeDevice({ irq, clock }) };
  };

  const offset = fc.oneof({ weight: 9, arbitrary: fc.nat(length - 1) }, { weight: 1, arbitrary: fc.nat(length + 300) });
  const width = fc.constantFrom(...widths);
  const value = (of: Width): fc.Arbitrary<number> =>
    fc.oneof(fc.nat(255), fc.integer({ min: 0, max: full(of) })).map((v) => Math.min(v, full(of)));
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('read' as const), offset, width }) },
    {
      weight: 8,
      arbitrary: width.chain((w) => fc.record({ do: fc.constant('write' as const), offset, width: fc.constant(w), value: value(w) })),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('advance' as const), ns: fc.nat(maxAdvance) }) },
    ...(actions.length === 0
      ? []
      : [
          {
            weight: 4,
            arbitrary: fc.record({ do: fc.constant('host' as const), action: fc.nat(actions.length - 1), value: fc.nat(255) }),
          },
        ]),
  );
  const steps = fc.array(step, { maxLength: 60 });

  /** Everything that can be seen of the device while the steps are taken. */
  const take = ({ device, irq, clock }: Bench<D>, list: readonly Step[]): unknown[] =>
    list.map((each) => {
      let seen: unknown;
      switch (each.do) {
        case 'read':
          seen = device.read(each.offset, each.width);
          break;
        case 'write':
          seen = device.write(each.offset, each.value, each.width);
          break;
        case 'host':
          actions[each.action](device, each.value);
          break;
        case 'advance':
          clock.advance(each.ns);
          break;
      }
      return [seen, irq.level];
    });

  describe(`laws of devices: ${name}`, () => {
    it('reset equals fresh', () => {
      fc.assert(
        fc.property(steps, steps, (before, after) => {
          const used = bench();
          take(used, before);
          used.device.reset();
          expect(used.irq.level).toBe(false);
          const fresh = bench();
          const lasting = before.filter((each) => each.do === 'host' && each.action >= hostActions.length);
          if (lasting.length > 0) {
            take(fresh, lasting);
            fresh.device.reset();
          }
          expect(used.device.save()).toEqual(fresh.device.save());
          expect(take(used, after)).toEqual(take(fresh, after));
          expect(used.device.save()).toEqual(fresh.device.save());
        }),
      );
    });

    it('restore(save()) is the identity, interrupt level included', () => {
      fc.assert(
        fc.property(steps, steps, steps, (before, other, after) => {
          const first = bench();
          take(first, before);
          const saved = first.device.save();
          // Elsewhere, later, and in a device that has been used.
          const second = bench(123_456_789);
          take(second, other);
          second.device.restore(saved);
          expect(second.device.save()).toEqual(saved);
          expect(second.irq.level).toBe(first.irq.level);
          expect(take(second, after)).toEqual(take(first, after));
          expect(second.device.save()).toEqual(first.device.save());
        }),
      );
    });

    it('a saved state survives JSON, and what happens afterwards', () => {
      fc.assert(
        fc.property(steps, steps, (before, after) => {
          const used = bench();
          take(used, before);
          const saved = used.device.save();
          const json = JSON.stringify(saved);
          expect(JSON.parse(json)).toEqual(saved);
          expect(saved.device).toBe(used.device.name);
          take(used, after);
          expect(JSON.stringify(saved)).toBe(json);
          const again = bench();
          again.device.restore(JSON.parse(json) as State);
          expect(again.device.save()).toEqual(saved);
        }),
      );
    });

    it('refuses a damaged state and changes nothing', () => {
      const damages: unknown[] = [undefined, 'damaged', NaN, -1, 0.5, 2 ** 60, {}, [2 ** 60], ['damaged'], new Array(100_000).fill(0)];
      const keys = Object.keys(bench().device.save());
      const damaged = (saved: State): unknown[] => [
        undefined,
        null,
        0,
        'state',
        [],
        {},
        { ...saved, device: `other than ${saved.device}` },
        { ...saved, version: saved.version + 1 },
        { ...saved, unknownMember: 1 },
        ...keys.map((key) => Object.fromEntries(Object.entries(saved).filter(([each]) => each !== key))),
        ...keys.flatMap((key) => damages.map((damage) => ({ ...saved, [key]: damage }))),
      ];
      fc.assert(
        fc.property(steps, steps, (before, other) => {
          const first = bench();
          take(first, before);
          const used = bench();
          take(used, other);
          const saved = used.device.save();
          const { level, edges } = used.irq;
          const codes = damaged(first.device.save()).map((state) => codeOf(() => used.device.restore(state as State)));
          expect(new Set(codes)).toEqual(new Set(['ERR_HAX_DEVICE_STATE']));
          expect(used.device.save()).toEqual(saved);
          expect([used.irq.level, used.irq.edges]).toEqual([level, edges]);
        }),
        { numRuns: 10 },
      );
    });

    it('any access is answered, and the state stays small', () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 2000, size: 'max' }), (list) => {
          const used = bench();
          for (const each of list) {
            take(used, [each]);
            if (each.do === 'read') expect(typeof used.device.read(each.offset, each.width)).toBe('number');
          }
          expect(JSON.stringify(used.device.save()).length).toBeLessThanOrEqual(maxStateBytes);
        }),
        { numRuns: 20 },
      );
    });

    it('unknown offsets read all-ones and writing them does nothing', () => {
      const unknown = fc.oneof(fc.integer({ min: length, max: length + 300 }), ...(holes.length > 0 ? [fc.constantFrom(...holes)] : []));
      fc.assert(
        fc.property(steps, unknown, width, fc.integer({ min: 0, max: 0xffffffff }), (before, at, of, written) => {
          const used = bench();
          take(used, before);
          const saved = used.device.save();
          expect(((used.device.read(at, of) as number) & (-1 >>> (32 - 8 * of))) >>> 0).toBe(full(of));
          used.device.write(at, (written & (-1 >>> (32 - 8 * of))) >>> 0, of);
          expect(used.device.save()).toEqual(saved);
        }),
      );
    });
  });
}
