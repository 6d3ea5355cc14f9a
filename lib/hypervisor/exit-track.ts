import { exitKinds, exitPage, ExitKind } from '../native/layout';
import { hex } from '../util/numbers';

const kindAt = exitPage.kind / 4;
const portAt = exitPage.port / 4;
const sizeAt = exitPage.size / 4;
const countAt = exitPage.count / 4;
const directionAt = exitPage.direction / 4;
const addressAt = exitPage.address / 4;
const dataAt = exitPage.data / 8;

/** Where a track's events go: each is the text of one JSON object. */
export interface EventSink {
  /** Nothing is taken any more. */
  readonly over: boolean;
  add(event: string): void;
}

/** Nanoseconds since the thread began, a whole number: that neighbours on a track meet exactly. */
function now(): number {
  return Math.round(performance.now() * 1e6);
}

const microseconds = (nanoseconds: number): string => (nanoseconds / 1000).toFixed(3);

/** The events of one vCPU: time inside the guest and the handling of each exit, one after the other and never overlapping. */
export class ExitTrack {
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;
  #phase: 'outside' | 'guest' | 'serving' = 'outside';
  /** When the phase began. */
  #since = 0;
  /** The exit that is served. */
  #name = '';
  #args = '';
  /** The reply is to be told once it is in the exit page. */
  #wantsReply = false;

  constructor(
    private readonly sink: EventSink,
    shared: ArrayBuffer,
    readonly pid: number,
    readonly tid: number,
  ) {
    this.#u32 = new Uint32Array(shared);
    this.#u64 = new BigUint64Array(shared);
  }

  /** Right before the guest is entered; the reply to the last exit is there. Once more without an exit between changes nothing. */
  entering(): void {
    if (this.sink.over || this.#phase === 'guest') return;
    const time = now();
    if (this.#phase === 'serving') this.#served(time, true);
    this.#phase = 'guest';
    this.#since = time;
  }

  /** Right after the guest was left, with what it wants in the exit page. */
  exited(): void {
    if (this.sink.over) return;
    const time = now();
    if (this.#phase === 'guest') this.#complete('guest', 'guest', time, '');
    this.#phase = 'serving';
    this.#since = time;
    this.#describe();
  }

  /** The guest is not entered again for now; `answered`: the reply is there all the same. */
  left(answered: boolean): void {
    if (this.sink.over || this.#phase === 'outside') return;
    const time = now();
    if (this.#phase === 'serving') this.#served(time, answered);
    else this.#complete('guest', 'guest', time, '');
    this.#phase = 'outside';
  }

  #served(time: number, answered: boolean): void {
    this.#complete(this.#name, 'exit', time, this.#wantsReply && answered ? `${this.#args},${this.#value()}` : this.#args);
  }

  #complete(name: string, category: string, end: number, args: string): void {
    const times = `"ts":${microseconds(this.#since)},"dur":${microseconds(end - this.#since)}`;
    const whose = `"pid":${this.pid},"tid":${this.tid}`;
    this.sink.add(`{"name":"${name}","cat":"${category}","ph":"X",${times},${whose}${args === '' ? '' : `,"args":{${args}}`}}`);
  }

  #describe(): void {
    const u32 = this.#u32;
    const kind = u32[kindAt];
    const write = u32[directionAt] !== 0;
    const io = kind === ExitKind.Io;
    if (!io && kind !== ExitKind.Mmio) {
      this.#name = kind === ExitKind.Msr ? `${write ? 'WRMSR' : 'RDMSR'} ${hex(u32[addressAt])}` : (exitKinds[kind] ?? 'unknown');
      this.#args = '';
      this.#wantsReply = false;
      return;
    }
    this.#name = io
      ? `${write ? 'OUT' : 'IN'} ${hex(u32[portAt])}`
      : `MMIO ${write ? 'write' : 'read'} ${hex(u32[addressAt] + u32[addressAt + 1] * 2 ** 32)}`;
    this.#args = `"size":${u32[sizeAt]}`;
    const single = !io || u32[countAt] === 1;
    if (!single) this.#args += `,"count":${u32[countAt]}`;
    else if (write) this.#args += `,${this.#value()}`;
    this.#wantsReply = single && !write;
  }

  /** As text: 64 bits are more than a JSON number holds. */
  #value(): string {
    return `"value":"${hex(BigInt.asUintN(this.#u32[sizeAt] * 8, this.#u64[dataAt]))}"`;
  }
}
