/**
 * Threaded mode: the vCPU runs on a native thread of its own, its exits are served on the JavaScript thread that owns the devices.
 * native/core/vcpu_thread.h has the hand-over; docs/decisions/0004-threaded-mode.md tells why it is as it is.
 */
import { devicesOf, failRuns, type DevicesRun } from '../hypervisor/devices';
import type { RunEnd } from '../hypervisor/end';
import type { ExitTrack } from '../hypervisor/exit-track';
import type { RunOptions, Vcpu } from '../hypervisor/vcpu';
import type { VirtualMachine } from '../hypervisor/vm';
import { addon, type NativeThreadRunner, type SharedThreads } from '../native/addon';
import { exitPage, ExitKind } from '../native/layout';
import { GuestRun } from './guest-run';

/** How often guests that do not exit are asked whether anything can wake them, milliseconds. */
const haltCheckInterval = 200;

/** How long a posted write of a guest that does not exit waits, milliseconds. */
const postedInterval = 10;

const interrupted: number = ExitKind.Interrupted;
const kindAt = exitPage.kind / 4;
const portAt = exitPage.port / 4;

/** The threaded runs of one VM, whose guest ends as a whole. */
interface Siblings {
  readonly runs: Set<ThreadedRun>;
  timer: NodeJS.Timeout | undefined;
  /** Looks for posted writes. */
  posted: NodeJS.Timeout | undefined;
}

const siblingsOf = new WeakMap<VirtualMachine, Siblings>();
/** Asked for when the first run begins, since that loads the addon. */
let threads: SharedThreads | undefined;

function sharedThreads(): SharedThreads {
  return (threads ??= addon().threads ??= { runs: new Map(), lastSlot: 0, slots: new Int32Array(addon().exitSlots()) });
}

function next(): number {
  addon().nextExit();
  return threads!.slots[0];
}

/** What native/binding/threads.cc calls when vCPUs have exited. */
function pump(): void {
  const { runs, slots } = threads!;
  for (let slot = next(); slot >= 0; slot = next()) if (runs.get(slot)?.exited()) slots[1] = slot;
}

/** With the kernel's controllers a halted vCPU sleeps inside KVM_RUN. When every one of a VM does so for ever, the guest has ended. */
function lookAtHalted(vm: VirtualMachine): void {
  const all = [...siblingsOf.get(vm)!.runs];
  const threaded = new Set<DevicesRun>(all);
  const inline = [...devicesOf(vm).runs].filter((run) => !threaded.has(run));
  const quiet = all.map((run) => run.isQuiet()).every(Boolean);
  if (quiet && inline.every((run) => run.isHalted(true)) && all.every((run) => run.stayHalted()))
    for (const run of [...inline, ...all]) run.end({ reason: 'halted' });
  else for (const run of all) run.goOn();
}

function drainBetweenExits(vm: VirtualMachine): void {
  try {
    if (vm.posted.waiting) vm.posted.drain();
  } catch (error) {
    failRuns(vm, error, vm.posted.last);
  }
}

