/**
 * The one place that loads the .node file, and its types. Loading happens at first use, never at import, so that a program can
 * import node-hax on any platform and ask `doctor()` why it will not run.
 */
import { closeSync, openSync } from 'node:fs';
import * as path from 'node:path';
import { HaxError, type HaxErrorCode } from '../util/errors';
import { candidates, loadFirst } from './locate';

export interface NativeCapabilities {
  backend: string;
  device: string;
  apiVersion: number;
  features: Record<string, { available: boolean; value: number; reason?: string }>;
}

/** The raw call of a device; a buffer must be as large as the request number says, null is no structure. What the call returned. */
type RawIoctl = (request: number, argument?: number | Uint8Array | null) => number;

/** Pages of a device, shared with it; they stay mapped until the buffer is collected. */
type MapDevice = (offset: number, length: number) => ArrayBuffer;

export interface NativeHypervisor {
  ioctl: RawIoctl;
  capabilities(): NativeCapabilities;
  /** Seven numbers an entry: function, index, flags, eax, ebx, ecx, edx. */
  supportedCpuid(): Uint32Array;
  createVm(kernelIrqchip: boolean, pit: boolean, type: number): NativeVm;
  close(): void;
}

export interface NativeMemory {
  read(offset: number, target: Uint8Array): void;
  write(offset: number, source: Uint8Array): void;
  buffer(offset: number, length: number): ArrayBuffer;
  close(): void;
}

export interface NativeVm {
  ioctl: RawIoctl;
  mapMemory(gpa: number, memory: NativeMemory, offset: number, size: number, readOnly: boolean): void;
  unmapMemory(gpa: number): void;
  createVcpu(id: number): NativeVcpu;
  setIrqLine(line: number, level: boolean): void;
  /** Writes to a range of ports or addresses wait in the ring from the next slice on, until unpost() with the same range. */
  post(port: boolean, first: number, last: number): void;
  unpost(port: boolean, first: number, last: number): void;
  /** Has reads of a byte from a port answered without JavaScript, from the next slice on, until unanswer(). */
  answer(port: number, value: number): void;
  unanswer(port: number): void;
  /** The ring, to be asked for once, after a post(). */
  postedRing(): ArrayBuffer;
  close(): void;
}

/** A descriptor of the operating system; closed by close() or when it is collected. */
export interface NativeDescriptor {
  ioctl: RawIoctl;
  map: MapDevice;
  number(): number;
  /** How many bytes; 0 when there is nothing to read now. */
  read(target: Uint8Array, offset?: number): number;
  write(source: Uint8Array): void;
  close(): void;
}

export interface NativeVcpu {
  ioctl: RawIoctl;
  map: MapDevice;
  /** The exit page and the state block; see layout.ts. */
  shared(): ArrayBuffer;
  enter(): void;
  complete(): void;
  kick(): void;
  getState(mask: number): void;
  setState(mask: number): void;
  /** Has these parts travel with each exit, so that getState() of them costs no call; where the device can. */
  syncState(mask: number): void;
  inject(vector: number): void;
  setCpuid(entries: Uint8Array): void;
  close(): void;
}

/** What a slice function returns: the guest can go on; it waits for wake(); it has ended. */
export const enum Next {
  GoOn = 0,
  Park = 1,
  End = 2,
}

export interface NativeSliceRunner {
  start(): void;
  stop(): void;
  wake(): void;
  /** Whether this run keeps the event loop alive. */
  setReferenced(referenced: boolean): void;
  /** The longest slice, in nanoseconds; `lateCap`: where a look at the clock has ended the one before after `cap`. */
  setCap(cap: number, lateCap: number): void;
  /** Whether the guest sleeps in its slices: others of the thread that do not have longer ones. */
  setIdle(idle: boolean): void;
}

/** A vCPU on a native thread of its own. Registers and memory may be looked at while it is not in the guest. */
export interface NativeThreadRunner {
  /** Makes the thread; the guest is entered at resumeSlot(). */
  start(): void;
  /** Gets the guest out and ends the thread. */
  stop(): void;
  /** Whether the guest is out and its last exit has been taken by nextExit() or takeExit(). */
  ready(): boolean;
  /** Has the guest come out as `interrupted` soon. */
  poke(): void;
  /** Gets the guest out and waits for that; its exit is in the queue. */
  hold(): void;
  /** Takes this vCPU's exit out of the queue; false when there is none. */
  takeExit(): boolean;
  /** Throws what entering the guest failed with, when the exit is of kind `none`. */
  check(): void;
  setReferenced(referenced: boolean): void;
}

/** What the threaded runs of a JavaScript thread have in common, also those of several copies of this package: its addon is one, with one pump. */
export interface SharedThreads {
  /** By their slots. */
  readonly runs: Map<number, { exited(): boolean }>;
  lastSlot: number;
  /** What nextExit() says and is told; asked for once, since it is one piece of memory. */
  readonly slots: Int32Array;
}

