import { ExitKind, exitKinds } from '../native/layout';
import { TablePool } from '../util/table-pool';

/** What `--stats` and benchmarks read: plain numbers, no live view. */
export interface ExitStatistics {
  /** Exits that JavaScript handled, in all: every kind but `interrupted`. */
  handled: number;
  /** By kind; kinds that did not occur are left out. */
  kinds: Record<string, number>;
  /** Port exits by port number. */
  ports: Record<string, number>;
  /** MMIO exits by 4 KiB page. */
  pages: Record<string, number>;
  /** Slices of guest time that were begun. */
  slices: number;
}

/** The counts of several vCPUs together. */
export function sumStatistics(all: readonly ExitStatistics[]): ExitStatistics {
  const add = (to: Record<string, number>, from: Record<string, number>): void => {
    for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count;
  };
  const sum: ExitStatistics = { handled: 0, kinds: {}, ports: {}, pages: {}, slices: 0 };
  for (const each of all) {
    sum.handled += each.handled;
    sum.slices += each.slices;
    add(sum.kinds, each.kinds);
    add(sum.ports, each.ports);
    add(sum.pages, each.pages);
  }
  return sum;
}

const portCount = 0x10000;
/** A run of ports of which mostly none was used: to be told so of all of them costs less than to look at each. */
const portsAtOnce = 1024;
const none = new Uint8Array(portsAtOnce * 4);
const tables = new TablePool(portCount);
/** Half of what 32 bits hold. */
const carryAt = 2 ** 31;
/** Of a vCPU that was closed: counting into it has no effect. */
const closed = new Uint32Array(0);

/** Counts of a vCPU's exits, always on: one increment each. */
export class ExitCounters {
  /** Indexed by ExitKind; port exits are not here, they are the sum of `ports`. */
  readonly kinds = new Float64Array(exitKinds.length);
  /** Indexed by port. */
  ports = tables.take();
  /** What `ports` had when the vCPU was closed. */
  #last: readonly (readonly [port: number, count: number])[] = [];
  /** What was taken out of `ports` before it ran over. */
  readonly #carried = new Map<number, number>();
  readonly pages = new Map<number, number>();
  slices = 0;

  /** For loops that are not in a hurry; inline mode counts by itself. */
  count(kind: number, port: number): void {
    if (kind === (ExitKind.Io as number)) {
      this.ports[port]++;
      this.carry(port);
    } else {
      this.kinds[kind]++;
    }
  }

  /**
   * Makes room in a port's 32 bits; 64 would cost each exit. Inline mode tells the port of the last exit of each slice: before half of the bits
   * are used up, any port has been that one many times.
   */
  carry(port: number): void {
    const count = this.ports[port];
    // Not `<`: a vCPU that was closed has none.
    if (!(count >= carryAt)) return;
    this.ports[port] = 0;
    this.#carried.set(port, (this.#carried.get(port) ?? 0) + count);
  }

  countPage(address: number): void {
    const page = Math.floor(address / 4096) * 4096;
    // A guest can walk through all of its address space: the table does not follow it.
    if (this.pages.size < 1024 || this.pages.has(page)) this.pages.set(page, (this.pages.get(page) ?? 0) + 1);
  }

  /** For a vCPU that closes: the counts stay. */
  close(): void {
    if (this.ports === closed) return;
    this.#last = this.#portCounts();
    for (const [port] of this.#last) this.ports[port] = 0;
    tables.give(this.ports);
    this.ports = closed;
  }

  #portCounts(): readonly (readonly [port: number, count: number])[] {
    if (this.ports === closed) return this.#last;
    const { ports } = this;
    const counts = new Map(this.#carried);
    const bytes = Buffer.from(ports.buffer);
    for (let first = 0; first < portCount; first += portsAtOnce) {
      if (bytes.compare(none, 0, none.length, first * 4, first * 4 + none.length) === 0) continue;
      for (let port = first; port < first + portsAtOnce; port++) {
        const count = ports[port];
        if (count > 0) counts.set(port, (counts.get(port) ?? 0) + count);
      }
    }
    return [...counts].sort(([a], [b]) => a - b);
  }

  snapshot(): ExitStatistics {
    const statistics: ExitStatistics = { handled: 0, kinds: {}, ports: {}, pages: {}, slices: this.slices };
    const ports = this.#portCounts();
    const portExits = ports.reduce((sum, [, count]) => sum + count, 0);
    this.kinds.forEach((counted, kind) => {
      const count = kind === (ExitKind.Io as number) ? portExits : counted;
      if (count === 0) return;
      statistics.kinds[exitKinds[kind]] = count;
      if (exitKinds[kind] !== 'interrupted') statistics.handled += count;
    });
    for (const [port, count] of ports) statistics.ports[`0x${port.toString(16)}`] = count;
    for (const [page, count] of this.pages) statistics.pages[`0x${page.toString(16)}`] = count;
    return statistics;
  }
}
