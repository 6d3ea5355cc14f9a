import { EventEmitter } from 'node:events';
import type { Writable } from 'node:stream';
import { types } from 'node:util';
import { imageFromBytes, type ImageSource } from '../boot/image-source';
import type { ImageFormat } from '../boot/loader';
import { deviceError } from '../hypervisor/devices';
import { isCrash, type RunEnd } from '../hypervisor/end';
import type { ExitStatistics } from '../hypervisor/exit-counters';
import { checkTrace, type ExitTrace } from '../hypervisor/exit-trace';
import { Hypervisor, type BackendName } from '../hypervisor/hypervisor';
import { checkAffinity, type Vcpu, type VcpuCounters } from '../hypervisor/vcpu';
import type { VirtualMachine } from '../hypervisor/vm';
import type { UnclaimedAccess } from '../bus/unclaimed';
import type { ByteOutput, ByteSink } from '../host/byte-sink';
import { createSharedMemory, sharedBytes, type SharedMemory } from '../memory/shared-memory';
import { RealClock } from '../time/clock';
import { checkBoolean, checkListener, checkNames, checkObject, checkSignal, reasonOf, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger, parseSize } from '../util/numbers';
import { Board } from './board';
import type { Console } from './console';
import { ConsolePort } from './console-port';
import { FileSource, type FileInput, type ProgressListener } from './file-source';
import { guarded } from './guarded-output';
import { Intermission } from './intermission';
import { ports } from './layout';

/** What to boot, and around it. */
export interface MachineOptions {
  /** What to boot: a path, or the file's bytes. */
  kernel: FileInput;
  /** Recognised by default; `flat` must be asked for. */
  format?: ImageFormat | 'auto' | undefined;
  /** Flat images: guest-physical load address (0x7c00), entry (= load) and processor mode in bits (16). */
  load?: number | undefined;
  /** Flat images: guest-physical address of the first instruction; `load` by default. */
  entry?: number | undefined;
  /** Flat images: the processor's mode at the first instruction, in bits; 16 by default. */
  mode?: 16 | 32 | 64 | undefined;
  /** bzImage: the initial RAM disk; multiboot: the modules, in order. */
  initrd?: FileInput | readonly FileInput[] | undefined;
  /** The kernel's command line. */
  append?: string | undefined;
  /** Guest RAM in bytes or as text; '128M' by default. */
  memory?: number | string | undefined;
  /**
   * Guest RAM as a WebAssembly.Memory that other threads can have: `true` makes one, `machine.sharedMemory` is it. One that is given must be
   * large enough; what it has is what the guest finds. A reset clears it. At most 4 GiB. RAM above 3 GiB follows at once in it, but is at 4 GiB
   * for the guest.
   */
  sharedMemory?: SharedMemory | boolean | undefined;
  /** vCPUs, 1 by default and at most 255. Several run on native threads of their own and need the kernel's interrupt controllers. */
  cpus?: number | undefined;
  /** Gives a single vCPU a native thread too, for a guest that is not to share this thread's time; false by default. */
  threaded?: boolean | undefined;
  /** The host's CPUs for the threads: one list a vCPU, in their order. Those without one run anywhere. Linux only. */
  affinity?: readonly (readonly number[])[] | undefined;
  /** Who has the interrupt controllers and the timer: the kernel where it can (the default), or devices in TypeScript. */
  irqchip?: 'kernel' | 'user' | undefined;
  /** The device to open; HAX_BACKEND or the first that exists by default. */
  backend?: BackendName | undefined;
  /**
   * A write of V to this port ends the machine with exit code (V << 1) | 1. True or 0xf4 for port 0xf4, and what kvm-unit-tests expect besides:
   * ports 0x2000 to 0x200f that raise interrupts 0 to 15, a data port at 0xe0, 64 KiB of MMIO at 0xff000000 that keep what is written, and fw_cfg
   * at 0x510 with the number of vCPUs and the size of memory.
   */
  debugExit?: boolean | number | undefined;
  /** Bytes written to the port go to `output`. */
  debugConsole?:
    | {
        /** 0xe9 by default. */
        port?: number | undefined;
        /** Gets each byte as it is written. When it throws, `ended` rejects with ERR_HAX_DEVICE_FAILED. */
        output: Writable;
      }
    | undefined;
  /**
   * Gets what the guest prints on its console, COM1, with back-pressure, beside `machine.console`: `output: process.stdout` for example. When it
   * throws, `ended` rejects with ERR_HAX_DEVICE_FAILED. A machine whose console is not asked for is made without Node's streams.
   */
  output?: ByteOutput | undefined;
  /** Whether a guest's reset starts the machine again (the default) or ends it. */
  reboot?: boolean | undefined;
  /** Ends the machine: everything pending rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called as large files are loaded. */
  onProgress?: ProgressListener | undefined;
  /** Called once for each address and direction of access that nobody owns, after a reset anew. */
  onUnclaimed?: ((access: UnclaimedAccess) => void) | undefined;
  /** Tells of each exit of each vCPU, over resets too; close it when the machine has ended. */
  trace?: ExitTrace | undefined;
}

