import { channel } from 'node:diagnostics_channel';
import { addon } from '../../native/addon';
import { checkBytes, shown } from '../../util/check';
import { HaxError, invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { findCall, type Scope } from './calls';
import { decode, encode, sizeOf, type Input } from './codec';
import { capabilities, requests, type CapabilityName, type RequestName, type StructName, type StructTypes } from './generated/uapi';

/** What an ioctl is made on. */
export interface Node {
  ioctl(request: number, argument?: number | Uint8Array | null): number;
}

/** One made call, as subscribers of the diagnostics channel `node-hax:kvm` get it; `error` is undefined for a good one. */
export interface CallMade {
  /** What the call was made on. */
  readonly scope: Scope;
  /** The ioctl's name in <linux/kvm.h>. */
  readonly request: RequestName;
  /** What the method throws. */
  readonly error: HaxError | undefined;
}

const made = channel('node-hax:kvm');
const ENOTTY = 25;
const E2BIG = 7;
/** The kernel moves as many bytes as the attribute has, whatever the caller believes: 8 at most on x86. */
const attributeRoom = 4096;

/** Asks a node for capabilities; what is there stays there. */
export class Extensions {
  readonly #present = new Set<CapabilityName>();

  constructor(private readonly node: Node) {}

  value(name: CapabilityName): number {
    if (typeof name !== 'string' || !Object.hasOwn(capabilities, name))
      throw invalidArgument(`there is no capability ${shown(name)}; names are the kernel's KVM_CAP_…`);
    return this.node.ioctl(requests.KVM_CHECK_EXTENSION, capabilities[name]);
  }

  /** Throws ERR_HAX_UNSUPPORTED that names the capability unless it is there. */
  require(name: CapabilityName, call: string): void {
    if (this.#present.has(name)) return;
    if (this.value(name) <= 0) throw unsupported(call, name);
    this.#present.add(name);
  }
}

function unsupported(call: string, capability?: CapabilityName, cause?: unknown): HaxError {
  const reason = capability ? `this kernel reports no ${capability}` : 'this kernel does not know the call';
  return new HaxError('ERR_HAX_UNSUPPORTED', `${call}: ${reason}`, {
    operation: call,
    backend: 'kvm',
    cause,
    ...(capability ? { hint: `Ask hypervisor.kvm.checkExtension('${capability}') first.` } : {}),
  });
}

/** Where bytes are in this process, for structures that hold pointers. */
export function addressOf(bytes: Uint8Array): bigint {
  return addon().addressOf(bytes);
}

/** What the classes of all scopes are built from. */
export abstract class KvmCalls {
  /** Holds on to what the kernel has an address of: compiled code lets go of a local after its last use, and the collector frees it. */
  protected lent: unknown;

  constructor(
    /** What the calls are made on. */
    protected readonly node: Node,
    private readonly scope: Scope,
    /** What KVM_CHECK_EXTENSION says of it. */
    protected readonly extensions: Extensions,
  ) {}

  /**
   * Makes a call of the table. Throws ERR_HAX_UNSUPPORTED with the capability's name where the kernel has it not, and ERR_HAX_IOCTL with
   * the call's name and errno where it refuses.
   */
  protected call(request: RequestName, argument?: number | Uint8Array | null): number {
    const known = findCall(this.scope, request);
    let error: HaxError | undefined;
    try {
      if (known?.capability) this.extensions.require(known.capability, request);
      return this.node.ioctl(requests[request], argument);
    } catch (cause) {
      if (!(cause instanceof HaxError)) throw cause;
      error = named(cause, request, known?.capability);
      throw error;
    } finally {
      if (made.hasSubscribers) made.publish({ scope: this.scope, request, error } satisfies CallMade);
    }
  }

  /** A call with a structure that the kernel fills. */
  protected read<S extends StructName>(request: RequestName, struct: S): StructTypes[S] {
    const bytes = new Uint8Array(sizeOf(struct));
    this.call(request, bytes);
    return decode(struct, bytes);
  }

  /** A call with a structure that the kernel takes. */
  protected write<S extends StructName>(request: RequestName, struct: S, value: Input<StructTypes[S]>): number {
    return this.call(request, encode(struct, value));
  }

  /** The same with a structure that has the address of `lent`, or of what is in it. */
  protected lend<S extends StructName>(lent: unknown, request: RequestName, struct: S, value: Input<StructTypes[S]>): number {
    this.lent = lent;
    try {
      return this.write(request, struct, value);
    } finally {
      this.lent = undefined;
    }
  }

  /**
   * A call that fills a list behind a header whose first 32 bits are its length: asked with ever more room, since the kernel answers
   * E2BIG. `entrySize` bytes an entry.
   */
  protected readList(
    request: RequestName,
    header: number,
    entrySize: number,
    first = 64,
  ): {
    /** Header and entries; there may be room behind them. */
    bytes: Uint8Array;
    /** Entries that the kernel filled. */
    count: number;
  } {
    for (let room = first; ; room *= 2) {
      const bytes = new Uint8Array(header + room * entrySize);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, room, true);
      try {
        this.call(request, bytes);
        return { bytes, count: view.getUint32(0, true) };
      } catch (error) {
        if (!(error instanceof HaxError) || error.errno !== E2BIG || room >= 0x10000) throw error;
      }
    }
  }

  /** KVM_GET_DEVICE_ATTR of this node: the value's bytes. */
  protected readAttribute(group: number, attr: number | bigint, size: number): Uint8Array {
    checkInteger(size, 'size of an attribute', 0, 0xffff);
    const value = new Uint8Array(Math.max(size, attributeRoom));
    this.lend(value, 'KVM_GET_DEVICE_ATTR', 'kvm_device_attr', { group, attr, addr: addressOf(value) });
    return value.slice(0, size);
  }

  /** KVM_SET_DEVICE_ATTR with the bytes of the attribute. */
  protected writeAttribute(group: number, attr: number | bigint, value: Uint8Array): void {
    checkBytes(value, 'value of an attribute');
    const bytes = new Uint8Array(Math.max(value.length, attributeRoom));
    if (value.length > 0) bytes.set(value); // one that is detached cannot be read at all
    this.lend(bytes, 'KVM_SET_DEVICE_ATTR', 'kvm_device_attr', { group, attr, addr: value.length > 0 ? addressOf(bytes) : 0n });
  }

  /** KVM_HAS_DEVICE_ATTR. */
  protected askAttribute(group: number, attr: number | bigint): boolean {
    const bytes = encode('kvm_device_attr', { group, attr, addr: 0n });
    try {
      this.call('KVM_HAS_DEVICE_ATTR', bytes);
      return true;
    } catch (error) {
      if (error instanceof HaxError && error.code === 'ERR_HAX_IOCTL') return false;
      throw error;
    }
  }
}

function named(error: HaxError, request: RequestName, capability?: CapabilityName): HaxError {
  if (error.code === 'ERR_HAX_IOCTL' && error.errno === ENOTTY) return unsupported(request, capability, error);
  if (error.errno === undefined) return error;
  return new HaxError(error.code, error.message.replace(/^ioctl/, request), {
    operation: request,
    errno: error.errno,
    backend: 'kvm',
    cause: error,
  });
}