export class ThreadedRun extends GuestRun {
  readonly #runner: NativeThreadRunner;
  readonly #threads: SharedThreads;
  readonly #slot: number;
  readonly #siblings: Siblings;
  readonly #track: ExitTrack | undefined;
  /** Has served an exit since the last look at halted guests. */
  #active = true;
  /** Getting out: the exit that comes up is served, and the guest stays out. */
  #leaving = false;
  /** Posted writes of a guest that does not exit: no slice ends here. */
  readonly #watchPosted = (): void => {
    this.#siblings.posted ??= setInterval(drainBetweenExits, postedInterval, this.vcpu.vm).unref();
  };

  constructor(vcpu: Vcpu, options: RunOptions) {
    super(vcpu, options);
    const { affinity = [], trace } = options;
    this.#track = trace?.track(vcpu);
    const { vm } = vcpu;
    this.#siblings = siblingsOf.get(vm) ?? { runs: new Set(), timer: undefined, posted: undefined };
    siblingsOf.set(vm, this.#siblings);
    try {
      this.#threads = sharedThreads();
      this.#slot = ++this.#threads.lastSlot;
      this.#runner = new (addon().ThreadRunner)(vcpu.native, this.#slot, new Uint8Array(Uint32Array.from(affinity).buffer));
      addon().setPump(pump);
      this.#runner.start();
    } catch (error) {
      this.detach();
      throw error;
    }
    this.#threads.runs.set(this.#slot, this);
    this.#siblings.runs.add(this);
    vm.posted.onActive.add(this.#watchPosted);
    if (vm.posted.active) this.#watchPosted();
    if (vm.hasKernelIrqchip) this.#siblings.timer ??= setInterval(lookAtHalted, haltCheckInterval, vm).unref();
    if (!this.paused) this.#enter();
  }

  /** The vCPU is out of the guest, with an exit that nobody has served yet. Whether it is to enter the guest again, at once. */
  exited(): boolean {
    const { u32 } = this;
    const kind = u32[kindAt];
    this.inSlice = this.devices.serving = true;
    this.#track?.exited();
    try {
      this.vcpu.exits.count(kind, u32[portAt]);
      if (!this.drainPosted()) this.#active = true;
      else if (kind === (ExitKind.Io as number)) this.access(u32[portAt], u32, this.ports);
      else if (kind !== interrupted) this.serve(kind);
    } catch (error) {
      this.fail(error);
    }
    this.inSlice = this.devices.serving = false;
    if (kind !== interrupted) this.#active = true;
    if (!this.ended && !this.waits && !this.#leaving) {
      this.#prepare();
      return true;
    }
    this.#track?.left(!this.parked);
    if (this.ended) this.settle();
    else if (this.waits) this.completeIfPaused();
    return false;
  }

  override end(end: RunEnd): void {
    if (!this.ended) this.#getOut();
    super.end(end);
  }

  override pause(): void {
    if (this.paused || this.settled) return;
    this.paused = true;
    this.#getOut();
    // The handler of the exit that it came out with may have resumed it.
    if (this.paused) this.completeIfPaused();
    else if (!this.waits) this.wake();
  }

  /** An interrupt that came during the pause, and was taken back, has woken nobody. */
  override resume(): void {
    if (this.source?.pending) this.halted = false;
    super.resume();
  }

  /** Asking would have to wait for the guest: {@link lookAtHalted} looks. */
  override isHalted(): boolean {
    return false;
  }

  override setReferenced(referenced: boolean): void {
    this.#runner.setReferenced(referenced);
  }

  /** Whether it has served nothing since the last call. */
  isQuiet(): boolean {
    const quiet = !this.#active && !this.waits;
    this.#active = false;
    return quiet;
  }

  /** Gets the guest out. True, and it stays out, when only another vCPU could wake it; false when it has gone on. */
  stayHalted(): boolean {
    this.#runner.hold();
    if (!this.#runner.takeExit()) return false;
    // One that has ended has an exit for the pump to settle it with: now it is taken. Posted writes are seen before the end.
    const idle = !this.ended && this.u32[kindAt] === interrupted && !this.vcpu.vm.posted.waiting;
    if (idle && this.staysHalted(true)) return true;
    if (this.exited()) addon().resumeSlot(this.#slot);
    return false;
  }

  /** After {@link stayHalted}. */
  goOn(): void {
    if (!this.waits) this.wake();
  }

  override fail(error: unknown): void {
    if (!this.ended) this.#getOut();
    super.fail(error);
  }

  protected override wake(): void {
    if (!this.inSlice && this.#runner.ready()) this.#enter();
  }

  protected override interruptPending(): void {
    this.interrupt = true;
    if (!this.paused) this.halted = false;
    if (this.inSlice || this.waits) return;
    if (this.#runner.ready()) this.#enter();
    else this.#runner.poke();
  }

  /** With an exit that waits for a handler of another vCPU to return, the pump settles. */
  protected override leave(): void {
    if (this.#runner.ready() || this.vcpu.closed) this.settle();
  }

  /** One whose exit waits for a handler of another vCPU to return is completed when that exit has been served. */
  protected override completeIfPaused(): void {
    if (this.#runner.ready()) super.completeIfPaused();
  }

  /** One may wait for a handler of another vCPU to return. */
  protected override get isServed(): boolean {
    return super.isServed && this.#runner.ready();
  }

  protected override checkEntry(): void {
    this.#runner.check();
  }

  protected override release(): void {
    this.vcpu.vm.posted.onActive.delete(this.#watchPosted);
    this.#runner.stop();
    this.#track?.left(!this.parked);
    this.#threads.runs.delete(this.#slot);
    const siblings = this.#siblings;
    siblings.runs.delete(this);
    if (siblings.runs.size > 0) return;
    clearInterval(siblings.timer);
    siblings.timer = undefined;
    clearInterval(siblings.posted);
    siblings.posted = undefined;
  }

  #enter(): void {
    this.#prepare();
    addon().resumeSlot(this.#slot);
  }

  /** Before each entry. */
  #prepare(): void {
    this.over = false;
    if (this.interrupt) this.deliver();
    this.#track?.entering();
  }

  /** Gets the guest out, and what it came out with served, unless a handler of the VM is at work: then the pump does that after it. */
  #getOut(): void {
    if (this.inSlice || this.settled) return;
    this.#runner.hold();
    if (this.devices.serving || this.vcpu.closed || !this.#runner.takeExit()) return;
    this.#leaving = true;
    this.exited();
    this.#leaving = false;
  }
}
