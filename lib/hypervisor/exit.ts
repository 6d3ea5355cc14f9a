/**
 * What a guest stopped for. `Vcpu.enter()` gives one object again and again: it shows the last exit and is valid until the next call.
 */
import { inspect } from 'node:util';
import { exitKinds, exitPage, exitDataSize } from '../native/layout';
import { shown } from '../util/check';
import { invalidArgument } from '../util/errors';

/** From the guest: `in` is a read, which wants an answer; `out` is a write. */
export type IoDirection = 'in' | 'out';

/** Port I/O. An `in` wants its reply in `data` before the next entry; `count` is above 1 for string instructions. */
export interface IoExit {
  /** KVM_EXIT_IO; of HAXM IO. */
  readonly kind: 'io';
  /** 0 to 0xffff. */
  readonly port: number;
  /** Bytes of one element: 1, 2 or 4. */
  readonly size: number;
  /** Elements: 1, or what a string instruction (INS, OUTS) moves in one exit. */
  readonly count: number;
  /** `in`: the guest waits for `data`; `out`: it has written it. */
  readonly direction: IoDirection;
  /** size × count bytes, in the order of the transfer. */
  readonly data: Uint8Array;
}

/** An access to a guest-physical address without memory, or a write to read-only memory. */
export interface MmioExit {
  /** KVM_EXIT_MMIO; of HAXM FAST_MMIO. */
  readonly kind: 'mmio';
  /** Guest-physical address of the first byte. */
  readonly address: number;
  /** 1 to 8 bytes. */
  readonly size: number;
  /** `in`: the guest waits for `data`; `out`: it has written it. */
  readonly direction: IoDirection;
  /** `size` bytes, little endian; a read wants its reply here before the next entry. */
  readonly data: Uint8Array;
}

/** RDMSR (`in`) or WRMSR (`out`) of an MSR that was given to user space. Unanswered, the guest gets #GP. */
export interface MsrExit {
  /** KVM_EXIT_X86_RDMSR or KVM_EXIT_X86_WRMSR, told apart by `direction`. */
  readonly kind: 'msr';
  /** Number of the MSR: ECX. */
  readonly index: number;
  /** `in`: RDMSR; `out`: WRMSR. */
  readonly direction: IoDirection;
  /** Why it is given to user space: KVM_MSR_EXIT_REASON_INVAL 1, _UNKNOWN 2 or _FILTER 4. */
  readonly reason: number;
  /** What WRMSR writes; the reply to RDMSR, which counts once `fault` is false. */
  value: bigint;
  /** Whether the guest gets #GP: true until who answers sets it to false, for RDMSR and WRMSR alike. */
  fault: boolean;
}

/** A hypercall that was given to user space, KVM_CAP_EXIT_HYPERCALL; `result` is the reply, -1 unless changed. */
export interface HypercallExit {
  /** KVM_EXIT_HYPERCALL. */
  readonly kind: 'hypercall';
  /** KVM_HC_…: the hypercall, from RAX. */
  readonly number: number;
  /** Six; hypercalls have at most four, from RBX, RCX, RDX and RSI. */
  readonly arguments: readonly bigint[];
  /** Whether the caller was in 64-bit mode. */
  readonly longMode: boolean;
  /** The reply, put into RAX at the next entry. */
  result: bigint;
}

export interface DebugExit {
  /** KVM_EXIT_DEBUG; of HAXM DEBUG. */
  readonly kind: 'debug';
  /** The vector: 1, #DB, or 3, #BP. */
  readonly exception: number;
  /** The instruction: on KVM its linear address (CS base and RIP), on HAXM RIP. */
  readonly pc: bigint;
  /** DR6 of a #DB: which breakpoint was met, bits 0 to 3, or a single step, bit 14. */
  readonly dr6: bigint;
  /** DR7 of a #DB: which breakpoints are on. */
  readonly dr7: bigint;
}

/** `type` is KVM_SYSTEM_EVENT_SHUTDOWN 1, RESET 2, CRASH 3 … */
export interface SystemEventExit {
  /** KVM_EXIT_SYSTEM_EVENT. */
  readonly kind: 'system-event';
  /** KVM_SYSTEM_EVENT_…: what happened. */
  readonly type: number;
  /** Of kernels without KVM_CAP_SYSTEM_EVENT_DATA; elsewhere the first of `data`. */
  readonly flags: bigint;
  /** At most 16; what they mean depends on the type. */
  readonly data: readonly bigint[];
}

