/**
 * What guests left for, exit by exit, as a file for Perfetto (https://ui.perfetto.dev) and chrome://tracing: the JSON array of the Trace
 * Event Format (Google, "JSON Array Format", "Complete Events", "Metadata Events", "Instant Events").
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { checkNames, checkObject, shown } from '../util/check';
import { emptyFile } from '../util/empty-file';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';
import { ExitTrack, type EventSink } from './exit-track';
import type { Vcpu } from './vcpu';
import type { VirtualMachine } from './vm';

/** One write of the file, characters. */
const chunkSize = 65536;
const defaultLimit = 1_000_000;
const largestLimit = 100_000_000;
const hint = 'Give the path of a file that can be written, on a disk with room.';

const traceOptionNames: Record<keyof ExitTraceOptions, true> = { limit: true, onError: true };

function warn(error: HaxError): void {
  process.emitWarning(error);
}

/** How much a trace keeps, and who hears of its trouble. */
export interface ExitTraceOptions {
  /** Events that are kept, from the first on: 1,000,000 by default, some 120 MB; at most 100,000,000. */
  limit?: number | undefined;
  /**
   * Called once when the file cannot be written any more (ERR_HAX_FILE); the guests go on untraced. A process warning by default. What it throws
   * is an uncaught exception.
   */
  onError?: ((error: HaxError) => void) | undefined;
}

/**
 * An exit trace in a file, for `vcpu.run({ trace })` and `launch({ trace })`; several runs and VMs can share one. Each VM is a process of the
 * trace, each vCPU a thread. An event `guest` is time inside the guest; one such as `OUT 0x3f8`, `IN 0x60`, `MMIO write 0xfee00000` or `hlt`
 * is the time in JavaScript until the guest was entered again, or until the event loop had its turn; its arguments have the size in bytes
 * and the value, for string instructions the count. Times are microseconds since the thread of this process began. With native threads `guest`
 * includes the way of the exit to this thread. Posted writes and doorbells are no exits and are not in it; `vcpu.enter()` is not traced.
 *
 * The file is written at once, 64 KiB at a time, so that a guest is no faster than the disk and memory stays bounded. After `limit` events an
 * instant event `trace full` ends it. Belongs to the thread that made it. A program that ends without close() leaves the array without its end,
 * which viewers accept, and loses at most the last 64 KiB. launchInWorker() takes no trace. A run that is traced pays some microseconds an
 * exit; others pay nothing until a run of the same process has been traced, and some 20 ns an exit from then on.
 */
export class ExitTrace {
  readonly #file: TraceFile;
  readonly #tracks = new WeakMap<Vcpu, ExitTrack>();
  readonly #pids = new WeakMap<VirtualMachine, number>();
  #lastPid = 0;

  /** Opens the file, which keeps what it has until a run is traced. Throws ERR_HAX_FILE where that cannot be. */
  constructor(path: string, options: ExitTraceOptions = {}) {
    if (typeof path !== 'string' || path === '') throw invalidArgument(`the file of a trace must be a path, not ${shown(path)}`);
    checkObject(options, 'the options of a trace');
    checkNames(options, traceOptionNames, 'a trace');
    const { limit = defaultLimit, onError = warn } = options;
    checkInteger(limit, 'limit', 1, largestLimit);
    if (typeof onError !== 'function') throw invalidArgument(`onError must be a function, not ${shown(onError)}`);
    this.#file = new TraceFile(path, limit, onError);
  }

  /** For the run loop: the vCPU's track, or undefined when nothing is taken any more. */
  track(vcpu: Vcpu): ExitTrack | undefined {
    if (this.#file.over) return undefined;
    const known = this.#tracks.get(vcpu);
    if (known) return known;
    this.#file.begin();
    const { vm, id } = vcpu;
    let pid = this.#pids.get(vm);
    if (pid === undefined) {
      pid = ++this.#lastPid;
      this.#pids.set(vm, pid);
      this.#name('process_name', pid, id, `VM ${pid}`);
    }
    this.#name('thread_name', pid, id, `vCPU ${id}`);
    const track = new ExitTrack(this.#file, vcpu.shared, pid, id);
    this.#tracks.set(vcpu, track);
    return track;
  }

  /** Writes what is left and ends the array. Runs in progress go on untraced. Idempotent. */
  close(): void {
    this.#file.close();
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  #name(what: string, pid: number, tid: number, name: string): void {
    this.#file.add(`{"name":"${what}","ph":"M","pid":${pid},"tid":${tid},"args":{"name":"${name}"}}`);
  }
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless it is one, or undefined. */
export function checkTrace(trace: ExitTrace | undefined): void {
  if (trace !== undefined && !(trace instanceof ExitTrace)) {
    throw invalidArgument(`trace must be an ExitTrace of this thread, not ${shown(trace)}`);
  }
}

class TraceFile implements EventSink {
  over = false;
  readonly #fd: number;
  #begun = false;
  #text = '[\n';
  #events = 0;

  constructor(
    private readonly path: string,
    private readonly limit: number,
    private readonly onError: (error: HaxError) => void,
  ) {
    const { O_WRONLY, O_CREAT, O_NONBLOCK } = constants;
    try {
      // Without O_NONBLOCK the opening of a FIFO waits for its reader.
      this.#fd = openSync(path, O_WRONLY | O_CREAT | O_NONBLOCK, 0o666);
    } catch (cause) {
      throw new HaxError('ERR_HAX_FILE', `the trace ${path} cannot be written: ${(cause as Error).message}`, { hint, cause });
    }
    const stat = fstatSync(this.#fd);
    if (stat.isFile() || stat.isCharacterDevice()) return;
    closeSync(this.#fd);
    throw new HaxError('ERR_HAX_FILE', `the trace ${path} cannot be written: it is no regular file`, { hint });
  }

  /** Empties the file, before its first event. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#attempt(() => emptyFile(this.#fd));
  }

  add(event: string): void {
    if (this.over) return;
    if (this.#events === this.limit) {
      this.#text += `,\n{"name":"trace full","ph":"i","s":"g","ts":${(performance.now() * 1000).toFixed(3)},"pid":1,"tid":0}`;
      this.close();
      return;
    }
    this.#text += this.#events === 0 ? event : `,\n${event}`;
    this.#events++;
    if (this.#text.length >= chunkSize) this.#attempt(() => this.#write());
  }

  close(): void {
    if (this.over) return;
    // Without a run it does not take the place of another trace.
    if (this.#begun || fstatSync(this.#fd).size === 0) {
      this.#text += '\n]\n';
      this.#attempt(() => this.#write());
      if (this.over) return;
    }
    this.over = true;
    this.#attempt(() => closeSync(this.#fd));
  }

  #write(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }

  /** A file that cannot be written any more ends the trace and nothing else. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (cause) {
      if (!this.over) this.#abandon();
      const reason = (cause as Error).message;
      const message = `the trace ${this.path} cannot be written any more: ${reason}; the guest goes on without it`;
      this.#tell(new HaxError('ERR_HAX_FILE', message, { hint, cause }));
    }
  }

  /** What the program throws is not to come up in the middle of an exit. */
  #tell(error: HaxError): void {
    try {
      this.onError(error);
    } catch (thrown) {
      process.nextTick(() => {
        throw thrown;
      });
    }
  }

  #abandon(): void {
    this.over = true;
    this.#text = '';
    try {
      closeSync(this.#fd);
    } catch {
      // The first error is the one to tell.
    }
  }
}
