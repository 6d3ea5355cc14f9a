/** Tables kept for the next user; more than this many VMs at once are rare. */
const maxSpare = 4;

/**
 * Large zeroed typed arrays that come and go with VMs. They live outside the JavaScript heap, so that a program which opens and closes
 * VMs would hold tens of MiB of them before the collector sees a reason to run.
 */
export class TablePool<Table extends Uint16Array | Uint32Array> {
  readonly #spare: Table[] = [];

  constructor(private readonly make: () => Table) {}

  take(): Table {
    return this.#spare.pop() ?? this.make();
  }

  /** Takes a table back; nobody may use it after that. */
  give(table: Table): void {
    if (this.#spare.length >= maxSpare) return;
    table.fill(0);
    this.#spare.push(table);
  }
}
