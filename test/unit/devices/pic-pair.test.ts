import type { DeviceState } from '../../../lib/bus/device';
import type { Pic8259State } from '../../../lib/devices/i8259';
import { PicPair } from '../../../lib/devices/pic-pair';
import { StateReader } from '../../../lib/devices/state';
import { deviceLaws, type Surroundings } from '../../support/device-laws';
import { command, data, initialize, initializePc, isr } from './pic';

const badArgument = expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' });

interface PairState extends DeviceState {
  readonly master: Pic8259State;
  readonly slave: Pic8259State;
}

/** Both chips and the ELCR as one device: offsets 0 and 1, 2 and 3, 4 and 5. */
class WholePair {
  readonly name = 'pair';
  readonly pair = new PicPair();

  constructor({ irq }: Surroundings) {
    this.pair.source.onPending = () => irq.set(true);
    this.update = () => irq.set(this.pair.source.pending);
  }

  readonly update: () => void;

  read(offset: number): number {
    const value = this.#part(offset)?.read(offset & 1, 1) ?? 0xffffffff;
    this.update();
    return value as number;
  }

  write(offset: number, value: number): void {
    this.#part(offset)?.write(offset & 1, value, 1);
    this.update();
  }

  reset(): void {
    this.pair.reset();
    this.update();
  }

  save(): PairState {
    return { device: 'pair', version: 1, master: this.pair.master.save(), slave: this.pair.slave.save() };
  }

  restore(state: PairState): void {
    const { master, slave, ...rest } = Object(state) as PairState;
    new StateReader(rest, this.name, 1).end();
    // All or nothing: first into another pair.
    for (const pair of [new PicPair(), this.pair]) {
      pair.slave.restore(slave);
      pair.master.restore(master);
    }
    this.update();
  }

  #part(offset: number) {
    return [this.pair.master, this.pair.slave, this.pair.elcr].at(offset < 6 ? offset >> 1 : 3);
  }
}

deviceLaws<PairState, WholePair>('PicPair', (surroundings) => new WholePair(surroundings), {
  length: 6,
  widths: [1],
  hostActions: [
    (whole) => {
      if (whole.pair.source.pending) whole.pair.source.acknowledge();
      whole.update();
    },
    (whole) => {
      initializePc(whole.pair);
      whole.update();
    },
  ],
  lastingHostActions: [
    (whole, value) => {
      if ((value & 15) !== 2) whole.pair.line(value & 15).set((value & 16) !== 0);
      whole.update();
    },
  ],
});

