import fc from 'fast-check';
import { Pic8259, type Pic8259State } from '../../../lib/devices/i8259';
import { deviceLaws, RecordedLine } from '../../support/device-laws';
import { command, data, initialize, irr, isr } from './pic';

deviceLaws<Pic8259State, Pic8259>('8259A', ({ irq }) => new Pic8259({ output: irq }), {
  length: 2,
  widths: [1],
  hostActions: [(pic) => pic.acknowledge(), (pic, value) => (pic.elcr = value), (pic) => initialize(pic)],
  lastingHostActions: [(pic, value) => pic.inputs[value & 7].set((value & 8) !== 0)],
  maxStateBytes: 500,
});

deviceLaws<Pic8259State, Pic8259>('8259A, a slave', ({ irq }) => new Pic8259({ output: irq, slave: true, elcrMask: 0xde }), {
  length: 2,
  widths: [1],
  hostActions: [(pic) => pic.acknowledge(), (pic, value) => (pic.elcr = value)],
  lastingHostActions: [(pic, value) => pic.inputs[value & 7].set((value & 8) !== 0)],
});

const fresh = (options = {}): Pic8259 => initialize(new Pic8259(), options);

function raise(pic: Pic8259, ...levels: number[]): void {
  for (const level of levels) pic.inputs[level].set(true);
}

function lower(pic: Pic8259, ...levels: number[]): void {
  for (const level of levels) pic.inputs[level].set(false);
}

/** Takes every interrupt there is, ending each at once with `eoi`, and tells their order. */
function serveAll(pic: Pic8259, eoi = 0x20): number[] {
  const served: number[] = [];
  while (pic.pending && served.length < 20) {
    served.push(pic.acknowledge());
    pic.write(command, eoi);
  }
  return served;
}

describe('initialization', () => {
  it('delivers with vectors from 0 after power-on, as KVM and QEMU do, and has a mask, as Linux probes it', () => {
    const pic = new Pic8259();
    expect(pic.read(data)).toBe(0);
    raise(pic, 3);
    expect(pic.pending).toBe(true);
    expect(pic.vector(pic.acknowledge())).toBe(3);
    for (const mask of [0xfb, 0x00, 0xff]) {
      pic.write(data, mask);
      expect(pic.read(data)).toBe(mask);
    }
  });

  // ICW1 → how many words follow it before OCW1.
  it.each([
    [0x10, 2],
    [0x11, 3],
    [0x12, 1],
    [0x13, 2],
    [0x1b, 2],
    [0x1d, 3],
  ])('ICW1 %p is followed by %p more', (icw1, following) => {
    const pic = new Pic8259();
    pic.write(command, icw1);
    expect(pic.read(data)).toBe(0);
    for (let i = 0; i < following; i++) {
      raise(pic, 1);
      expect(pic.pending).toBe(false);
      pic.write(data, 0x08);
      expect(pic.read(data)).toBe(0);
    }
    expect(pic.pending).toBe(true);
    pic.write(data, 0xa5);
    expect(pic.read(data)).toBe(0xa5);
  });

  it('makes the vector of T7 to T3 and the level', () => {
    for (let base = 0; base < 0x100; base++) {
      const pic = new Pic8259();
      pic.write(command, 0x12);
      pic.write(data, base);
      for (let level = 0; level < 8; level++) expect(pic.vector(level)).toBe((base & 0xf8) | level);
    }
  });

  it('clears edges, mask, service, rotation, special mask, polling and what reads give', () => {
    const pic = fresh({ icw4: 0x13 });
    raise(pic, 3, 5);
    pic.acknowledge();
    pic.write(data, 0x55);
    for (const byte of [0xc2, 0x80, 0x6b, 0x0c]) pic.write(command, byte);
    pic.write(command, 0x12);
    pic.write(data, 0x40);
    expect(pic.pending).toBe(false);
    expect(pic.save()).toEqual({
      ...{ device: '8259A', version: 1, inputs: 0x28, edges: 0, isr: 0, imr: 0, vectorBase: 0x40, cascade: 0, expected: 0 },
      ...{ needsIcw4: false, single: true, levelTriggered: false, autoEoi: false, specialFullyNested: false, specialMask: false },
      ...{ rotateInAutoEoi: false, lowest: 7, readIsr: false, poll: false, elcr: 0 },
    });
    // "An interrupt request input must make a low-to-high transition."
    raise(pic, 3);
    expect(irr(pic)).toBe(0);
    lower(pic, 3);
    raise(pic, 3);
    expect(irr(pic)).toBe(0x08);
  });
});

