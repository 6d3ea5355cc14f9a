/** The requests of a vCPU's node, as `vcpu.haxm`. None of them while run() has the vCPU, but kick(). */
import { addon } from '../../native/addon';
import { checkBoolean, checkBytes } from '../../util/check';
import { HaxError } from '../../util/errors';
import { hex } from '../../util/numbers';
import { requireFeature, type Capabilities } from '../capabilities';
import { checkCpuid, type CpuidEntry } from '../cpuid';
import { Checker, type Unsigned } from './check';
import { maxCpuidEntries, packCpuidTable, unpackCpuidTable } from './cpuid';
import {
  haxmRegisterNames,
  haxmSegmentNames,
  packRegisters,
  stateSize,
  stateSizeWithXcr0,
  unpackRegisters,
  type HaxmRegisters,
} from './registers';
import { ours, requests, type Request } from './requests';
import { requireHaxm, send, type RawCaller } from './system';
import { msrBatch, packMsrs, structure, unpackMsrs, unpackTunnelInfo, type HaxmTunnelInfo } from './structures';
import { ioBufferSize, packTunnelChanges, unpackTunnel, type HaxmRun, type TunnelChanges } from './tunnel';

/** The parts of {@link HaxmDebugOptions.control}. */
export const debugControl = {
  /** Without it everything is off. */
  enabled: 1,
  /** A #DB exit after each instruction. */
  step: 2,
  /** INT3 (#BP) exits. */
  softwareBreakpoints: 4,
  /** `dr` is loaded, and its #DB exits; the guest's own writes of debug registers are ignored. */
  hardwareBreakpoints: 8,
} as const;

const ENOSYS = 38;
const EINVAL = 22;
const fxsaveSize = 512;
/** MXCSR in an FXSAVE image. */
const mxcsrAt = 24;
const pauseReason = 8;
/** SYSENTER_ESP and _EIP, LSTAR, CSTAR, and the bases of FS, GS and SWAPGS. */
const addressMsrs = new Set([0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102]);
/** The value in the record of an MMIO exit. */
const mmioValueAt = 8;

/** What HAX_IOCTL_VCPU_DEBUG takes. */
export interface HaxmDebugOptions {
  /** {@link debugControl}, added up; 0 switches everything off. */
  control: number;
  /** dr0–dr3 and dr7 of hardware breakpoints; only with the flag 8. */
  dr?:
    | {
        /** Linear address of breakpoint 0. */
        dr0?: Unsigned | undefined;
        /** Linear address of breakpoint 1. */
        dr1?: Unsigned | undefined;
        /** Linear address of breakpoint 2. */
        dr2?: Unsigned | undefined;
        /** Linear address of breakpoint 3. */
        dr3?: Unsigned | undefined;
        /** Which of them are on, for what accesses and lengths. */
        dr7?: Unsigned | undefined;
      }
    | undefined;
  /** 0, or left out. */
  reserved?: Unsigned | undefined;
}

/** A run, and the errno that the driver gave with it. */
export type HaxmRunResult = HaxmRun & {
  /** The errno of RUN: 22 where the processor refused the entry; otherwise undefined. */
  readonly errno?: number;
};

interface RawVcpu extends RawCaller {
  readonly vm: { readonly hypervisor: { readonly capabilities: Capabilities } };
  kick(): void;
}

/** HAXM's calls of a vCPU's node: `vcpu.haxm`. */
export class HaxmVcpu {
  /** What the driver has the address of: compiled code lets go of a local after its last use, and the collector frees it. */
  protected lent: Buffer | undefined;
  readonly #vcpu: RawVcpu;
  #stateSize: number | undefined;

  constructor(vcpu: RawVcpu) {
    requireHaxm(vcpu.vm.hypervisor.capabilities);
    this.#vcpu = vcpu;
  }