const defaultMemory = '128M';

/** The names of {@link MachineOptions}: one that is written wrong is an error, not an option that has no effect. */
export const machineOptionNames: Readonly<Record<keyof MachineOptions, true>> = {
  kernel: true,
  format: true,
  load: true,
  entry: true,
  mode: true,
  initrd: true,
  append: true,
  memory: true,
  sharedMemory: true,
  cpus: true,
  threaded: true,
  affinity: true,
  irqchip: true,
  backend: true,
  debugExit: true,
  debugConsole: true,
  output: true,
  reboot: true,
  signal: true,
  onProgress: true,
  onUnclaimed: true,
  trace: true,
};

/** created → running ⇄ paused → stopped, or failed when the guest crashed or a device model threw. */
export type MachineState = 'created' | 'running' | 'paused' | 'stopped' | 'failed';

export interface MachineStatistics extends ExitStatistics, VcpuCounters {
  /** Times that the guest reset the machine. */
  resets: number;
  /** vCPUs of the machine; the times are sums over them. */
  cpus: number;
}

/** For a worker's host, whose bytes go past the stream. */
export let portOf: (machine: Machine) => ConsolePort;

/**
 * A whole machine: vCPUs, RAM, a UART, power and reset, and a kernel loaded into it. Made by {@link launch}.
 * It keeps the process alive until it ends; unref() releases that. A reset makes VM and vCPU anew, so `vm` and the vCPUs change with it.
 */