describe('requests', () => {
  it('an edge lasts until it is acknowledged, masked or not', () => {
    const pic = fresh({ imr: 0xff });
    raise(pic, 4);
    expect([irr(pic), pic.pending]).toEqual([0x10, false]);
    pic.write(data, 0xef);
    expect(pic.pending).toBe(true);
    expect(pic.acknowledge()).toBe(4);
    expect([irr(pic), isr(pic), pic.pending]).toEqual([0, 0x10, false]);
    pic.write(command, 0x20);
    expect(pic.pending).toBe(false);
  });

  it('an edge in the service routine waits for its end', () => {
    const pic = fresh();
    raise(pic, 4);
    pic.acknowledge();
    lower(pic, 4);
    raise(pic, 4);
    expect([irr(pic), pic.pending]).toEqual([0x10, false]);
    pic.write(command, 0x20);
    expect(pic.pending).toBe(true);
  });

  it('an edge stays a request when its line falls, until it is acknowledged', () => {
    const pic = fresh();
    raise(pic, 3);
    lower(pic, 3);
    expect([pic.pending, irr(pic)]).toEqual([true, 0x08]);
    expect(pic.vector(pic.acknowledge())).toBe(0x23);
    pic.write(command, 0x20);
    expect([pic.pending, irr(pic)]).toEqual([false, 0]);
  });

  it('a level that falls takes its request along, and who acknowledges it all the same gets level 7, not in service', () => {
    const int = new RecordedLine();
    const pic = initialize(new Pic8259({ output: int }));
    pic.elcr = 0x08;
    raise(pic, 3);
    expect(int.level).toBe(true);
    lower(pic, 3);
    expect([int.level, irr(pic)]).toEqual([false, 0]);
    pic.elcr = 0;
    expect(pic.pending).toBe(false);
    const before = pic.save();
    expect(pic.vector(pic.acknowledge())).toBe(0x27);
    expect(pic.save()).toEqual(before);
    expect(isr(pic)).toBe(0);
  });

  it.each([
    ['LTIM', { icw1: 0x1b }, 0],
    ['ELCR', {}, 0x08],
  ])('a level asks for as long as it lasts (%s)', (_, options, elcr) => {
    const pic = fresh(options);
    pic.elcr = elcr;
    raise(pic, 3);
    for (let i = 0; i < 3; i++) {
      expect(pic.acknowledge()).toBe(3);
      expect([irr(pic), isr(pic), pic.pending]).toEqual([0x08, 0x08, false]);
      pic.write(command, 0x20);
      expect(pic.pending).toBe(true);
    }
    lower(pic, 3);
    expect([irr(pic), pic.pending]).toEqual([0, false]);
  });

  it('ELCR keeps to the lines that it has', () => {
    const pic = new Pic8259({ elcrMask: 0xf8 });
    for (let value = 0; value < 0x100; value++) {
      pic.elcr = value;
      expect(pic.elcr).toBe(value & 0xf8);
    }
  });

  it('INT falls and rises at an acknowledgement with another to come', () => {
    const int = new RecordedLine();
    const pic = initialize(new Pic8259({ output: int }), { icw4: 0x03 });
    raise(pic, 1, 2);
    expect(int.edges).toBe(1);
    pic.acknowledge();
    expect([int.level, int.edges]).toEqual([true, 2]);
  });
});

