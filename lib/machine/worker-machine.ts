import { EventEmitter } from 'node:events';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { UnclaimedAccess } from '../bus/unclaimed';
import { deviceError } from '../hypervisor/devices';
import type { RunEnd } from '../hypervisor/end';
import { shownState } from '../hypervisor/state';
import type { SharedMemory } from '../memory/shared-memory';
import type { CpuState } from '../util/cpu-state';
import { checkListener, checkNames, checkObject, checkSignal, reasonOf, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';
import type { Console } from './console';
import { ConsolePort } from './console-port';
import type { ProgressListener } from './file-source';
import {
  machineOptionNames,
  sharedMemoryOf,
  throwIfAborted,
  type MachineOptions,
  type MachineState,
  type MachineStatistics,
} from './machine';
import { unpackError, window, type Call, type Envelope, type FromWorker, type ToWorker, type WorkerStart } from './worker-protocol';

/** How long close() and an abort wait for a worker whose device models do not return, milliseconds. */
const patience = 1000;

/** As MachineOptions, but for what cannot leave this thread. */
export interface WorkerMachineOptions extends Omit<MachineOptions, 'debugConsole' | 'trace'> {
  /**
   * A module for the worker, by path or by URL, which may be text too (`import.meta.resolve('./devices.mjs')`): its default export is called
   * with the {@link Machine} and with `setupData` before the guest starts, and adds devices of your own to `machine.vm`. After a reset, in a
   * listener of 'reset', they have to be added anew.
   */
  setup?: string | URL | undefined;
  /** Anything that can be cloned. */
  setupData?: unknown;
}

const { debugConsole, trace, ...cloned } = machineOptionNames;
const optionNames: Readonly<Record<keyof WorkerMachineOptions, true>> = { ...cloned, setup: true, setupData: true };

/**
 * A {@link Machine} whose devices live in a worker, driven from this thread: nothing that is done here slows the guest, nor the guest this
 * thread. Made by {@link launchInWorker}. What needs an answer of the worker returns a promise.
 */
export class WorkerMachine extends EventEmitter<{
  /** The guest asked for a reset, and the worker starts the machine again. */
  reset: [];
}> {
  readonly #port: ConsolePort;
  /**
   * How the guest came to its end. Rejects when a device model, the output or a listener throws, on abort, and when the worker ends by itself
   * (ERR_HAX_ENDED).
   */
  readonly ended: Promise<RunEnd>;
  /** Guest RAM, where it was asked to be shared. */
  readonly sharedMemory: SharedMemory | undefined;
  readonly #worker: Worker;
  readonly #signal: AbortSignal | undefined;
  readonly #listeners: { progress: ProgressListener | undefined; unclaimed: ((access: UnclaimedAccess) => void) | undefined };
  readonly #calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  readonly #started: Promise<void>;
  #onStarted!: { resolve: () => void; reject: (error: unknown) => void };
  #settle!: { resolve: (end: RunEnd) => void; reject: (error: unknown) => void };
  #state: MachineState = 'created';
  #credit = window;
  #lastId = 0;
  #referenced = true;
  #closing = false;
  #exited = false;
  /** What ends the guest from this side; the first counts. */
  #failure: { cause: unknown; aborted: boolean } | undefined;
  #givenUp = false;

  constructor(options: WorkerMachineOptions) {
    super();
    checkObject(options, 'what launchInWorker() takes');
    checkNames(options, optionNames, 'a machine in a worker');
    const { signal, onProgress, onUnclaimed, output, setup, setupData, ...rest } = options;
    checkSignal(signal);
    checkListener(onProgress, 'onProgress');
    checkListener(onUnclaimed, 'onUnclaimed');
    this.#port = new ConsolePort(output, (cause) => this.#stop(deviceError(cause, 'the output of the console')));
    this.#signal = signal;
    this.#listeners = { progress: onProgress, unclaimed: onUnclaimed };
    this.sharedMemory = sharedMemoryOf(options);
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ended.catch(() => undefined);
    this.#started = new Promise((resolve, reject) => (this.#onStarted = { resolve, reject }));
    this.#started.catch(() => undefined);
    const workerData: WorkerStart = {
      options: { ...withoutBuffers(rest), ...(this.sharedMemory && { sharedMemory: this.sharedMemory }) },
      setup: setup === undefined ? undefined : { module: setupUrl(setup), data: setupData },
      listens: { progress: onProgress !== undefined, unclaimed: onUnclaimed !== undefined },
    };
    try {
      this.#worker = new Worker(path.join(__dirname, 'worker-entry.js'), { workerData, name: 'node-hax machine' });
    } catch (cause) {
      throw notMade(cause as Error);
    }
    this.#worker.on('message', (message: Partial<Envelope> | null | undefined) => {
      if (message?.nodeHax) this.#receive(message.nodeHax);
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', (status) => this.#onExit(status));
    this.#port.attach((bytes) => this.#feed(bytes));
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted) this.#abort();
  }

  /** The serial console, COM1. */
  get console(): Console {
    return this.#port.stream;
  }

  /** Where the machine is in its life, as far as the worker has told. */
  get state(): MachineState {
    return this.#state;
  }

  /** For {@link launchInWorker}: when the guest runs. */
  get started(): Promise<void> {
    return this.#started;
  }

  /** Holds the guest, all of its processors; see {@link Vcpu.pause}. */
  async pause(): Promise<void> {
    await this.#call('pause');
    if (this.#state === 'running') this.#state = 'paused';
  }

  /** Lets the guest go on after pause(); otherwise does nothing. */
  async resume(): Promise<void> {
    await this.#call('resume');
    if (this.#state === 'paused') this.#state = 'running';
  }

  /** Counts of the current boot, of all processors together. */
  async statistics(): Promise<MachineStatistics> {
    return (await this.#call('statistics')) as MachineStatistics;
  }

  /** Registers of a vCPU, by number. With several vCPUs only while paused (ERR_HAX_RUNNING). */
  async registers(vcpu = 0): Promise<CpuState> {
    return shownState((await this.#call('registers', checkInteger(vcpu, 'number of a vCPU', 0, 254))) as CpuState);
  }

  /** Ends the guest at once; `ended` resolves with `{ reason: 'killed' }`. */
  kill(): void {
    this.#post({ kind: 'kill' });
  }

  /** Lets the process end although the machine runs, but not before what was asked of it has been answered. */
  unref(): this {
    this.#referenced = false;
    this.#updateReference();
    return this;
  }

  /** Undoes unref(). */
  ref(): this {
    this.#referenced = true;
    this.#updateReference();
    return this;
  }

  /** Kills the guest if it still runs and ends the worker, within a second even if a device model never returns. Idempotent. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#updateReference();
    this.kill();
    const timer = setTimeout(() => void this.#worker.terminate(), patience);
    await this.ended.catch(() => undefined);
    clearTimeout(timer);
    await this.#worker.terminate();
  }

  /** As close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #abort = (): void => this.#stop(this.#signal!.reason, true);

  get #over(): boolean {
    return this.#state === 'stopped' || this.#state === 'failed';
  }

  #updateReference(): void {
    if ((this.#referenced && !this.#over) || this.#closing || this.#calls.size > 0) this.#worker.ref();
    else this.#worker.unref();
  }

  #post(message: ToWorker): void {
    if (!this.#exited) this.#worker.postMessage(message);
  }

  #call(call: Call, vcpu = 0): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#exited) throw new HaxError('ERR_HAX_CLOSED', 'the worker of this machine has ended', { operation: call });
      if (this.#givenUp) throw this.#failure!.cause;
      this.#calls.set(id, { resolve, reject });
      this.#updateReference();
      this.#post({ kind: 'call', id, call, vcpu });
    });
  }

  #feed(bytes: Uint8Array): number {
    const taken = Math.min(this.#credit, bytes.length);
    if (taken > 0) this.#post({ kind: 'input', bytes: new Uint8Array(bytes.subarray(0, taken)) });
    this.#credit -= taken;
    return taken;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'started':
        if (!this.#over) this.#state = message.state;
        this.#onStarted.resolve();
        break;
      case 'failed':
        this.#fail(unpackError(message.error));
        break;
      case 'reply': {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        this.#updateReference();
        if (message.error) call?.reject(unpackError(message.error));
        else call?.resolve(message.value);
        break;
      }
      case 'output': {
        const took = (): void => this.#post({ kind: 'taken', bytes: message.bytes.length });
        if (this.#port.deliver(message.bytes, took)) took();
        break;
      }
      case 'taken':
        this.#credit += message.bytes;
        this.#port.accept();
        break;
      case 'reset':
        this.#tell(() => this.emit('reset'));
        break;
      case 'progress':
        this.#tell(() => this.#listeners.progress?.(message.name, message.done, message.total));
        break;
      case 'unclaimed':
        this.#tell(
          () => this.#listeners.unclaimed?.(message.access),
          (cause) => deviceError(cause, 'onUnclaimed'),
        );
        break;
      case 'ended':
        if (this.#failure) this.#fail(this.#failure.cause, this.#failure.aborted);
        else if (message.error) this.#fail(unpackError(message.error));
        else this.#end(message.state, message.end!);
    }
  }

  #end(state: MachineState, end: RunEnd): void {
    const own = 'registers' in end && end.registers ? { ...end, registers: shownState(end.registers) } : end;
    this.#finish(state, end.reason, () => this.#settle.resolve(own));
  }

  #onExit(status: number): void {
    this.#exited = true;
    const error = new HaxError('ERR_HAX_ENDED', `the worker of this machine ended with status ${status}`);
    this.#rejectCalls(error);
    this.#onStarted.reject(error);
    if (this.#failure) this.#fail(this.#failure.cause, this.#failure.aborted);
    else if (this.#closing) this.#finish('stopped', 'killed', () => this.#settle.resolve({ reason: 'killed' }));
    else this.#fail(error);
  }

  /** A listener that throws ends the guest, as it does on the machine's own thread. */
  #tell(listener: () => void, asError = (cause: unknown) => cause): void {
    if (this.#over) return;
    try {
      listener();
    } catch (cause) {
      this.#stop(asError(cause));
    }
  }

  /** Ends the guest for a reason of this side. `ended` rejects with it when the worker has told of the end, so that all output comes before. */
  #stop(cause: unknown, aborted = false): void {
    if (this.#failure || this.#over) return;
    this.#failure = { cause, aborted };
    const starting = this.#state === 'created';
    this.kill();
    if (starting) this.#giveUp();
    else setTimeout(() => this.#giveUp(), patience).unref();
  }

  /** The worker does not answer: nothing waits for it any longer. */
  #giveUp(): void {
    if (this.#over) return;
    const { cause, aborted } = this.#failure!;
    this.#givenUp = true;
    this.#rejectCalls(cause);
    this.#fail(cause, aborted);
  }

  #rejectCalls(error: unknown): void {
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }

  #fail(error: unknown, aborted = false): void {
    this.#onStarted.reject(error);
    this.#finish('failed', reasonOf(error), () => this.#settle.reject(error), { cause: error, aborted });
  }

  /** Only the first end counts. */
  #finish(state: MachineState, reason: string, settle: () => void, failure?: { cause: unknown; aborted: boolean }): void {
    if (this.#over) return;
    this.#state = state;
    this.#updateReference();
    this.#signal?.removeEventListener('abort', this.#abort);
    // Whoever waits goes on when all of this is done, whatever a listener of the console throws.
    settle();
    this.#port.finish(reason, failure);
  }
}

/** Cloning a view takes all of the buffer behind it, which for a small Buffer is one that many share. */
function withoutBuffers<T extends Pick<WorkerMachineOptions, 'kernel' | 'initrd'>>(options: T): T {
  const own = <I>(input: I): I | Uint8Array =>
    input instanceof Uint8Array && input.length < input.buffer.byteLength ? new Uint8Array(input) : input;
  const { kernel, initrd } = options;
  return {
    ...options,
    kernel: own(kernel),
    ...(initrd !== undefined && { initrd: Array.isArray(initrd) ? initrd.map(own) : own(initrd) }),
  };
}

function notMade(cause: Error): HaxError {
  const { name, message } = cause;
  if (name === 'DataCloneError') return invalidArgument(`the options of a machine in a worker must be such as can be cloned: ${message}`);
  const hint = 'Let Node make workers (--allow-worker where its permissions are limited), or use launch().';
  return new HaxError('ERR_HAX_UNSUPPORTED', `Node makes no worker here: ${message}`, { operation: 'new Worker', hint, cause });
}

function setupUrl(setup: string | URL): string {
  if (setup instanceof URL) return setup.href;
  if (typeof setup !== 'string') throw invalidArgument(`setup must be the path or the URL of a module, not ${shown(setup)}`);
  return setup.startsWith('file:') ? setup : pathToFileURL(path.resolve(setup)).href;
}

/**
 * {@link launch} with the machine and its devices in a worker of their own. Rejects as launch() does, and with what loading or calling `setup`
 * throws; the worker has ended then.
 * With `sharedMemory: true` this thread has the guest's RAM too, as `machine.sharedMemory`.
 */
export async function launchInWorker(options: WorkerMachineOptions): Promise<WorkerMachine> {
  throwIfAborted(options);
  const machine = new WorkerMachine(options);
  try {
    await machine.started;
  } catch (error) {
    await machine.close();
    throw error;
  }
  return machine;
}
