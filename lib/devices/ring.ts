/** A queue of numbers from 0 to 0xffff with a fixed capacity, so that no guest can make it grow. */
export class Ring {
  readonly #slots: Uint16Array;
  #head = 0;
  #length = 0;

  constructor(readonly capacity: number) {
    this.#slots = new Uint16Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get free(): number {
    return this.capacity - this.#length;
  }

  /** Appends; false, and nothing done, when there is no room. */
  push(value: number): boolean {
    if (this.#length === this.capacity) return false;
    this.#slots[(this.#head + this.#length++) % this.capacity] = value;
    return true;
  }

  /** Takes the oldest value away; undefined when there is none. */
  shift(): number | undefined {
    if (this.#length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#head = (this.#head + 1) % this.capacity;
    this.#length--;
    return value;
  }

  /** The value that is `index` places behind the oldest; undefined when there is none. */
  at(index: number): number | undefined {
    return index < this.#length ? this.#slots[(this.#head + index) % this.capacity] : undefined;
  }

  /** Replaces the value at an index that exists. */
  set(index: number, value: number): void {
    this.#slots[(this.#head + index) % this.capacity] = value;
  }

  clear(): void {
    this.#head = 0;
    this.#length = 0;
  }

  toArray(): number[] {
    return Array.from({ length: this.#length }, (_, index) => this.at(index)!);
  }

  /** Replaces everything; the values must fit. */
  load(values: readonly number[]): void {
    this.clear();
    for (const value of values) this.push(value);
  }
}