describe('priority', () => {
  // Lowest level → order of service of all eight.
  const order = [
    [0, '12345670'],
    [1, '23456701'],
    [2, '34567012'],
    [3, '45670123'],
    [4, '56701234'],
    [5, '67012345'],
    [6, '70123456'],
    [7, '01234567'],
  ] as const;

  it.each(order)('with level %p lowest it is %p', (lowest, expected) => {
    const pic = fresh();
    pic.write(command, 0xc0 | lowest);
    raise(pic, 0, 1, 2, 3, 4, 5, 6, 7);
    expect(serveAll(pic).join('')).toBe(expected);
  });

  it.each(order)('with level %p lowest a service is interrupted only from before it in %p', (lowest, expected) => {
    for (const served of expected) {
      for (const other of expected) {
        if (other === served) continue;
        const pic = fresh();
        pic.write(command, 0xc0 | lowest);
        raise(pic, Number(served));
        pic.acknowledge();
        raise(pic, Number(other));
        expect([served, other, pic.pending]).toEqual([served, other, expected.indexOf(other) < expected.indexOf(served)]);
      }
    }
  });

  it('is what the datasheet says, for any requests, mask, services and rotation', () => {
    const byte = fc.nat(255);
    fc.assert(
      fc.property(byte, byte, byte, fc.nat(7), fc.boolean(), (inputs, imr, inService, lowest, specialMask) => {
        const pic = new Pic8259();
        pic.restore({ ...fresh().save(), inputs, edges: inputs, imr, isr: inService, lowest, specialMask });
        const rank = (level: number): number => (level - lowest + 7) & 7;
        const levels = [0, 1, 2, 3, 4, 5, 6, 7];
        const has = (bits: number) => (level: number) => (bits >> level) & 1;
        const blocking = levels.filter(has(inService)).filter((level) => !specialMask || !has(imr)(level));
        const asking = levels
          .filter(has(inputs & ~imr))
          .filter((level) => blocking.every((other) => rank(level) < rank(other)))
          .sort((a, b) => rank(a) - rank(b));
        expect(pic.pending).toBe(asking.length > 0);
        if (!pic.pending) return;
        expect(pic.acknowledge()).toBe(asking[0]);
        expect(isr(pic)).toBe(inService | (1 << asking[0]));
        expect(irr(pic)).toBe(inputs & ~(1 << asking[0]));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('OCW2', () => {
  // In service: 1, 4, 6, with 3 lowest, so that 4 comes before 6 before 1. Command → ISR and lowest level afterwards.
  it.each([
    ['non-specific EOI', 0x20, 0x42, 3],
    ['specific EOI of 6', 0x66, 0x12, 3],
    ['specific EOI of a level that is not in service', 0x65, 0x52, 3],
    ['rotate on non-specific EOI', 0xa0, 0x42, 4],
    ['rotate on specific EOI of 1', 0xe1, 0x50, 1],
    ['set priority', 0xc5, 0x52, 5],
    ['no operation', 0x47, 0x52, 3],
    ['rotate in automatic EOI mode, set', 0x80, 0x52, 3],
    ['rotate in automatic EOI mode, clear', 0x00, 0x52, 3],
  ])('%s', (_, byte, service, lowest) => {
    const pic = new Pic8259();
    pic.restore({ ...fresh().save(), isr: 0x52, lowest: 3 });
    pic.write(command, byte);
    expect([pic.save().isr, pic.save().lowest]).toEqual([service, lowest]);
    expect(pic.save().rotateInAutoEoi).toBe(byte === 0x80);
  });

  it('rotation gives every device the same share', () => {
    const pic = fresh({ icw1: 0x1b });
    raise(pic, 2, 4, 7);
    const served = Array.from({ length: 9 }, () => {
      const level = pic.acknowledge();
      pic.write(command, 0xa0);
      return level;
    });
    expect(served).toEqual([2, 4, 7, 2, 4, 7, 2, 4, 7]);
  });

  it('EOI of nothing changes nothing', () => {
    const pic = fresh();
    const before = pic.save();
    pic.write(command, 0x20);
    pic.write(command, 0xa0);
    expect(pic.save()).toEqual(before);
  });

  it('automatic EOI leaves nothing in service, and rotates if told to', () => {
    const pic = fresh({ icw4: 0x03 });
    raise(pic, 2, 5);
    expect([pic.acknowledge(), isr(pic), pic.save().lowest]).toEqual([2, 0, 7]);
    pic.write(command, 0x80);
    expect([pic.acknowledge(), isr(pic), pic.save().lowest]).toEqual([5, 0, 5]);
    pic.write(command, 0x00);
    raise(pic, 0);
    expect([pic.acknowledge(), pic.save().lowest]).toEqual([0, 5]);
  });
});

describe('OCW3', () => {
  it('chooses between IRR and ISR until told otherwise', () => {
    const pic = fresh();
    raise(pic, 1, 6);
    pic.acknowledge();
    expect(pic.read(command)).toBe(0x40);
    pic.write(command, 0x0b);
    // Bits 1 and 0 of "no action", and an OCW2 in between.
    for (const byte of [0x08, 0x09, 0x47]) {
      pic.write(command, byte);
      expect([pic.read(command), pic.read(command)]).toEqual([0x02, 0x02]);
    }
    pic.write(command, 0x0a);
    expect(pic.read(command)).toBe(0x40);
  });

  // Bits 6 and 5 → special mask mode afterwards, from off and from on.
  it.each([
    [0x08, false, true],
    [0x28, false, true],
    [0x48, false, false],
    [0x68, true, true],
  ])('%p sets or clears special mask mode', (byte, fromOff, fromOn) => {
    for (const [first, after] of [
      [0x48, fromOff],
      [0x68, fromOn],
    ] as const) {
      const pic = fresh();
      pic.write(command, first);
      pic.write(command, byte);
      expect(pic.save().specialMask).toBe(after);
    }
  });

  it('in special mask mode a masked service holds nothing back, and only a specific EOI ends it', () => {
    const pic = fresh();
    raise(pic, 2);
    pic.acknowledge();
    pic.write(data, 0x04);
    raise(pic, 5);
    expect(pic.pending).toBe(false);
    pic.write(command, 0x68);
    expect(pic.pending).toBe(true);
    expect(pic.acknowledge()).toBe(5);
    pic.write(command, 0x20);
    expect(isr(pic)).toBe(0x04);
    pic.write(command, 0x20);
    expect(isr(pic)).toBe(0x04);
    pic.write(command, 0x62);
    expect(isr(pic)).toBe(0);
  });

  it('polls: one read at either port is an acknowledgement', () => {
    for (const port of [command, data]) {
      const pic = fresh({ imr: 0x02 });
      pic.write(command, 0x0c);
      expect(pic.read(port)).toBe(0);
      expect(pic.read(data)).toBe(0x02);
      raise(pic, 1, 3);
      // RR at once: the poll goes first.
      pic.write(command, 0x0f);
      expect(pic.read(7)).toBe(0xffffffff);
      expect(pic.read(port)).toBe(0x83);
      expect(pic.read(command)).toBe(0x08);
      expect(pic.pending).toBe(false);
    }
  });
});

describe('restore', () => {
  // What no chip can be in.
  it.each([{ edges: 256 }, { vectorBase: 1 }, { expected: 1 }])('refuses %p', (members) => {
    const pic = fresh();
    expect(() => pic.restore({ ...pic.save(), ...members })).toThrow(expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE' }));
  });

  it('refuses level-triggered lines that must be edges', () => {
    const pic = new Pic8259({ elcrMask: 0xf8 });
    expect(() => pic.restore({ ...pic.save(), elcr: 0x09 })).toThrow(expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE' }));
  });
});
