/**
 * A counter of an 8254 as the datasheet describes it, one CLK pulse after the other: what the one in lib/, which reckons with whole
 * stretches of time, is compared with. Two-byte counts only; a count of 1 is illegal in modes 2 and 3.
 */
export class ClockedCounter {
  out = false;
  nullCount = false;
  /** The counting element, as bits. */
  ce = 0;
  #mode = 0;
  #bcd = false;
  #cr: number | undefined;
  #low: number | undefined;
  #loadNext = false;
  #trigger = false;
  #running = false;
  #expired = false;
  #odd = false;

  constructor(public gate: boolean) {}

  control(mode: number, bcd: boolean): void {
    this.#mode = mode;
    this.#bcd = bcd;
    this.out = mode !== 0;
    this.nullCount = true;
    this.#cr = this.#low = undefined;
    this.#loadNext = this.#trigger = this.#running = false;
  }

  write(byte: number): void {
    if (this.#low === undefined) {
      this.#low = byte;
      if (this.#mode === 0) this.#stopMode0();
      return;
    }
    const first = this.#cr === undefined;
    this.#cr = (byte << 8) | this.#low;
    this.#low = undefined;
    this.nullCount = true;
    if (this.#mode === 0) this.#stopMode0();
    if (this.#mode === 0 || this.#mode === 4 || ((this.#mode === 2 || this.#mode === 3) && first)) this.#loadNext = true;
  }

  setGate(level: boolean): void {
    if (level && !this.gate && this.#cr !== undefined && this.#mode !== 0 && this.#mode !== 4) this.#trigger = true;
    this.gate = level;
    if (!level && (this.#mode === 2 || this.#mode === 3)) this.out = true;
  }

  pulse(): void {
    if (this.#loadNext || this.#trigger) {
      this.#loadNext = this.#trigger = false;
      this.#load();
      this.#running = true;
      this.#expired = false;
      this.out = this.#mode > 1;
      return;
    }
    if (!this.#running) return;
    if (!this.gate && this.#mode !== 1 && this.#mode !== 5) return;
    if (this.#mode === 2) this.#rateGenerator();
    else if (this.#mode === 3) this.#squareWave();
    else this.#countOnce();
  }

  /** "Writing the first byte disables counting. OUT is set low immediately." */
  #stopMode0(): void {
    this.out = this.#running = this.#loadNext = false;
  }

  #load(): void {
    this.ce = this.#cr!;
    this.#odd = (this.ce & 1) !== 0;
    if (this.#mode === 3) this.ce &= ~1;
    this.nullCount = false;
  }

  #rateGenerator(): void {
    if (this.ce === 1) {
      this.#load();
      this.out = true;
    } else {
      this.#decrement();
      if (this.ce === 1) this.out = false;
    }
  }

  #squareWave(): void {
    // An odd count goes on to 0 while OUT is high; what is in CR by now does not matter to that.
    if (this.ce === (this.out && this.#odd ? 0 : 2)) {
      this.out = !this.out;
      this.#load();
    } else {
      this.#decrement();
      this.#decrement();
    }
  }

  #countOnce(): void {
    this.#decrement();
    if (this.#mode > 3) this.out = true;
    if (this.ce !== 0 || this.#expired) return;
    this.#expired = true;
    this.out = this.#mode < 2;
  }

  #decrement(): void {
    if (!this.#bcd) {
      this.ce = (this.ce - 1) & 0xffff;
      return;
    }
    // Digit by digit, with borrow.
    for (let shift = 0; shift < 16; shift += 4) {
      const digit = (this.ce >> shift) & 0xf;
      this.ce = (this.ce & ~(0xf << shift)) | ((digit === 0 ? 9 : digit - 1) << shift);
      if (digit !== 0) break;
    }
  }
}
