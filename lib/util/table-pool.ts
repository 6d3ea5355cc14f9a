/** Tables kept for the next user; more than this many VMs at once are rare. */
const maxSpare = 4;

/**
 * Large zeroed typed arrays that come and go with VMs. They live outside the JavaScript heap, so that a program which opens and closes
 * VMs would hold tens of MiB of them before the collector sees a reason to run.
 */
export class TablePool {
  readonly #spare: Uint32Array[] = [];

  constructor(private readonly length: number) {}

  take(): Uint32Array {
    return this.#spare.pop() ?? new Uint32Array(this.length);
  }

  /** Takes back a table that is all zeros again, which its user knows better how to make it: nobody may use it after that. */
  give(table: Uint32Array): void {
    if (this.#spare.length < maxSpare) this.#spare.push(table);
  }
}