export interface Addon {
  initialize(makeError: (code: HaxErrorCode, message: string, operation: string, errno: number) => HaxError): void;
  backends(): string[];
  openHypervisor(backend: string): NativeHypervisor;
  allocateMemory(size: number): NativeMemory;
  /** Memory that must not move or go away, as guest memory: that of a shared WebAssembly.Memory. It is kept as long as it is mapped. */
  adoptMemory(bytes: Uint8Array): NativeMemory;
  /** Where the bytes are in this process, for structures that hold pointers. */
  addressOf(bytes: Uint8Array): bigint;
  /** How many of the bytes a connected socket takes without waiting; 0 where it takes none, for whatever reason. */
  sendNow(socket: number, bytes: Uint8Array): number;
  /** An eventfd that never blocks. */
  openEventfd(initial: number): NativeDescriptor;
  /** Anonymous memory of a fixed size. */
  openMemfd(size: number): NativeDescriptor;
  /** Takes over a descriptor that an ioctl has returned; nobody else may close it. */
  adoptDescriptor(number: number): NativeDescriptor;
  detach(buffer: ArrayBuffer): void;
  readonly loopIsAccessible: boolean;
  /** Calls back from the event loop while the descriptor has something to read; does not keep the loop alive. */
  readonly DescriptorWatch: new (descriptor: NativeDescriptor, callback: () => void) => { close(): void };
  readonly SliceRunner: new (vcpu: NativeVcpu, slice: () => Next, cap: number, lateCap: number) => NativeSliceRunner;
  /** One slice right now, of at most so many nanoseconds: where the loop is not accessible. */
  plainSlice(vcpu: NativeVcpu, slice: () => Next, length: number): Next;
  /** `slot` is what nextExit() says; `cpus` are the host's CPUs as 32-bit numbers, none for any. */
  readonly ThreadRunner: new (vcpu: NativeVcpu, slot: number, cpus: Uint8Array) => NativeThreadRunner;
  /** The function that serves exits of vCPU threads, called in the loop's check phase. */
  setPump(pump: () => void): void;
  /** Two 32-bit numbers: what nextExit() says, and the slot of a vCPU that it is to give to its thread first, 0 for none. */
  exitSlots(): ArrayBuffer;
  /** For lib/run/threaded.ts, which makes it. */
  threads?: SharedThreads;
  /** In the pump only. Says in exitSlots() whose exit is the next to serve, by slot; -1 when there is none or the loop wants a turn. */
  nextExit: () => void;
  /** Lets the thread of a vCPU enter the guest, if it is ready(). */
  resumeSlot(slot: number): void;
  /** Enters the vCPU of the slice in progress once; the exit page says what happened, `none` that checkRun() has an error to throw. */
  run: () => void;
  /** The same functions for compiled code to call without Node-API, for the versions of V8 in `fastCalls`; without those that it cannot have. */
  makeFast(): { run?: () => void; nextExit?: () => void };
  checkRun(): void;
}

const onLinux = process.platform === 'linux';
/** The table's hints are about KVM: these are for HAXM's device, */
const haxmHints: Partial<Record<HaxErrorCode, string>> = {
  ERR_HAX_NO_DEVICE: onLinux
    ? 'Load the driver: `modprobe haxm` (docs/backends/haxm.md tells where to get it).'
    : 'Install and load the driver (docs/backends/haxm.md tells where to get it).',
  ERR_HAX_NO_PERMISSION: onLinux
    ? 'Join the group of the device, for example `usermod -aG haxm $USER`, and log in again.'
    : 'Run as a user who may open the device.',
  ERR_HAX_UNSUPPORTED: 'Switch VT-x and NX on in the firmware, unload other hypervisors, and load the module haxm anew.',
  ERR_HAX_API_VERSION: 'Install HAXM 7.8.0 (docs/backends/haxm.md tells where to get it).',
};
/** and these for the nodes of VMs and vCPUs, which its driver makes and gives to whoever asked for them. */
const haxmNodeHints: Partial<Record<HaxErrorCode, string>> = {
  ERR_HAX_NO_DEVICE: "Give the process the host's /dev, in which the driver makes its nodes, and load the module haxm anew.",
  ERR_HAX_NO_PERMISSION:
    'Let nothing else, such as a rule of udev, set the owner of the nodes that the driver makes, and load the module haxm anew.',
};

function haxmHint(code: HaxErrorCode, message: string): string | undefined {
  if (/^(\/dev\/|\\\\\.\\)HAX\b/.test(message)) return haxmHints[code];
  return /^(\/dev\/|\\\\\.\\)hax_vm/.test(message) ? haxmNodeHints[code] : undefined;
}

function makeError(code: HaxErrorCode, message: string, operation: string, errno: number): HaxError {
  const backend = operation.startsWith('KVM_') ? 'kvm' : operation.startsWith('HAX_') ? 'haxm' : undefined;
  return new HaxError(code, message, { operation, backend, hint: haxmHint(code, message), ...(errno ? { errno } : {}) });
}

/** Versions of V8, as Node has them, whose fast calls are laid out as native/binding/fast_call.cc says: each is tested (docs/decisions/0006). */
const fastCalls = /^(11\.3|12\.4|13\.6|14\.6)\.[\d.]+-node\.\d+$/;

/** Whether run() may be called without Node-API: not in a runtime that only pretends to be Node, nor where HAX_PLAIN_CALLS asks not to. */
export function callsFast(versions: NodeJS.ProcessVersions, environment: NodeJS.ProcessEnv): boolean {
  return fastCalls.test(versions.v8) && !versions.bun && !environment.HAX_PLAIN_CALLS;
}

function load(file: string): Addon {
  // Where no descriptor is free this throws EMFILE. Without it Node would find no package of that name, and remember that for good.
  closeSync(openSync(file, 'r'));
  // Required here, not above: a program that only imports node-hax does not pay for it.
  const bindings = require('bindings') as (options: object) => Addon; // eslint-disable-line @typescript-eslint/no-require-imports
  const addon = bindings({ bindings: path.basename(file), module_root: path.dirname(file), try: [[file]] });
  addon.initialize(makeError);
  if (callsFast(process.versions, process.env)) Object.assign(addon, addon.makeFast());
  return addon;
}

let loaded: Addon | undefined;

/** The addon; throws ERR_HAX_NO_ADDON that names every file tried when none loads. */
export function addon(): Addon {
  loaded ??= loadFirst(candidates(), load);
  return loaded;
}