/** KVM_EXIT_MEMORY_FAULT: the guest's access to `size` bytes could not be resolved. Flag KVM_MEMORY_EXIT_FLAG_PRIVATE 8: to private memory. */
export interface MemoryFaultExit {
  /** KVM_EXIT_MEMORY_FAULT; of HAXM PAGEFAULT, after protectRam(). */
  readonly kind: 'memory-fault';
  /** Guest-physical address of the first byte. */
  readonly address: number;
  /** Bytes. */
  readonly size: bigint;
  /** KVM_MEMORY_EXIT_FLAG_PRIVATE 8, or 0: the access was to shared memory. On HAXM the word that the driver gives. */
  readonly flags: bigint;
}

/** The processor refused to enter the guest. */
export interface FailEntryExit {
  /** KVM_EXIT_FAIL_ENTRY; of HAXM UNKNOWN, and REALMODE where the processor lacks unrestricted guest mode. */
  readonly kind: 'fail-entry';
  /** The processor's code: with VMX the exit reason or VM-instruction error, with SVM EXITCODE. */
  readonly hardwareReason: bigint;
  /** The host's processor that refused; 0 on HAXM. */
  readonly cpu: number;
}

/** The hypervisor could not go on; for suberror 1 (emulation) with the instruction it did not know. */
export interface InternalErrorExit {
  /** KVM_EXIT_INTERNAL_ERROR. */
  readonly kind: 'internal-error';
  /** KVM_INTERNAL_ERROR_EMULATION 1, _SIMUL_EX 2, _DELIVERY_EV 3, _UNEXPECTED_EXIT_REASON 4. */
  readonly suberror: number;
  /** At most 16. */
  readonly data: readonly bigint[];
  /** Its bytes, 15 at most; empty where the hypervisor gives none. */
  readonly instruction: Uint8Array;
}

/** Ended from outside: `kick` by kick(), `slice` because the event loop has work. */
export interface InterruptedExit {
  /** No exit of the guest's: entering was cut short. */
  readonly kind: 'interrupted';
  /** Who ended it. */
  readonly reason: 'kick' | 'slice';
}

/** An exit that this version of node-hax does not know. */
export interface UnknownExit {
  /** None of the other kinds. */
  readonly kind: 'unknown';
  /** `kvm` or `haxm`: whose number `rawCode` is. */
  readonly backend: string;
  /** exit_reason of struct kvm_run, or the exit status in HAXM's tunnel. */
  readonly rawCode: number;
  /** What the device says about it: on KVM the 256 bytes of the union in struct kvm_run, elsewhere none. */
  readonly data: Uint8Array;
}

/** KVM_EXIT_EXCEPTION: an exception that the hypervisor hands over. No x86 kernel of today makes it. */
export interface ExceptionExit {
  /** KVM_EXIT_EXCEPTION. */
  readonly kind: 'exception';
  /** The vector, 0 to 31. */
  readonly exception: number;
  /** Its error code. */
  readonly errorCode: number;
}

/** KVM_EXIT_SET_TPR: the guest lowered CR8 and the interrupt controllers are not the kernel's. */
export interface SetTprExit {
  /** KVM_EXIT_SET_TPR. */
  readonly kind: 'set-tpr';
  /** The new priority, 0 to 15. */
  readonly cr8: bigint;
}

/** KVM_EXIT_TPR_ACCESS, after tprAccessReporting(): an access to the task priority register, at `rip`. */
export interface TprAccessExit {
  /** KVM_EXIT_TPR_ACCESS. */
  readonly kind: 'tpr-access';
  /** RIP of the access. */
  readonly rip: bigint;
  /** `in`: the guest reads; `out`: it writes. */
  readonly direction: IoDirection;
}

/** KVM_EXIT_IOAPIC_EOI: with the split interrupt controller, the guest has ended a level-triggered interrupt. */
export interface IoapicEoiExit {
  /** KVM_EXIT_IOAPIC_EOI. */
  readonly kind: 'ioapic-eoi';
  /** Vector of the interrupt that ended, 0 to 255. */
  readonly vector: number;
}

/**
 * KVM_EXIT_HYPERV. `type` 1: a SynIC MSR (`index`) was written; arguments are control, event page and message page. 2: a hypercall;
 * arguments are its input and two parameters, `result` is the reply, HV_STATUS_INVALID_HYPERCALL_CODE unless changed. 3: the debugger's MSR `index`; arguments are control, send, receive
 * and pending page, `result` is the status to give.
 */
