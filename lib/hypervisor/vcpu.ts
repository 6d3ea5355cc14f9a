import type { Removable } from '../bus/claim';
import { exitPage } from '../native/layout';
import type { NativeVcpu } from '../native/addon';
import { checkBoolean, checkBytes, checkNames, checkObject, checkSignal, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { nowNs } from '../util/now';
import { checkInteger } from '../util/numbers';
import type { CpuState, CpuStateInit } from '../util/cpu-state';
import { checkCpuid, packCpuid, type CpuidEntry } from './cpuid';
import { ExitView, type Exit } from './exit';
import { ExitCounters } from './exit-counters';
import { ExitHandlers, type ExitHandler, type ServedKind } from './exit-handlers';
import { checkTrace, type ExitTrace } from './exit-trace';
import type { RunEnd } from './end';
import { loadHaxmVcpu } from './haxm/load';
import type { HaxmVcpu } from './haxm/vcpu';
import { loadKvmVcpu } from './kvm/load';
import type { KvmVcpu } from './kvm/vcpu';
import { VcpuParts, type MpState, type RegistersView, type StatePart, type VcpuState, type VcpuStateInit } from './vcpu-state';
export { mpStates, type MpState } from './vcpu-state';
import type { VirtualMachine } from './vm';

/** How run() runs. */
export interface RunOptions {
  /** Ends the run: the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Runs the guest on a native thread of its own instead of in slices of this one. Devices still work here, one access after the other.
   * Needed where several vCPUs of one VM are to run at a time. While the guest is in, calls that look at the vCPU throw ERR_HAX_RUNNING:
   * make them in a handler of its own, or after pause().
   */
  threaded?: boolean | undefined;
  /** Begins as after pause(): resume() lets the guest run. */
  paused?: boolean | undefined;
  /** Threaded only: the host's CPUs that the thread may use, by number. Any by default. Linux only. */
  affinity?: readonly number[] | undefined;
  /** Tells of each exit; none by default, and then it costs nothing. */
  trace?: ExitTrace | undefined;
}

const runOptionNames: Record<keyof RunOptions, true> = { signal: true, threaded: true, paused: true, affinity: true, trace: true };

/** A run in progress; the run loop (lib/run) makes one, the vCPU forwards to it. */
export interface RunInProgress {
  readonly result: Promise<RunEnd>;
  /** Ends the run as soon as the guest is out of the way. */
  end(end: RunEnd): void;
  pause(): void;
  resume(): void;
  /** Whether a handler has yet to give the reply to the exit in the page. */
  readonly owesReply: boolean;
  /** Whether the run keeps the event loop alive. */
  setReferenced(referenced: boolean): void;
}

/** How `vcpu.run()` runs: installed by lib/run, so that this layer knows nothing of dispatching. */
export type RunDriver = (vcpu: Vcpu, options: RunOptions) => RunInProgress;

/** KVM_KVMCLOCK_CTRL, _IO(KVMIO, 0xad) (Documentation/virt/kvm/api.rst, 4.71). */
const kvmclockCtrl = 0xaead;
/** KVM_RUN, _IO(KVMIO, 0x80) (Documentation/virt/kvm/api.rst, 4.10). */
const kvmRun = 0xae80;
const EINVAL = 22;

let driver: RunDriver | undefined;

export function installRunDriver(run: RunDriver): void {
  driver = run;
}

/** What cpu_set_t has bits for. */
const maxHostCpus = 1024;

/** Throws ERR_HAX_INVALID_ARGUMENT unless it is a list of the host's CPUs for a thread. */
export function checkAffinity(affinity: readonly number[], threaded: boolean): void {
  if (!threaded) throw invalidArgument('affinity goes with threaded: an inline run stays on the JavaScript thread');
  if (!Array.isArray(affinity) || affinity.length === 0) {
    throw invalidArgument(`affinity is a list of the host's CPUs that is not empty, not ${shown(affinity)}`);
  }
  for (const cpu of affinity) checkInteger(cpu, 'a CPU in affinity', 0, maxHostCpus - 1);
}

/** How often a vCPU was entered and why it came back, since it was made. */
export interface VcpuCounters {
  /** Times the guest was entered. */
  readonly entries: number;
  /** Entries that a foreign signal ended; the guest was entered again at once. */
  readonly interrupted: number;
  /** Entries ended by kick(), by the end of a slice, or by a blocking enter() that looks every 20 ms whether its worker is to end. */
  readonly kicks: number;
  /** Exits that native code served without JavaScript: reads with a standing answer, and posted writes where the kernel has no ring. */
  readonly taken: number;
  /**
   * Nanoseconds inside the guest, with what the kernel or driver did for it; a guest that is halted under the kernel's interrupt controllers
   * sleeps in there. An estimate in inline mode while a slice has more than 8 exits: then every 251st is timed.
   */
  readonly guestNs: number;
  /** Nanoseconds in JavaScript that served exits, and in the run loop around it; estimated like `guestNs`. */
  readonly javascriptNs: number;
  /** Nanoseconds of run() that were neither: the event loop's other work, a device's promise, a pause, a halt that our controllers end. */
  readonly waitingNs: number;
}

/** GuestTimeSince() of native/core/exit_page.h: a thread of the vCPU's own is inside the guest. */
const insideNow = 1n << 63n;

/**
 * A virtual processor. It belongs to the thread that made it; every method but `kick()` is an error while `run()` has a guest in
 * progress elsewhere. Made by {@link VirtualMachine.createVcpu}.
 */
export class Vcpu {
  /** For lib/run: the native side and the memory shared with it. */
  readonly native: NativeVcpu;
  /** The exit page and the state block, laid out as in native/layout.ts. */
  readonly shared: ArrayBuffer;
  /** What the run loop counts. */
  readonly exits = new ExitCounters();
  /** The handlers that the run loop calls. */
  readonly exitHandlers = new ExitHandlers();
  readonly #exit: ExitView;
  readonly #parts: VcpuParts;
  readonly #u64: BigUint64Array;
  readonly #u32: Uint32Array;
  #kvm: KvmVcpu | undefined;
  #run: RunInProgress | undefined;
  #haxm: HaxmVcpu | undefined;
  /** When the run in progress began, as performance.now() tells it. */
  #runBegan = 0;
  /** Of the runs that have ended. */
  #ranNs = 0;
  #closed = false;
  #paused = false;

  constructor(
    /** The machine that it is a processor of. */
    readonly vm: VirtualMachine,
    /** Number of the vCPU, which is its APIC id. */
    readonly id: number,
    native: NativeVcpu,
  ) {
    this.native = native;
    this.shared = native.shared();
    this.#exit = new ExitView(this.shared, vm.backend);
    this.#parts = new VcpuParts(native, this.shared, vm.backend);
    this.#u64 = new BigUint64Array(this.shared);
    this.#u32 = new Uint32Array(this.shared);
  }

  /** HAXM's own calls of a vCPU. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get haxm(): HaxmVcpu {
    return (this.#haxm ??= new (loadHaxmVcpu())(this));
  }

  /** Whether close() was called, here or by the VM. */
  get closed(): boolean {
    return this.#closed;
  }

  /** KVM's own calls on a vCPU. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get kvm(): KvmVcpu {
    return (this.#kvm ??= new (loadKvmVcpu())(this));
  }

  /** True between run() and its end. */
  get running(): boolean {
    return this.#run !== undefined;
  }

  /**
   * Enters the guest until one exit and blocks the thread meanwhile; KVM_RUN. The result is one object that the next call changes: what is to be
   * kept is taken out of it by name (`const { port, size } = exit`), as a spread or a clone of it has none of its members.
   * A reply (`exit.data` of an `in`) is taken at the next entry or by complete(). Handlers of posted writes are called before it returns.
   * Throws ERR_HAX_RUNNING during run().
   */
  enter(): Exit {
    this.#checkIdle('enter');
    this.native.enter();
    const { posted } = this.vm;
    if (posted.active && posted.waiting) posted.drain();
    return this.#exit as unknown as Exit;
  }

  /** The last exit again. */
  get exit(): Exit {
    return this.#exit as unknown as Exit;
  }

  /**
   * Takes the reply of the last exit without running on: registers and memory are complete only after it, or after the next entry. Throws
   * ERR_HAX_RUNNING while a handler of run(), or its promise, has yet to give that reply.
   */
  complete(): void {
    if (this.#run?.owesReply) {
      throw new HaxError('ERR_HAX_RUNNING', `vCPU ${this.id} waits for the reply of a handler, and complete() would take what is none`, {
        operation: 'complete',
        hint: 'Call it when the handler has replied, or do without: a pause shows the registers then.',
      });
    }
    this.#parts.forget();
    this.native.complete();
  }

  /** Ends enter() or the next one with an `interrupted` exit; never lost. */
  kick(): void {
    this.native.kick();
  }

  /**
   * Runs the guest between the turns of the event loop, serving its exits from the VM's buses, until it ends.
   * Rejects with ERR_HAX_DEVICE_FAILED when a device model throws, and with the signal's reason on abort. What cannot begin throws at once:
   * ERR_HAX_INVALID_ARGUMENT, ERR_HAX_RUNNING, ERR_HAX_CLOSED.
   */
  run(options: RunOptions = {}): Promise<RunEnd> {
    this.#checkIdle('run');
    checkObject(options, 'what run() takes');
    checkNames(options, runOptionNames, 'run()');
    const { signal, threaded = false, paused = false, affinity, trace } = options;
    checkBoolean(threaded, 'threaded');
    checkBoolean(paused, 'paused');
    if (affinity !== undefined) checkAffinity(affinity, threaded);
    checkTrace(trace);
    checkSignal(signal);
    if (!driver) throw new HaxError('ERR_HAX_UNSUPPORTED', 'no run loop is installed; import node-hax, not one of its files');
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const run = driver(this, options);
    this.#run = run;
    this.#paused = paused;
    this.#runBegan = nowNs();
    // A promise of its own: otherwise a failure that nobody waits for would count as handled.
    return run.result.finally(() => {
      this.#run = undefined;
      this.#ranNs += nowNs() - this.#runBegan;
      this.#paused = false;
    });
  }

  /**
   * Serves the exits of one kind during run(): MSRs and hypercalls that the kernel leaves to user space, breakpoints, a full dirty ring.
   * Called on the thread that runs the vCPU, before the guest goes on. Unserved, or with its `fault` left true, an `msr` gives the guest #GP; a
   * `hypercall`, `hyperv` or `xen` the error for an unknown one; `ioapic-eoi`, `set-tpr`, `tpr-access`, `nmi`, `bus-lock` and `notify` (while
   * the guest's context is valid) go on; the rest end the run as `unhandled-exit`. Throws ERR_HAX_OVERLAP when the kind has a handler already,
   * ERR_HAX_CLOSED after close().
   */
  onExit<K extends ServedKind>(kind: K, handler: ExitHandler<K>): Removable {
    this.#checkOpen('onExit');
    return this.exitHandlers.add(kind, handler);
  }

  /**
   * Ends a run() in progress: it resolves with `end`, by default `{ reason: 'killed' }`. Without one it does nothing. A read whose handler has
   * given a promise that is still awaited has read all-ones then.
   */
  stop(end: RunEnd = { reason: 'killed' }): void {
    checkObject(end, 'the end of a run');
    this.#run?.end(end);
  }

  /**
   * Holds a run() in progress: on return the guest executes nothing, and registers and memory are complete, unless a handler on the stack or a
   * device's promise still has the reply to its last access: then as soon as that is there. Idempotent; without a run it does nothing.
   */
  pause(): void {
    if (!this.#run || this.#paused) return;
    this.#paused = true; // before a handler that this waits for, which may resume
    this.#run.pause();
  }

  /** Lets a paused run() go on. A guest with kvmclock is told, so that its watchdogs do not count the pause (KVM_KVMCLOCK_CTRL). */
  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    try {
      if (this.vm.backend === 'kvm') this.#tellPaused();
    } finally {
      this.#run?.resume();
    }
  }

  /** Whether pause() holds it. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether a run() in progress keeps the process alive; it does by default. */
  setReferenced(referenced: boolean): void {
    this.#run?.setReferenced(referenced);
  }

  /** All registers but the FPU's and MSRs; KVM_GET_REGS and KVM_GET_SREGS. Only complete after complete() where a reply was pending. */
  getState(): CpuState {
    return this.#parts.registers();
  }

  /** Changes the registers named and leaves the others; KVM_SET_SREGS and KVM_SET_REGS. A refused value changes nothing. */
  setState(state: CpuStateInit): void {
    checkObject(state, 'what setState() takes');
    this.#parts.setRegisters(state);
  }

  /**
   * The general registers, fetched once after each exit when the first of them is read: `vcpu.registers.rax`. Setting one tells the device at
   * once. The same object each time; complete() first where a reply is pending.
   */
  get registers(): RegistersView {
    return this.#parts.view;
  }

  /** Several parts of the state at once, for one crossing to the native side; `msrs` are the indices for the part of that name. */
  getParts<P extends StatePart>(parts: readonly P[], msrs: readonly number[] = []): Pick<VcpuState, P> {
    return this.#parts.get(parts, msrs);
  }

  /** Sets the parts named, in the order in which the device wants them: system, general, FPU, MSRs, MP state. */
  setParts(state: VcpuStateInit): void {
    this.#parts.set(state);
  }

  /**
   * Has `general` and `system` registers travel with each exit, so that reading them afterwards costs no call of the kernel (KVM sync regs;
   * 5 µs become 0.1 on a slow KVM), and general ones that are set travel with the next entry. Each exit pays for it: worth it for who looks at
   * registers at most exits. An empty list ends it. Where the device has no such thing it changes nothing.
   */
  syncState(parts: readonly ('general' | 'system')[]): void {
    this.#parts.sync(parts);
  }

  /** The instruction pointer and flags alone, for one call of the kernel instead of two. */
  getPosition(): {
    /** Offset of the next instruction in CS. */
    rip: bigint;
    /** RFLAGS. */
    rflags: bigint;
  } {
    return this.#parts.position();
  }

  /** The FXSAVE image of 64-bit mode, 512 bytes (Intel SDM vol. 1, 10.5.1); KVM_GET_XSAVE. */
  getFpu(): Uint8Array {
    return this.#parts.get(['fpu'], []).fpu;
  }

  /** Takes what getFpu() gave; KVM_SET_XSAVE. Throws ERR_HAX_INVALID_ARGUMENT unless it has 512 bytes. */
  setFpu(image: Uint8Array): void {
    checkBytes(image, 'an FXSAVE image');
    this.#parts.set({ fpu: image });
  }

  /** Values of model-specific registers, in order; KVM_GET_MSRS. Throws ERR_HAX_IOCTL that names the first one refused. */
  getMsrs(indices: readonly number[]): bigint[] {
    if (!Array.isArray(indices)) throw invalidArgument(`getMsrs() takes an array of indices, not ${shown(indices)}`);
    return this.#parts.get(['msrs'], indices as number[]).msrs.map(([, value]) => value);
  }

  /** KVM_SET_MSRS; those before a refused one are set. */
  setMsrs(values: Iterable<readonly [index: number, value: number | bigint]>): void {
    checkObject(values, 'what setMsrs() takes');
    this.#parts.set({ msrs: values });
  }

  /** KVM_GET_MP_STATE. Needs the capability `mpState`. */
  get mpState(): MpState {
    return this.#parts.get(['mpState'], []).mpState;
  }

  set mpState(state: MpState) {
    this.#parts.set({ mpState: state ?? (null as never) });
  }

  /** After an exit: whether the guest would take an interrupt at once; false once IF was cleared by setState(). Means nothing where the kernel has the interrupt controllers. */
  get interruptReady(): boolean {
    return this.#u32[exitPage.interruptReady / 4] !== 0;
  }

  /** Ends the next entries as `irq-window` as soon as the guest takes interrupts, until set to false. */
  get requestInterruptWindow(): boolean {
    return this.#u32[exitPage.requestWindow / 4] !== 0;
  }

  set requestInterruptWindow(on: boolean) {
    this.#u32[exitPage.requestWindow / 4] = on ? 1 : 0;
  }

  /**
   * Queues an external interrupt, which the guest takes at the next entry; KVM_INTERRUPT. Only while `interruptReady`.
   * Throws ERR_HAX_IOCTL where the kernel has the interrupt controllers: use irqLine() there. A second one before that entry would take the
   * place of the first: `interruptReady` is false until then.
   */
  inject(vector: number): void {
    this.native.inject(checkInteger(vector, 'interrupt vector', 0, 255));
    this.#u32[exitPage.interruptReady / 4] = 0;
  }

  /** What the guest's CPUID answers; before the first entry only. KVM_SET_CPUID2. */
  setCpuid(entries: readonly CpuidEntry[]): void {
    checkCpuid(entries);
    this.native.setCpuid(packCpuid(entries));
  }

  /**
   * As {@link VirtualMachine.ioctl}, for the vCPU. During run() where registers can be had, too: in a handler of its own, while it is paused, and in
   * inline mode at any time. KVM_RUN, and all calls of HAXM, only without a run().
   */
  ioctl(request: number, argument?: number | Uint8Array | null): number {
    if (this.vm.backend === 'haxm' || request === kvmRun) this.#checkIdle('ioctl');
    this.#parts.forget();
    return this.native.ioctl(request, argument);
  }

  /** What the run loop has counted since the vCPU was made. */
  get counters(): VcpuCounters {
    const at = (offset: number): number => Number(this.#u64[offset / 8]);
    const guest = this.#u64[exitPage.guestNs / 8];
    const guestNs = Number(guest & insideNow ? process.hrtime.bigint() - (guest ^ insideNow) : guest);
    const javascriptNs = at(exitPage.javascriptNs);
    const ran = this.#ranNs + (this.#run ? nowNs() - this.#runBegan : 0);
    return {
      entries: at(exitPage.entries),
      interrupted: at(exitPage.interrupted),
      kicks: at(exitPage.kicks),
      taken: at(exitPage.taken),
      guestNs,
      javascriptNs,
      waitingNs: Math.max(0, Math.round(ran) - (guestNs - at(exitPage.blockingNs)) - javascriptNs),
    };
  }

  /** Ends a run in progress as killed and lets go of the device. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.stop();
    this.native.close();
    this.exits.close();
    this.vm.forget(this);
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  #tellPaused(): void {
    try {
      this.native.ioctl(kvmclockCtrl);
    } catch (error) {
      // EINVAL: the guest does not use kvmclock.
      if (!(error instanceof HaxError) || error.errno !== EINVAL) throw error;
    }
  }

  #checkOpen(call: string): void {
    if (this.#closed) throw new HaxError('ERR_HAX_CLOSED', `vCPU ${this.id} has been closed`, { operation: call });
  }

  #checkIdle(call: string): void {
    this.#checkOpen(call);
    if (this.#run)
      throw new HaxError('ERR_HAX_RUNNING', `vCPU ${this.id} is running already`, {
        operation: call,
        hint: 'Await the run(), or stop() it.',
      });
  }
}
