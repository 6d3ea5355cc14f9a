import type { Pic8259 } from '../../../lib/devices/i8259';
import type { PicPair } from '../../../lib/devices/pic-pair';

/** Address line A0. */
export const command = 0;
export const data = 1;

/** A single chip with vectors from 0x20, nothing masked. */
export function initialize(pic: Pic8259, { icw1 = 0x13, icw4 = 0x01, imr = 0 } = {}): Pic8259 {
  pic.write(command, icw1);
  pic.write(data, 0x20);
  if (!(icw1 & 0x02)) pic.write(data, 0x04);
  if (icw1 & 0x01) pic.write(data, icw4);
  pic.write(data, imr);
  return pic;
}

/** As Linux does it in init_8259A, but with nothing masked. */
export function initializePc(pair: PicPair, { icw4 = 0x01, slaveIcw4 = 0x01 } = {}): PicPair {
  const bytes = (pic: Pic8259, icws: number[]): void => icws.forEach((byte, i) => pic.write(i === 0 ? command : data, byte));
  bytes(pair.master, [0x11, 0x30, 0x04, icw4, 0x00]);
  bytes(pair.slave, [0x11, 0x38, 0x02, slaveIcw4, 0x00]);
  return pair;
}

/** Chooses IRR for reading, and reads it. */
export function irr(pic: Pic8259): number {
  pic.write(command, 0x0a);
  return pic.read(command);
}

export function isr(pic: Pic8259): number {
  pic.write(command, 0x0b);
  return pic.read(command);
}
