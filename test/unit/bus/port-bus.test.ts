import fc from 'fast-check';
import type { RangeRequest } from '../../../lib/bus/claim';
import type { IoHandler, Width } from '../../../lib/bus/device';
import { PortBus } from '../../../lib/bus/port-bus';
import { maxUnclaimedReports, type UnclaimedAccess } from '../../../lib/bus/unclaimed';
import { byteAt, placed, Probe } from './model';

function recorder(extra: Partial<IoHandler> = {}): IoHandler & { log: string[] } {
  const log: string[] = [];
  return {
    log,
    read: (offset, width) => (log.push(`r${width}@${offset}`), 0x11 * (offset + 1)),
    write: (offset, value, width) => void log.push(`w${width}@${offset}=${value.toString(16)}`),
    ...extra,
  };
}

describe('PortBus', () => {
  it('hands accesses to the owner with offsets of its range', () => {
    const bus = new PortBus();
    const handler = recorder();
    bus.add({ at: 0x3f8, length: 8 }, handler);
    expect(bus.read(0x3fd, 1)).toBe(0x66);
    bus.write(0x3f8, 0x12345678, 1);
    bus.write(0x3fc, 0xfedcba98, 4);
    expect(handler.log).toEqual(['r1@5', 'w1@0=78', 'w4@4=fedcba98']);
  });

  it('masks what handlers return', () => {
    const bus = new PortBus();
    bus.add({ at: 0, length: 8 }, { read: () => -1, write: () => undefined });
    expect([bus.read(0, 1), bus.read(0, 2), bus.read(0, 4)]).toEqual([0xff, 0xffff, 0xffffffff]);
  });

  it('splits accesses wider than the handler, low part first', () => {
    const bus = new PortBus();
    const bytes = recorder({ maxWidth: 1 });
    const words = recorder({ maxWidth: 2 });
    bus.add({ at: 0x40, length: 4 }, bytes);
    bus.add({ at: 0x1f0, length: 8 }, words);
    expect(bus.read(0x40, 4)).toBe(0x44332211);
    bus.write(0x40, 0xaabb, 2);
    bus.write(0x1f0, 0xccddeeff, 4);
    expect(bytes.log).toEqual(['r1@0', 'r1@1', 'r1@2', 'r1@3', 'w1@0=bb', 'w1@1=aa']);
    expect(words.log).toEqual(['w2@0=eeff', 'w2@2=ccdd']);
  });

  it('looks up bytes one by one where an access leaves a range', () => {
    const bus = new PortBus();
    const low = recorder();
    const high = recorder();
    const seen: UnclaimedAccess[] = [];
    bus.onUnclaimed((access) => seen.push(access));
    bus.add({ at: 0x10, length: 2 }, low);
    bus.add({ at: 0x13, length: 2 }, high);
    expect(bus.read(0x11, 4)).toBe(0x2211ff22);
    bus.write(0x0f, 0x04030201, 4);
    expect(low.log).toEqual(['r1@1', 'w1@0=2', 'w1@1=3']);
    expect(high.log).toEqual(['r1@0', 'r1@1']);
    expect(seen).toEqual([
      { bus: 'port', address: 0x12, width: 1, direction: 'in' },
      { bus: 'port', address: 0x0f, width: 1, direction: 'out', value: 1 },
      { bus: 'port', address: 0x12, width: 1, direction: 'out', value: 4 },
    ]);
  });

  it('gives pieces of a chip the offsets asked for', () => {
    const bus = new PortBus();
    const handler = recorder();
    bus.add({ at: 0x60, length: 1 }, handler);
    bus.add({ at: 0x64, length: 2, offset: 4 }, handler);
    bus.add({ at: 0x10, length: 2, offset: 0x100 }, handler);
    bus.read(0x60, 1);
    bus.read(0x64, 2);
    bus.write(0x65, 7, 2);
    bus.read(0x11, 1);
    expect(handler.log).toEqual(['r1@0', 'r2@4', 'w1@5=7', 'r1@257']);
  });

  it('has nobody beyond port 0xffff', () => {
    const bus = new PortBus();
    const seen: UnclaimedAccess[] = [];
    bus.onUnclaimed((access) => seen.push(access));
    bus.add({ at: 0xffff, length: 1 }, recorder());
    bus.add({ at: 0, length: 1 }, recorder());
    expect(bus.read(0xffff, 4)).toBe(0xffffff11);
    expect(bus.write(0xffff, 0, 4)).toBeUndefined();
    expect(seen).toEqual([]);
  });

  it('agrees with a bus of bytes, for any ranges, widths and promises', async () => {
    const access = fc.record({ at: fc.nat(47), width: fc.constantFrom<Width>(1, 2, 4), value: fc.integer({ min: 0, max: 0xffffffff }) });
    await fc.assert(
      fc.asyncProperty(placed(44), fc.array(access, { maxLength: 12 }), async (places, accesses) => {
        const base = 0x10000 - 44;
        const bus = new PortBus();
        const written = new Map<number, number>();
        const owned = new Set<number>();
        for (const place of places) {
          bus.add({ at: base + place.at, length: place.length }, new Probe(place, base + place.at, written));
          for (let i = 0; i < place.length; i++) owned.add(base + place.at + i);
        }
        for (const { at, width, value } of accesses) {
          const port = Math.min(base + at, 0xffff);
          let expected = 0;
          for (let i = 0; i < width; i++) expected |= (owned.has(port + i) ? byteAt(port + i) : 0xff) << (8 * i);
          expect(await bus.read(port, width)).toBe(expected >>> 0);
          written.clear();
          await bus.write(port, value, width);
          const stored = Array.from({ length: width }, (_, i) => port + i).filter((each) => owned.has(each));
          expect([...written].sort(([a], [b]) => a - b)).toEqual(stored.map((each) => [each, (value >>> (8 * (each - port))) & 0xff]));
        }
      }),
    );
  });

  it('waits for each part of a split access before the next', async () => {
    const bus = new PortBus();
    const log: string[] = [];
    const later = (what: string): Promise<number> => {
      log.push(`start ${what}`);
      return new Promise((resolve) =>
        setImmediate(() => {
          log.push(`end ${what}`);
          resolve(-1);
        }),
      );
    };
    bus.add(
      { at: 0, length: 4 },
      { maxWidth: 2, read: (offset) => later(`r${offset}`), write: (offset) => later(`w${offset}`).then(() => undefined) },
    );
    expect(await bus.read(0, 4)).toBe(0xffffffff);
    await bus.write(0, 0, 4);
    expect(log).toEqual(['start r0', 'end r0', 'start r2', 'end r2', 'start w0', 'end w0', 'start w2', 'end w2']);
  });

  it('lets what a handler throws, or rejects with, pass', async () => {
    const bus = new PortBus();
    const fault = new Error('broken');
    bus.add({ at: 0, length: 2 }, { maxWidth: 1, read: () => Promise.reject(fault), write: () => { throw fault; } }); // prettier-ignore
    await expect(bus.read(0, 1)).rejects.toBe(fault);
    await expect(bus.read(0, 2)).rejects.toBe(fault);
    expect(() => bus.write(0, 0, 2)).toThrow(fault);
  });

  it('names a handler that gives no number', async () => {
    const bus = new PortBus();
    const refuse = expect.objectContaining({
      code: 'ERR_HAX_DEVICE_FAILED',
      message: 'a clock gave undefined instead of a number from read(0x1)',
    });
    const handlers = [() => undefined, async () => undefined] as unknown as IoHandler['read'][];
    bus.add({ at: 0x70, length: 2, name: 'a clock' }, { read: handlers[0], write: () => undefined });
    bus.add({ at: 0x72, length: 2, name: 'a clock' }, { read: handlers[1], write: () => undefined });
    expect(() => bus.read(0x71, 1)).toThrow(refuse);
    await expect(bus.read(0x73, 1)).rejects.toEqual(refuse);
  });

  it('takes any object with then() for a promise', async () => {
    const bus = new PortBus();
    const thenable = { then: (resolve: (value: number) => void) => void setTimeout(resolve, 1, 0x1234) };
    bus.add({ at: 0x60, length: 1 }, { read: () => thenable as unknown as Promise<number>, write: () => undefined });
    expect(await bus.read(0x60, 1)).toBe(0x34);
  });

  it('ignores what is not a promise from write', () => {
    const bus = new PortBus();
    bus.add({ at: 0, length: 1 }, { read: () => 0, write: (() => 5) as unknown as IoHandler['write'] });
    expect(bus.write(0, 1, 1)).toBeUndefined();
  });

  it('refuses overlaps, naming both owners, and changes nothing then', () => {
    const bus = new PortBus();
    bus.add({ at: 0x3f8, length: 8 }, { ...recorder(), name: 'Uart16550' } as IoHandler);
    expect(() => bus.add({ at: 0x3f0, length: 16, name: 'floppy' }, recorder())).toThrow(
      expect.objectContaining({ code: 'ERR_HAX_OVERLAP', message: 'ports 0x3f0-0x3ff for floppy would overlap 0x3f8-0x3ff of Uart16550' }),
    );
    expect([bus.ownerOf(0x3f7), bus.ownerOf(0x3f8), bus.ownerOf(0x10000)]).toEqual([undefined, 'Uart16550', undefined]);
  });

  it.each([
    [{ at: -1, length: 1 }, recorder()],
    [{ at: 0xffff, length: 2 }, recorder()],
    [{ at: 0, length: 0 }, recorder()],
    [{ at: 0, length: 1, offset: -1 }, recorder()],
    [{ at: 0, length: 1, name: Symbol('port') }, recorder()],
    [{ at: Object.create(null), length: 1 }, recorder()],
    [{ at: 0, length: Object.create(null) }, recorder()],
    [{ at: 0, length: 1, post: true }, recorder()],
    [{ at: 0, length: 1, posted: 'no' }, recorder()],
    [{ at: 0, length: 1, doorbells: [{ offset: 0, width: Object.create(null), value: 0 }] }, recorder()],
    [{ at: 0, length: 1, doorbells: [{ offset: 0, width: 1, value: 0, datamatch: 1 }] }, recorder()],
    [{ at: 0, length: 1, doorbells: new Array(2).fill({ offset: 0, width: 1, value: 0 }) }, recorder()],
    [null, recorder()],
    [{ at: 0, length: 1 }, null],
    [{ at: 0, length: 1 }, {}],
    [
      { at: 0, length: 1 },
      { ...recorder(), maxWidth: 8 },
    ],
    [
      { at: 0, length: 1 },
      { ...recorder(), maxWidth: Object.create(null) },
    ],
  ])('refuses %p', (request, handler) => {
    expect(() => new PortBus().add(request as RangeRequest, handler as IoHandler)).toThrow(
      expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }),
    );
  });

  it('says what is wrong with an option', () => {
    const add = (request: object) => () => new PortBus().add(request as RangeRequest, recorder());
    expect(add({ at: 0, length: '8' })).toThrow('a port range must have a length that is a whole number from 1 on, not "8"');
    expect(add({ at: 0, length: 1, post: true })).toThrow(
      'a range request has no option "post"; it has at, doorbells, length, name, offset, posted',
    );
  });

  it('gives ports free again, once', () => {
    const bus = new PortBus();
    const first = bus.add({ at: 0x60, length: 5 }, recorder());
    first.remove();
    const second = bus.add({ at: 0x60, length: 5, name: 'second' }, recorder());
    first.remove();
    first[Symbol.dispose]();
    expect(bus.ownerOf(0x62)).toBe('second');
    second[Symbol.dispose]();
    expect(bus.read(0x60, 1)).toBe(0xff);
  });

  it('can be filled but not overfilled', () => {
    const bus = new PortBus();
    for (let at = 0; at < 0xffff; at++) bus.add({ at, length: 1 }, recorder());
    expect(() => bus.add({ at: 0xffff, length: 1 }, recorder())).toThrow(expect.objectContaining({ code: 'ERR_HAX_OVERLAP' }));
  });

  it('leaves nothing of a cleared bus to the next one', () => {
    const first = new PortBus();
    first.add({ at: 0, length: 3 }, recorder());
    const removed = first.add({ at: 0x80, length: 8 }, recorder());
    first.add({ at: 0xfff0, length: 16 }, recorder());
    removed.remove();
    first.add({ at: 0x100, length: 1 }, recorder());
    first.clear();
    const next = new PortBus();
    for (let port = 0; port < 0x10000; port++) if (next.ownerOf(port) !== undefined) throw new Error(`port ${port} has an owner`);
  });

  it('reports every unclaimed port once per direction', () => {
    const bus = new PortBus();
    const seen: UnclaimedAccess[] = [];
    const listening = bus.onUnclaimed((access) => seen.push(access));
    for (let i = 0; i < 3; i++) {
      expect(bus.read(0x80, 2)).toBe(0xffff);
      bus.write(0x80, 0xabcd, 1);
    }
    expect(seen).toEqual([
      { bus: 'port', address: 0x80, width: 2, direction: 'in' },
      { bus: 'port', address: 0x80, width: 1, direction: 'out', value: 0xcd },
    ]);
    listening.remove();
    bus.read(0x81, 1);
    expect(seen).toHaveLength(2);
  });

  it('reports to functions only', () => {
    expect(() => new PortBus().onUnclaimed(undefined as never)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });

  it('reports nothing once it was cleared, when a promise goes on with its access', async () => {
    const bus = new PortBus();
    let settle!: (value: number) => void;
    bus.add(
      { at: 0x80, length: 4 },
      { maxWidth: 1, read: () => new Promise<number>((resolve) => (settle = resolve)), write: () => undefined },
    );
    const seen: UnclaimedAccess[] = [];
    bus.onUnclaimed((access) => seen.push(access));
    const value = bus.read(0x80, 4);
    bus.clear();
    settle(0x11);
    expect([await value, seen]).toEqual([0xffffff11, []]);
  });

  it('stops reporting at a cap', () => {
    const bus = new PortBus();
    let reports = 0;
    bus.onUnclaimed(() => reports++);
    for (let port = 0; port < 0x10000; port++) bus.read(port, 1);
    expect(reports).toBe(maxUnclaimedReports);
  });
});