  /** HAX_VCPU_IOCTL_SETUP_TUNNEL: where the driver's pages are in this process; the same each time. */
  setupTunnel(): HaxmTunnelInfo {
    return unpackTunnelInfo(this.#call(requests.setupTunnel, structure(24)));
  }

  /**
   * HAX_VCPU_IOCTL_RUN, once: comes back on every interrupt of the host, with the driver's own status. A reply goes to reply() before the
   * next one. Do not mix it with enter() and run(), which keep replies of their own.
   */
  run(): HaxmRunResult {
    let errno: number | undefined;
    try {
      send(this.#vcpu, requests.run);
    } catch (error) {
      if (!(error instanceof HaxError) || error.errno !== EINVAL) throw error;
      errno = error.errno;
    }
    return { ...this.tunnel(), ...(errno === undefined ? {} : { errno }) };
  }

  /** What the last RUN ended with, again. */
  tunnel(): HaxmRun {
    return unpackTunnel(this.#call(ours.readTunnel, structure(ours.readTunnel.size)));
  }

  /** RUN with reason 8: what is outstanding is finished, the guest is not entered; the status is `paused`. Needs 7.5.4 or newer. */
  pause(): HaxmRunResult {
    this.#write({ exitReason: pauseReason });
    try {
      return this.run();
    } finally {
      // Otherwise each RUN would pause again.
      this.#write({ exitReason: 0 });
    }
  }

  /** Ends a RUN in progress, or the next one, within a tick of the host. */
  kick(): void {
    this.#vcpu.kick();
  }

  /** The data of an `in`: for `io` elements in ascending order of guest addresses, for `fast-mmio` the value. */
  reply(bytes: Uint8Array): void {
    const check = new Checker(requests.run);
    checkBytes(bytes, 'a reply');
    const last = this.tunnel();
    if (last.status === 'fast-mmio' && last.direction === 'in') {
      if (bytes.length > 8) check.refuse(`a reply to MMIO has at most 8 bytes, not ${bytes.length}`);
      this.#write({ buffer: { offset: mmioValueAt, bytes: Buffer.concat([bytes], 8) } });
      return;
    }
    if (last.status !== 'io' || last.direction !== 'in') check.refuse('the last exit wants no reply');
    if (bytes.length > ioBufferSize) check.refuse(`a reply has at most ${ioBufferSize} bytes, not ${bytes.length}`);
    this.#write({ buffer: { offset: 0, bytes } });
  }

  /** Ends RUN as soon as the guest takes interrupts. */
  set requestInterruptWindow(on: boolean) {
    checkBoolean(on, 'requestInterruptWindow');
    this.#write({ requestInterruptWindow: on });
  }

  /** HAX_VCPU_GET_REGS. Which of the two layouts the driver has is found out at the first call. */
  getRegs(): HaxmRegisters {
    return unpackRegisters(this.#getRegs());
  }

  /**
   * HAX_VCPU_SET_REGS: all of them, as getRegs() gives them. EFER and SYSENTER go by setMsrs(). It compares segments with those that the driver
   * has read last and skips what has not changed, so the driver is made to read them before.
   */
  setRegs(registers: HaxmRegisters): void {
    const check = new Checker(requests.setRegs);
    check.object(registers, 'what setRegs() takes');
    for (const name of haxmRegisterNames) check.unsigned(registers[name], name, 64);
    for (const name of haxmSegmentNames) {
      const { selector, base, limit, ar } = check.object(registers[name], name);
      check.unsigned(selector, `${name}.selector`, 16);
      check.unsigned(base, `${name}.base`, 64);
      check.unsigned(limit, `${name}.limit`, 32);
      check.unsigned(ar, `${name}.ar`, 17);
    }
    const { length } = this.#getRegs();
    this.#call(length === stateSize ? requests.setRegs : requests.setRegsWithXcr0, packRegisters(registers, length));
  }

  /** HAX_VCPU_IOCTL_GET_FPU: the FXSAVE image. */
  getFpu(): Uint8Array {
    return Uint8Array.from(this.#call(requests.getFpu, structure(fxsaveSize)));
  }

  /** HAX_VCPU_IOCTL_SET_FPU. The driver restores the image unseen: a reserved bit of MXCSR, which would crash the kernel, is refused. */
  setFpu(image: Uint8Array): void {
    const check = new Checker(requests.setFpu);
    checkBytes(image, 'an FXSAVE image');
    if (image.length !== fxsaveSize) check.refuse(`an FXSAVE image has ${fxsaveSize} bytes, not ${image.length}`);
    const bytes = Buffer.from(image);
    const mxcsr = bytes.readUInt32LE(mxcsrAt);
    if (mxcsr > 0xffff) check.refuse(`mxcsr has no bits above 15, not ${hex(mxcsr)}`);
    this.#call(requests.setFpu, bytes);
  }

  /** HAX_VCPU_IOCTL_GET_MSRS, 31 at a time: values up to the first that the driver refuses. */
  getMsrs(indices: readonly number[]): bigint[] {
    const check = new Checker(requests.getMsrs);
    const list = check.list(indices, 'indices').map((index) => [Number(check.unsigned(index, 'index', 32)), 0n] as const);
    const values: bigint[] = [];
    for (let at = 0; at < list.length; at += msrBatch) {
      const batch = list.slice(at, at + msrBatch);
      const done = unpackMsrs(this.#call(requests.getMsrs, packMsrs(batch)));
      values.push(...done);
      if (done.length < batch.length) break;
    }
    return values;
  }

  /**
   * HAX_VCPU_IOCTL_SET_MSRS, 31 at a time. The driver stops at one that it refuses and does not say so: `vcpu.setMsrs()` finds out. An address
   * that is not canonical, which the driver takes and dies of, is refused. getRegs() shows the base of GS that was set here when the guest has
   * run: use `vcpu.setMsrs()` for that one.
   */
  setMsrs(values: readonly (readonly [index: number, value: Unsigned])[]): void {
    const check = new Checker(requests.setMsrs);
    const list = check.list(values, 'values').map((pair) => {
      const [index, value] = check.list<Unsigned>(pair, 'an index and its value');
      const wide = check.unsigned(index, 'index', 32);
      const bits = check.unsigned(value, `MSR ${hex(wide)}`, 64);
      if (addressMsrs.has(Number(wide)) && BigInt.asUintN(64, BigInt.asIntN(48, bits)) !== bits)
        check.refuse(`MSR ${hex(wide)} must be a canonical address, not ${hex(bits)}`);
      return [Number(wide), bits] as const;
    });
    for (let at = 0; at < list.length; at += msrBatch) this.#call(requests.setMsrs, packMsrs(list.slice(at, at + msrBatch)));
  }

  /** HAX_VCPU_IOCTL_INTERRUPT: queues an external interrupt, which the guest takes as soon as it can. */
  interrupt(vector: number): void {
    const check = new Checker(requests.interrupt);
    this.#call(requests.interrupt, structure(4, [0, 4, check.unsigned(vector, 'vector', 8)]));
  }

  /** HAX_IOCTL_VCPU_DEBUG: single steps and breakpoints exit as `debug`. Without the flag 8 it clears the debug registers. */
  debug(options: HaxmDebugOptions): void {
    const check = new Checker(requests.debug);
    requireFeature(this.#vcpu.vm.hypervisor.capabilities, 'debug');
    const { control, dr = {}, reserved } = check.object(options, 'what debug() takes');
    const flags = Number(check.unsigned(control, 'control', 32));
    if ((flags & ~0xf) !== 0) check.refuse(`control has bits that the driver does not know: ${hex(flags)}`);
    if (flags !== 0 && (flags & debugControl.enabled) === 0) check.refuse(`control must have the flag 1 for any other, not ${hex(flags)}`);
    check.zero(reserved, 'reserved');
    const places = { dr0: 8, dr1: 16, dr2: 24, dr3: 32, dr7: 64 } as const;
    const given = Object.entries(check.object(dr, 'dr')).filter(([, value]) => value !== undefined);
    const fields = given.map(([name, value]) => {
      if (!(name in places)) check.refuse(`dr has no ${name}: the driver reads dr0 to dr3 and dr7`);
      const wide = check.unsigned(value, `dr.${name}`, 64);
      if (wide !== 0n && (flags & debugControl.hardwareBreakpoints) === 0) check.refuse(`dr.${name} needs the flag 8 in control`);
      return [places[name as keyof typeof places], 8, wide] as const;
    });
    this.#call(requests.debug, structure(72, [0, 4, BigInt(flags)], ...fields));
  }

  /** HAX_VCPU_IOCTL_GET_CPUID. Needs the capability `extendedCpuid`: on a processor with SMAP the call crashes the kernel. */
  getCpuid(): CpuidEntry[] {
    requireFeature(this.#vcpu.vm.hypervisor.capabilities, 'extendedCpuid');
    return unpackCpuidTable(this.#callWithTable(requests.getCpuid, packCpuidTable([], maxCpuidEntries)));
  }

  /** HAX_VCPU_IOCTL_SET_CPUID, for all vCPUs of the VM; replaces the leaves in the table. Needs `extendedCpuid`. */
  setCpuid(entries: readonly CpuidEntry[]): void {
    requireFeature(this.#vcpu.vm.hypervisor.capabilities, 'extendedCpuid');
    checkCpuid(entries);
    const check = new Checker(requests.setCpuid);
    if (entries.length === 0 || entries.length > maxCpuidEntries)
      check.refuse(`total must be from 1 to ${maxCpuidEntries} entries, not ${entries.length}`);
    this.#callWithTable(requests.setCpuid, packCpuidTable(entries));
  }

  #call(request: Request, bytes: Buffer): Buffer {
    send(this.#vcpu, request, bytes);
    return bytes;
  }

  /** The driver wants the address of a pointer. */
  #callWithTable(request: Request, table: Buffer): Buffer {
    this.lent = table;
    try {
      this.#call(request, structure(8, [0, 8, addon().addressOf(table)]));
      return table;
    } finally {
      this.lent = undefined;
    }
  }

  #write(changes: TunnelChanges): void {
    this.#call(ours.writeTunnel, packTunnelChanges(changes));
  }

  #getRegs(): Buffer {
    if (this.#stateSize !== stateSizeWithXcr0) {
      try {
        const bytes = this.#call(requests.getRegs, structure(stateSize));
        this.#stateSize = stateSize;
        return bytes;
      } catch (error) {
        if (this.#stateSize !== undefined || !(error instanceof HaxError) || error.errno !== ENOSYS) throw error;
      }
    }
    const bytes = this.#call(requests.getRegsWithXcr0, structure(stateSizeWithXcr0));
    this.#stateSize = stateSizeWithXcr0;
    return bytes;
  }
}