export interface HypervExit {
  /** KVM_EXIT_HYPERV. */
  readonly kind: 'hyperv';
  /** KVM_EXIT_HYPERV_SYNIC 1, _HCALL 2, _SYNDBG 3. */
  readonly type: number;
  /** Number of the MSR; for types 1 and 3. */
  readonly index: number;
  /** Six words; how many count depends on the type. */
  readonly arguments: readonly bigint[];
  /** The reply, for types 2 and 3. */
  result: bigint;
}

/**
 * KVM_EXIT_XEN: a hypercall of a guest of Xen's interface (KVM_CAP_XEN_HVM with KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL). `type` is 1,
 * `number` the hypercall, `result` the reply, -ENOSYS unless changed; `cpl` is the guest's privilege level and `longMode` its ABI.
 */
export interface XenExit {
  /** KVM_EXIT_XEN. */
  readonly kind: 'xen';
  /** KVM_EXIT_XEN_HCALL 1. */
  readonly type: number;
  /** The hypercall, from RAX. */
  readonly number: number;
  /** Its parameters, six. */
  readonly arguments: readonly bigint[];
  /** The guest's privilege level, 0 to 3. */
  readonly cpl: number;
  /** True: the 64-bit ABI; false: the 32-bit one. */
  readonly longMode: boolean;
  /** The reply, put into RAX at the next entry. */
  result: bigint;
}

/** KVM_EXIT_NOTIFY: the guest let no event through for as long as KVM_CAP_X86_NOTIFY_VMEXIT allows. Flag 1: its context is invalid. */
export interface NotifyExit {
  /** KVM_EXIT_NOTIFY. */
  readonly kind: 'notify';
  /** KVM_NOTIFY_CONTEXT_INVALID 1, or 0. */
  readonly flags: bigint;
}

/** `nmi`: an NMI of the host. `dirty-ring-full`: harvest the ring before the next entry. `bus-lock`: KVM_CAP_X86_BUS_LOCK_EXIT was enabled. */
export interface PlainExit {
  /** KVM_EXIT_HLT, _IRQ_WINDOW_OPEN, _SHUTDOWN, _NMI, _DIRTY_RING_FULL, _X86_BUS_LOCK; HAXM has the first three. */
  readonly kind: 'hlt' | 'irq-window' | 'shutdown' | 'nmi' | 'dirty-ring-full' | 'bus-lock';
}

/** One of them, told apart by `kind`. */
export type Exit =
  | IoExit
  | MmioExit
  | MsrExit
  | HypercallExit
  | DebugExit
  | SystemEventExit
  | MemoryFaultExit
  | FailEntryExit
  | InternalErrorExit
  | InterruptedExit
  | UnknownExit
  | ExceptionExit
  | SetTprExit
  | TprAccessExit
  | IoapicEoiExit
  | HypervExit
  | XenExit
  | NotifyExit
  | PlainExit;

/** The members that each kind shows, for inspect and JSON. */
const members: Record<string, readonly Exclude<Extract<keyof ExitView, string>, 'toJSON'>[]> = {
  io: ['port', 'size', 'count', 'direction', 'data'],
  mmio: ['address', 'size', 'direction', 'data'],
  msr: ['index', 'direction', 'reason', 'value', 'fault'],
  hypercall: ['number', 'arguments', 'longMode', 'result'],
  debug: ['exception', 'pc', 'dr6', 'dr7'],
  'system-event': ['type', 'flags', 'data'],
  'memory-fault': ['address', 'size', 'flags'],
  'fail-entry': ['hardwareReason', 'cpu'],
  'internal-error': ['suberror', 'data', 'instruction'],
  interrupted: ['reason'],
  unknown: ['backend', 'rawCode', 'data'],
  exception: ['exception', 'errorCode'],
  'set-tpr': ['cr8'],
  'tpr-access': ['rip', 'direction'],
  'ioapic-eoi': ['vector'],
  hyperv: ['type', 'index', 'arguments', 'result'],
  xen: ['type', 'number', 'arguments', 'cpl', 'longMode', 'result'],
  notify: ['flags'],
};

/** Words of 64 bits that struct kvm_run has room for. */
const maxWords = 16;

function reply(value: unknown): bigint {
  if (typeof value !== 'bigint') throw invalidArgument(`a reply of 64 bits is a bigint, not ${shown(value)}`);
  return value;
}

/** The reused object behind {@link Exit}: every member reads the exit page. */
export class ExitView {
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;
  readonly #bytes: Uint8Array;

