import type { Width } from './device';

/** What the parts of a split access go through. */
interface Bus {
  read(at: number, width: Width): number | PromiseLike<number>;
  write(at: number, value: number, width: Width): void | PromiseLike<void>;
}

/** An access of `width` bytes as parts of `step` bytes, one after the other, low part first. */
export function readParts(bus: Bus, at: number, width: Width, step: Width): number | PromiseLike<number> {
  let value = 0;
  for (let done = 0; done < width; done += step) {
    const part = bus.read(at + done, step);
    if (typeof part !== 'number') return readRest(bus, at, width, step, done, value, part);
    value |= part << (done << 3);
  }
  return value >>> 0;
}

/** As {@link readParts}; a part that is a promise holds up those after it. */
export function writeParts(bus: Bus, at: number, value: number, width: Width, step: Width): void | PromiseLike<void> {
  for (let done = 0; done < width; done += step) {
    const pending = bus.write(at + done, value >>> (done << 3), step);
    if (pending) return writeRest(bus, at, value, width, step, done, pending);
  }
}

async function readRest(
  bus: Bus,
  at: number,
  width: Width,
  step: Width,
  done: number,
  value: number,
  pending: PromiseLike<number>,
): Promise<number> {
  value |= (await pending) << (done << 3);
  for (done += step; done < width; done += step) value |= (await bus.read(at + done, step)) << (done << 3);
  return value >>> 0;
}

async function writeRest(
  bus: Bus,
  at: number,
  value: number,
  width: Width,
  step: Width,
  done: number,
  pending: PromiseLike<void>,
): Promise<void> {
  await pending;
  for (done += step; done < width; done += step) await bus.write(at + done, value >>> (done << 3), step);
}