export class Machine extends EventEmitter<{
  /** The guest asked for a reset: VM and vCPUs are new, and have not run yet. */
  reset: [];
}> {
  static {
    portOf = (machine) => machine.#port;
  }

  /** How the guest came to its end. Rejects when a device model throws or on abort. */
  readonly ended: Promise<RunEnd>;
  readonly #options: MachineOptions;
  readonly #hypervisor: Hypervisor;
  readonly #files: FileSource[] = [];
  readonly #port: ConsolePort;
  readonly #debugOutput: ByteSink['write'] | undefined;
  readonly #intermission = new Intermission();
  readonly #clock = new RealClock();
  readonly #kernel: ImageSource;
  readonly #modules: ImageSource[];
  /** Guest RAM, where it was asked to be shared. */
  readonly sharedMemory: SharedMemory | undefined;
  #board: Board;
  #state: MachineState = 'created';
  #resets = 0;
  #referenced = true;
  #killed = false;
  /** By pause(): also while there is no run, whose next one begins paused. */
  #held = false;
  #outputError: HaxError | undefined;
  #settle!: { resolve: (end: RunEnd) => void; reject: (error: unknown) => void };

  /** Opens the device and loads the kernel; start() runs it. Throws what {@link launch} rejects with. */
  constructor(options: MachineOptions) {
    super();
    const own = checkOptions(options);
    this.#options = own;
    this.#port = new ConsolePort(own.output, (cause) => this.#failOutput(cause, 'the output of the console'));
    this.#debugOutput = guarded(own.debugConsole?.output, (cause) => this.#failOutput(cause, 'the output of the debug console'));
    this.#port.onRoom = this.#intermission.look;
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever waits for the console learns of a failure there.
    this.ended.catch(() => undefined);
    this.#hypervisor = Hypervisor.open(own.backend ? { backend: own.backend } : {});
    try {
      this.sharedMemory = sharedMemoryOf(own);
      this.#kernel = this.#open(own.kernel, 'kernel');
      const initrd = own.initrd ?? [];
      this.#modules = (Array.isArray(initrd) ? initrd : [initrd]).map((input: FileInput, i) => this.#open(input, `initrd ${i}`));
      this.#board = this.#makeBoard();
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** The serial console, COM1. */
  get console(): Console {
    return this.#port.stream;
  }

  /** Where the machine is in its life. */
  get state(): MachineState {
    const { running, paused } = this.#board.processors;
    return this.#state === 'running' && (running ? paused : this.#held) ? 'paused' : this.#state;
  }

  /** The VM of the current boot. */
  get vm(): VirtualMachine {
    return this.#board.vm;
  }

  /** The boot processor of the current boot. */
  get vcpu(): Vcpu {
    return this.#board.processors.first;
  }

  /** All processors of the current boot. */
  get vcpus(): readonly Vcpu[] {
    return this.#board.processors.all;
  }

  /** Counts of the current boot, of all processors together. */
  get statistics(): MachineStatistics {
    return { ...this.#board.processors.statistics, resets: this.#resets, cpus: this.vcpus.length };
  }

  /** Lets the guest run. Throws ERR_HAX_RUNNING when it has been started before. */
  start(): void {
    if (this.#state !== 'created') {
      throw new HaxError('ERR_HAX_RUNNING', 'this machine has been started already', {
        hint: 'Make another machine: each is started once.',
      });
    }
    this.#state = 'running';
    this.#run().then(
      (end) => this.#finish(isCrash(end) ? 'failed' : 'stopped', end.reason, () => this.#settle.resolve(end)),
      (error: unknown) => {
        const { signal } = this.#options;
        const aborted = signal?.aborted === true && signal.reason === error;
        this.#finish('failed', reasonOf(error), () => this.#settle.reject(error), { cause: error, aborted });
      },
    );
  }

  /**
   * Holds the guest, all of its processors; see {@link Vcpu.pause}. What it has printed is handed over. Before start() and in a listener of
   * 'reset' it has the next run begin held.
   */
  pause(): void {
    this.#held = true;
    this.#board.processors.pause();
    this.#board.flush();
  }

  /** Lets the guest go on after pause(); otherwise does nothing. */
  resume(): void {
    this.#held = false;
    this.#board.processors.resume();
  }

  /** Ends the guest at once; `ended` resolves with `{ reason: 'killed' }`. */
  kill(): void {
    this.#killed = true;
    this.#board.processors.stop({ reason: 'killed' });
    this.#intermission.look();
  }

  /** Lets the process end although the machine runs. */
  unref(): this {
    this.#referenced = false;
    this.#board.processors.setReferenced(false);
    this.#intermission.setReferenced(false);
    return this;
  }

  /** Undoes unref(). */
  ref(): this {
    this.#referenced = true;
    this.#board.processors.setReferenced(true);
    this.#intermission.setReferenced(true);
    return this;
  }

  /** Kills the guest if it still runs and releases everything. Idempotent; resolves when `ended` has settled. */
  async close(): Promise<void> {
    if (this.#state === 'created') this.#finish('stopped', 'killed', () => this.#settle.resolve({ reason: 'killed' }));
    this.kill();
    await this.ended.catch(() => undefined);
    this.#board.close();
    this.#release();
  }

  /** As close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<RunEnd> {
    for (;;) {
      // Between two boots, in a listener of 'reset' for example, there is no run that kill() could stop.
      if (this.#killed) return { reason: 'killed' };
      const { processors } = this.#board;
      const running = processors.run(this.#options.signal, this.#held);
      processors.setReferenced(this.#referenced);
      const end = await running;
      const reboots = end.reason === 'reset' && this.#options.reboot !== false;
      if (reboots) await this.#room();
      this.#port.hurry(() => this.#board.flush());
      if (this.#outputError) throw this.#outputError;
      if (!reboots) return end;
      if (this.#killed) return { reason: 'killed' };
      this.#options.signal?.throwIfAborted();
      this.#resets++;
      this.#board.close();
      if (this.sharedMemory) sharedBytes(this.sharedMemory).fill(0);
      this.#board = this.#makeBoard();
      this.emit('reset');
    }
  }

  /** A guest that is asked to hold back does not get round it by a reset, which hands over all that devices hold: it waits, to end or go on. */
  async #room(): Promise<void> {
    const { signal } = this.#options;
    const { look } = this.#intermission;
    signal?.addEventListener('abort', look);
    const goesOn = (): boolean => !this.#killed && !this.#outputError && signal?.aborted !== true;
    await this.#intermission.last(() => this.#board.held && goesOn(), this.#referenced);
    signal?.removeEventListener('abort', look);
  }

  #finish(state: MachineState, reason: string, settle: () => void, failure?: { cause: unknown; aborted: boolean }): void {
    this.#state = state;
    // Whoever waits goes on when all of this is done, whatever a listener of the console throws.
    settle();
    try {
      this.#port.hurry(() => this.#board.flush());
    } finally {
      this.#port.finish(reason, failure);
    }
  }

  /** The first error is the one to tell. */
  #failOutput(cause: unknown, what: string): void {
    this.#outputError ??= deviceError(cause, what);
    this.#board.processors.stop({ reason: 'killed' });
    this.#intermission.look();
  }

  #makeBoard(): Board {
    const { memory = defaultMemory, debugExit = false, cpus = 1, threaded = false, affinity = [], trace, ...options } = this.#options;
    const { debugConsole } = options;
    return new Board(this.#hypervisor, {
      ...options,
      memory: parseSize(memory, 'memory'),
      ...(this.sharedMemory && { shared: this.sharedMemory }),
      cpus,
      processors: { threaded, affinity, trace },
      debugExit: debugExit === true ? ports.debugExit : debugExit,
      ...(debugConsole && { debugConsole: { ...debugConsole, output: this.#debugOutput } }),
      kernel: this.#kernel,
      modules: this.#modules,
      console: this.#port,
      onRoom: this.#intermission.look,
      clock: this.#clock,
    });
  }

  #open(input: FileInput, name: string): ImageSource {
    if (typeof input !== 'string') return imageFromBytes(name, input);
    const file = new FileSource(input, this.#options.onProgress);
    this.#files.push(file);
    return file;
  }

  #release(): void {
    for (const file of this.#files) file.close();
    this.#hypervisor.close();
  }
}

/**
 * Boots a machine: opens the hypervisor device, loads the kernel, starts the guest. Rejects with a HaxError that says what is wrong
 * with the device (ERR_HAX_NO_DEVICE …), a file (ERR_HAX_FILE), the image (ERR_HAX_IMAGE) or an option (ERR_HAX_INVALID_ARGUMENT).
 */
export async function launch(options: MachineOptions): Promise<Machine> {
  throwIfAborted(options);
  const machine = new Machine(options);
  machine.start();
  return Promise.resolve(machine);
}

/** What an aborted signal gives at once; throws ERR_HAX_INVALID_ARGUMENT where it is none. */
export function throwIfAborted(options: { readonly signal?: AbortSignal } | undefined): void {
  checkSignal(options?.signal);
  if (options?.signal?.aborted) throw options.signal.reason;
}

/** The memory that was given, or one that was asked for. */
export function sharedMemoryOf({ sharedMemory = false, memory = defaultMemory }: MachineOptions): SharedMemory | undefined {
  if (sharedMemory === false) return undefined;
  if (sharedMemory === true) return createSharedMemory(parseSize(memory, 'memory'));
  sharedBytes(sharedMemory);
  return sharedMemory;
}

function checkOptions(given: MachineOptions): MachineOptions {
  const isInput = (value: unknown): boolean => (typeof value === 'string' && value !== '') || types.isUint8Array(value);
  if (!isInput(given?.kernel)) throw invalidArgument('kernel must be the path of a file or its bytes as a Uint8Array');
  checkNames(given, machineOptionNames, 'a machine');
  const options = copyOptions(given);
  const initrd = options.initrd ?? [];
  if (!(Array.isArray(initrd) ? initrd : [initrd]).every(isInput)) {
    throw invalidArgument('initrd must be the path of a file, its bytes as a Uint8Array, or an array of them');
  }
  if (typeof (options.append ?? '') !== 'string') throw invalidArgument(`append must be a text, not ${shown(options.append)}`);
  if (options.format !== 'flat') {
    const name = (['load', 'entry', 'mode'] as const).find((name) => options[name] !== undefined);
    if (name) throw invalidArgument(`${name} goes with format: 'flat'`);
  }
  checkInteger(options.cpus ?? 1, 'cpus', 1, 255);
  checkBoolean(options.threaded ?? false, 'threaded');
  checkBoolean(options.reboot ?? true, 'reboot');
  const { affinity = [], cpus = 1, threaded = false } = options;
  if (affinity.length > cpus) throw invalidArgument(`affinity has ${affinity.length} lists of CPUs, and the machine ${cpus} vCPUs`);
  for (const list of affinity as readonly (readonly number[] | undefined)[])
    if (list !== undefined) checkAffinity(list, threaded || cpus > 1);
  checkTrace(options.trace);
  checkSignal(options.signal);
  checkListener(options.onProgress, 'onProgress');
  checkListener(options.onUnclaimed, 'onUnclaimed');
  if (!['number', 'boolean'].includes(typeof (options.debugExit ?? false))) {
    throw invalidArgument(`debugExit must be true, false or a port, not ${shown(options.debugExit)}`);
  }
  for (const port of [options.debugExit, options.debugConsole?.port]) {
    if (typeof port === 'number') checkInteger(port, 'the port of a debug device', 0, 0xffff);
  }
  return options;
}

/** As they are now: what a program does to its object later is for its next machine, not for the next boot of this one. */
function copyOptions(given: MachineOptions): MachineOptions {
  const names = Object.keys(machineOptionNames) as (keyof MachineOptions)[];
  const options = Object.fromEntries(names.map((name) => [name, given[name]])) as unknown as MachineOptions;
  const { affinity, debugConsole } = options;
  if (affinity !== undefined) {
    if (!Array.isArray(affinity)) throw invalidArgument('affinity must be a list with one list of CPUs for each vCPU');
    options.affinity = affinity.map((list: unknown) => (Array.isArray(list) ? [...(list as number[])] : (list as number[])));
  }
  if (debugConsole) {
    checkObject(debugConsole, 'debugConsole');
    checkNames(debugConsole, { port: true, output: true }, 'debugConsole');
    if (debugConsole.output === undefined) throw invalidArgument('debugConsole needs an output, which gets what the guest writes');
    options.debugConsole = { ...debugConsole };
  }
  return options;
}