  constructor(
    shared: ArrayBuffer,
    readonly backend: string,
  ) {
    this.#u32 = new Uint32Array(shared);
    this.#u64 = new BigUint64Array(shared);
    this.#bytes = new Uint8Array(shared);
  }

  get kind(): string {
    return exitKinds[this.#u32[exitPage.kind / 4]] ?? 'unknown';
  }
  get port(): number {
    return this.#u32[exitPage.port / 4];
  }
  get size(): number | bigint {
    return this.kind === 'memory-fault' ? this.#detail(1) : this.#u32[exitPage.size / 4];
  }
  get count(): number {
    return this.#u32[exitPage.count / 4];
  }
  get direction(): IoDirection {
    return this.#u32[exitPage.direction / 4] === 0 ? 'in' : 'out';
  }
  get address(): number {
    return this.#u32[exitPage.address / 4] + this.#u32[exitPage.address / 4 + 1] * 2 ** 32;
  }
  get data(): Uint8Array | readonly bigint[] {
    const { kind } = this;
    if (kind === 'internal-error' || kind === 'system-event')
      return Array.from({ length: Math.min(this.count, maxWords) }, (_, i) => this.#u64[exitPage.data / 8 + i]);
    if (kind === 'unknown' && this.backend !== 'kvm') return new Uint8Array();
    const count = kind === 'io' ? this.count : 1;
    const length = Math.min(this.#u32[exitPage.size / 4] * count, exitDataSize);
    return this.#bytes.subarray(exitPage.data, exitPage.data + length);
  }
  get index(): number {
    return this.address;
  }
  get number(): number {
    return this.address;
  }
  get value(): bigint {
    return this.#detail(0);
  }
  set value(value: bigint) {
    this.#u64[exitPage.detail / 8] = reply(value);
  }
  get fault(): boolean {
    return this.#detail(1) !== 0n;
  }
  set fault(fault: boolean) {
    this.#u64[exitPage.detail / 8 + 1] = fault ? 1n : 0n;
  }
  get result(): bigint {
    return this.#detail(0);
  }
  set result(value: bigint) {
    this.#u64[exitPage.detail / 8] = reply(value);
  }
  get arguments(): readonly bigint[] {
    return Array.from({ length: 6 }, (_, i) => this.#detail(i + 1));
  }
  get exception(): number {
    return this.#subcode;
  }
  get pc(): bigint {
    return this.#detail(0);
  }
  get dr6(): bigint {
    return this.#detail(1);
  }
  get dr7(): bigint {
    return this.#detail(2);
  }
  get type(): number {
    return this.#subcode;
  }
  get flags(): bigint {
    return this.#detail(0);
  }
  get errorCode(): number {
    return Number(this.#detail(0));
  }
  get cr8(): bigint {
    return this.#detail(0);
  }
  get rip(): bigint {
    return this.#detail(0);
  }
  get vector(): number {
    return this.#subcode;
  }
  get hardwareReason(): bigint {
    return this.#detail(0);
  }
  get cpu(): number {
    return Number(this.#detail(1));
  }
  get cpl(): number {
    return Number(this.#detail(7) & 3n);
  }
  get longMode(): boolean {
    return this.#detail(7) >> 8n !== 0n;
  }
  get suberror(): number {
    return this.#subcode;
  }
  get instruction(): Uint8Array {
    const length = this.#u32[exitPage.instructionLength / 4];
    return this.#bytes.slice(exitPage.instruction, exitPage.instruction + Math.min(length, 15));
  }
  get reason(): 'kick' | 'slice' | number {
    if (this.kind === 'msr') return this.#subcode;
    return this.#subcode === 1 ? 'kick' : 'slice';
  }
  /** The backend's own number of the exit. */
  get rawCode(): number {
    return this.#u32[exitPage.rawCode / 4];
  }

  get #subcode(): number {
    return this.#u32[exitPage.subcode / 4];
  }
  #detail(index: number): bigint {
    return this.#u64[exitPage.detail / 8 + index];
  }

  /** A plain copy that stays valid. */
  toJSON(): Record<string, unknown> {
    const copy: Record<string, unknown> = { kind: this.kind };
    for (const member of members[this.kind] ?? []) {
      const value = this[member];
      copy[member] =
        value instanceof Uint8Array
          ? Array.from(value)
          : Array.isArray(value)
            ? value.map(String)
            : typeof value === 'bigint'
              ? String(value)
              : value;
    }
    return copy;
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }
}