describe('PicPair', () => {
  const pc = (options = {}): PicPair => initializePc(new PicPair(), options);

  it('has lines 0 to 15 but the cascade, always the same', () => {
    const pair = new PicPair();
    for (let number = 0; number < 16; number++) {
      if (number !== 2) expect(pair.line(number)).toBe(pair.line(number));
    }
    for (const wrong of [-1, 2, 16, 0.5, NaN, '1' as unknown as number]) expect(() => pair.line(wrong)).toThrow(badArgument);
    expect(() => pair.line(2)).toThrow(/IRQ 2 of a PC is line 9/);
  });

  it('lines take levels and nothing like them, as those of the kernel', () => {
    const pair = new PicPair();
    pair.line(4).set(true);
    for (const wrong of [1, 0, undefined, 'high']) expect(() => pair.line(4).set(wrong as never)).toThrow(badArgument);
    expect(pair.master.save().inputs).toBe(1 << 4);
  });

  it.each([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])('line %p has its vector and its services', (number) => {
    const pair = pc();
    const { source, master, slave } = pair;
    pair.line(number).set(true);
    expect(source.pending).toBe(true);
    expect(source.acknowledge()).toBe(0x30 + number);
    expect(source.pending).toBe(false);
    expect([isr(master), isr(slave)]).toEqual(number < 8 ? [1 << number, 0] : [0x04, 1 << (number - 8)]);
  });

  it('serves in the order of a PC: 0, 1, 8 to 15, 3 to 7', () => {
    const pair = pc();
    for (let number = 15; number >= 0; number--) if (number !== 2) pair.line(number).set(true);
    const served: number[] = [];
    while (pair.source.pending) {
      const number = pair.source.acknowledge() - 0x30;
      served.push(number);
      if (number > 7) pair.slave.write(command, 0x20);
      pair.master.write(command, 0x20);
    }
    expect(served).toEqual([0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7]);
  });

  it('calls onPending whenever an interrupt begins to wait', () => {
    const pair = pc();
    const seen = jest.fn(() => expect(pair.source.pending).toBe(true));
    pair.line(4).set(true);
    pair.source.onPending = seen;
    pair.line(5).set(true);
    expect(seen).not.toHaveBeenCalled();
    pair.source.acknowledge();
    pair.line(4).set(false);
    pair.line(12).set(true);
    expect(seen).toHaveBeenCalledTimes(1);
    pair.master.restore(pair.master.save());
    expect(seen).toHaveBeenCalledTimes(1);
    pair.master.write(data, 0xff);
    pair.master.write(data, 0x00);
    expect(seen).toHaveBeenCalledTimes(2);
    pair.source.onPending = undefined;
    pair.reset();
    expect(pair.source.pending).toBe(false);
  });

  it("a slave's interrupts each reach the master as an edge", () => {
    const pair = pc({ slaveIcw4: 0x03, icw4: 0x03 });
    for (const number of [10, 12, 15]) pair.line(number).set(true);
    const served: number[] = [];
    while (pair.source.pending) served.push(pair.source.acknowledge());
    expect(served).toEqual([0x3a, 0x3c, 0x3f]);
  });

  it('a slave that is in service is locked out, but not in special fully nested mode, and lower lines always are', () => {
    for (const [icw4, nested] of [
      [0x01, false],
      [0x11, true],
    ] as const) {
      const pair = pc({ icw4 });
      pair.line(12).set(true);
      pair.source.acknowledge();
      pair.line(3).set(true);
      pair.line(13).set(true);
      expect(pair.source.pending).toBe(false);
      pair.line(9).set(true);
      expect(pair.source.pending).toBe(nested);
      if (nested) expect(pair.source.acknowledge()).toBe(0x39);
      pair.line(1).set(true);
      expect(pair.source.acknowledge()).toBe(0x31);
    }
  });

  it('a level that goes away is withdrawn through both; acknowledged all the same it is vector 7', () => {
    const pair = pc();
    pair.elcr.write(1, 0x40, 1);
    pair.line(14).set(true);
    pair.line(14).set(false);
    expect(pair.source.pending).toBe(false);
    expect(pair.source.acknowledge()).toBe(0x37);
    expect([isr(pair.master), isr(pair.slave)]).toEqual([0, 0]);
  });

  it('an edge that goes away does not', () => {
    const pair = pc();
    pair.line(14).set(true);
    pair.line(14).set(false);
    expect(pair.source.acknowledge()).toBe(0x3e);
  });

  it('the spurious interrupt 15: the master serves its line 2, the slave nothing', () => {
    const pair = pc();
    pair.master.inputs[2].set(true);
    expect(pair.source.acknowledge()).toBe(0x3f);
    expect([isr(pair.master), isr(pair.slave)]).toEqual([0x04, 0]);
  });

  it('nobody gives a vector where ICW3 is wrong, and a master without slaves its own', () => {
    const wrongSlave = pc();
    for (const byte of [0x11, 0x38, 0x03, 0x01, 0x00]) wrongSlave.slave.write(byte === 0x11 ? command : data, byte);
    wrongSlave.line(8).set(true);
    expect(wrongSlave.source.acknowledge()).toBe(0xff);

    const wrongMaster = pc();
    initialize(wrongMaster.master, { icw1: 0x13 });
    wrongMaster.line(8).set(true);
    expect(wrongMaster.source.acknowledge()).toBe(0x22);

    const elsewhere = pc();
    for (const byte of [0x11, 0x30, 0x10, 0x01, 0x00]) elsewhere.master.write(byte === 0x11 ? command : data, byte);
    elsewhere.line(4).set(true);
    expect(elsewhere.source.acknowledge()).toBe(0xff);
  });

  it('ELCR makes lines level-triggered, but not those that must be edges', () => {
    const { elcr } = pc();
    expect(elcr.maxWidth).toBe(1);
    elcr.write(0, 0xff, 1);
    elcr.write(1, 0xff, 1);
    elcr.write(2, 0xff, 1);
    expect([0, 1, 2].map((offset) => elcr.read(offset, 1))).toEqual([0xf8, 0xde, 0xffffffff]);
    const pair = pc();
    pair.elcr.write(1, 0x08, 1);
    pair.line(11).set(true);
    for (let i = 0; i < 3; i++) {
      expect(pair.source.acknowledge()).toBe(0x3b);
      pair.slave.write(command, 0x20);
      pair.master.write(command, 0x20);
    }
    pair.line(11).set(false);
    expect(pair.source.pending).toBe(false);
  });

  it("Linux's acknowledgement (mask_and_ack_8259A) and its check for spurious interrupts", () => {
    const pair = pc();
    pair.line(14).set(true);
    expect(pair.source.acknowledge()).toBe(0x3e);
    pair.slave.write(data, 0x40);
    pair.slave.write(command, 0x66);
    pair.master.write(command, 0x62);
    expect([isr(pair.master), isr(pair.slave), pair.source.pending]).toEqual([0, 0, false]);
    // Level 7 without a cause: not in service, so Linux counts it as spurious.
    pair.master.acknowledge();
    pair.master.write(command, 0x0b);
    expect(pair.master.read(command) & 0x80).toBe(0);
    pair.master.write(command, 0x0a);
  });

  it.each(['master first', 'slave first'])('can be restored chip by chip, %s', (which) => {
    const first = pc();
    first.line(9).set(true);
    first.line(4).set(true);
    const second = new PicPair();
    const states = [() => second.master.restore(first.master.save()), () => second.slave.restore(first.slave.save())];
    for (const restore of which === 'master first' ? states : states.reverse()) restore();
    expect([second.master.save(), second.slave.save()]).toEqual([first.master.save(), first.slave.save()]);
    expect(second.source.acknowledge()).toBe(0x39);
  });
});
