import { Pit8254, type Pit8254State } from '../../../lib/devices/i8254';
import { deviceLaws } from '../../support/device-laws';

/** Programs a counter: where random bytes would seldom lead. */
function program(pit: Pit8254, value: number): void {
  const counter = value % 3;
  pit.write(3, (counter << 6) | 0x30 | ((value >> 2) & 0x0f));
  pit.write(counter, value);
  pit.write(counter, value >> 5);
}

// Half a millisecond is 597 ticks: some of the cycles come to their end, some do not.
deviceLaws<Pit8254State, Pit8254>('8254', ({ irq, clock }) => new Pit8254({ irq, clock }), {
  length: 4,
  widths: [1],
  hostActions: [program, program, (pit, value) => pit.out((value % 3) as 0 | 1 | 2)],
  lastingHostActions: [(pit, value) => pit.setGate((value % 3) as 0 | 1 | 2, (value & 4) !== 0)],
  maxStateBytes: 2000,
  maxAdvance: 500_000,
});
