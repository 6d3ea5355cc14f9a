/** Registers of a vCPU: the parts that are moved together, and a view that reads them when it is asked. */
import { exitPage, fxsaveSize, maxMsrs, msrSize, stateBlock, StateMask } from '../native/layout';
import type { NativeVcpu } from '../native/addon';
import { checkBytes, checkList, checkObject, shown } from '../util/check';
import type { CpuState, CpuStateInit, GeneralRegister } from '../util/cpu-state';
import { generalRegisters, interruptFlag } from '../util/cpu-state';
import { invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';
import { checkMsr, msrRefused, shownState, StateView } from './state';

/** KVM_MP_STATE_…: what a vCPU does while it executes nothing. */
export const mpStates = ['runnable', 'uninitialized', 'init-received', 'halted', 'sipi-received'] as const;
/** What a vCPU does while it executes nothing; KVM_MP_STATE_…. */
export type MpState = (typeof mpStates)[number];

type GeneralRegisters = Pick<CpuState, GeneralRegister>;
type SystemRegisters = Omit<CpuState, GeneralRegister>;

/** A vCPU's state by the parts in which a device moves it. */
export interface VcpuState {
  /** rax to r15, rip, rflags; KVM_GET_REGS. */
  general: GeneralRegisters;
  /** Segments, tables, control registers; KVM_GET_SREGS. */
  system: SystemRegisters;
  /** The FXSAVE image, 512 bytes; KVM_GET_XSAVE. */
  fpu: Uint8Array;
  /** KVM_GET_MP_STATE. */
  mpState: MpState;
  /** Index and value of the MSRs asked for; KVM_GET_MSRS. */
  msrs: readonly (readonly [index: number, value: bigint])[];
}

/** The names of the parts. */
export type StatePart = keyof VcpuState;

/** What setParts() takes: parts left out, and registers left out of a part, stay as they are. */
export interface VcpuStateInit {
  /** rax to r15, rip, rflags; KVM_SET_REGS. */
  readonly general?: Pick<CpuStateInit, GeneralRegister> | undefined;
  /** Segments, tables, control registers; KVM_SET_SREGS. */
  readonly system?: Omit<CpuStateInit, GeneralRegister> | undefined;
  /** An FXSAVE image, 512 bytes; KVM_SET_XSAVE. */
  readonly fpu?: Uint8Array | undefined;
  /** KVM_SET_MP_STATE. */
  readonly mpState?: MpState | undefined;
  /** Index and value of at most 128 MSRs; KVM_SET_MSRS. */
  readonly msrs?: Iterable<readonly [index: number, value: number | bigint]> | undefined;
}

const masks: Record<StatePart, StateMask> = {
  general: StateMask.General,
  system: StateMask.System,
  fpu: StateMask.Fpu,
  mpState: StateMask.Mp,
  msrs: StateMask.Msrs,
};

/** General registers that are fetched once after each exit, when the first of them is read; writing one tells the device at once. */
export type RegistersView = { [R in GeneralRegister]: bigint };

/** Moves the parts named between the device and the block of memory shared with it. */
export class VcpuParts {
  readonly #state: StateView;
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;
  /** Entries at which the general registers were fetched; a part of the exit page that each entry changes. */
  #fetchedAt = -1;
  #view: RegistersView | undefined;

  constructor(
    private readonly native: NativeVcpu,
    private readonly shared: ArrayBuffer,
    private readonly backend: string,
  ) {
    this.#state = new StateView(shared);
    this.#u32 = new Uint32Array(shared);
    this.#u64 = new BigUint64Array(shared);
  }

  /** Registers may have changed behind the view's back. */
  forget(): void {
    this.#fetchedAt = -1;
  }

  get view(): RegistersView {
    return (this.#view ??= this.#makeView());
  }

  registers(): CpuState {
    this.native.getState(StateMask.General | StateMask.System);
    return this.#state.read();
  }

  position(): { rip: bigint; rflags: bigint } {
    this.native.getState(StateMask.General);
    return { rip: this.#state.general('rip'), rflags: this.#state.general('rflags') };
  }

  setRegisters(state: CpuStateInit): void {
    const mask = StateMask.General | StateMask.System;
    this.native.getState(mask);
    this.#state.write(state);
    this.#set(mask);
  }

  get<P extends StatePart>(parts: readonly P[], msrs: readonly number[]): Pick<VcpuState, P> {
    if (!Array.isArray(parts) || parts.some((part: unknown) => typeof part !== 'string' || !Object.hasOwn(masks, part)))
      throw invalidArgument(`parts of the state are ${Object.keys(masks).join(', ')}, not ${shown(parts)}`);
    checkList(msrs, 'the indices of MSRs');
    this.#putMsrs(parts.includes('msrs') ? msrs.map((index) => checkMsr(index, 0n)) : []);
    // Which has the vCPU take a start-up IPI that waits for it.
    if (parts.includes('mpState')) this.forget();
    this.native.getState((parts as P[]).reduce((mask, part) => mask | masks[part], 0));
    if (parts.includes('msrs')) this.#checkMoved(msrs, false);
    const state = parts.some((part) => part === 'general' || part === 'system') ? this.#state.read() : {};
    const read: { [Part in StatePart]: () => VcpuState[Part] } = {
      general: () => this.#only(state, isGeneral) as GeneralRegisters,
      system: () => this.#only(state, (name) => !isGeneral(name)) as SystemRegisters,
      fpu: () => new Uint8Array(this.shared, stateBlock.fxsave, fxsaveSize).slice(),
      mpState: () => mpStates[this.#state.mpState] ?? 'runnable',
      msrs: () => msrs.map((index, i) => [index, this.#u64[(stateBlock.msrs + i * msrSize) / 8 + 1]]),
    };
    return Object.fromEntries((parts as P[]).map((part) => [part, read[part]()])) as Pick<VcpuState, P>;
  }

  set(state: VcpuStateInit): void {
    checkObject(state, 'what setParts() takes');
    const parts = (Object.keys(state) as StatePart[]).filter((part) => state[part] !== undefined);
    const strange = parts.find((part) => !Object.hasOwn(masks, part));
    if (strange !== undefined) throw invalidArgument(`parts of the state are ${Object.keys(masks).join(', ')}, not ${shown(strange)}`);
    const mask = parts.reduce((all, part) => all | masks[part], 0);
    const registers = mask & (StateMask.General | StateMask.System);
    const mp = state.mpState === undefined ? undefined : mpNumber(state.mpState);
    const msrs = state.msrs === undefined ? undefined : checkMsrList(state.msrs);
    if (state.fpu !== undefined) checkFpu(state.fpu);
    checkPart(state, 'general', isGeneral);
    checkPart(state, 'system', (name) => !isGeneral(name));
    if (registers !== 0) this.native.getState(registers);
    this.#state.write({ ...state.general, ...state.system });
    if (state.fpu !== undefined) new Uint8Array(this.shared, stateBlock.fxsave, fxsaveSize).set(state.fpu);
    if (mp !== undefined) this.#state.mpState = mp;
    if (msrs) this.#putMsrs(msrs);
    this.#set(mask);
    if (msrs) this.#checkMoved(msrs.map(([index]) => index), true); // prettier-ignore
  }

  /** Has parts travel with each exit. */
  sync(parts: readonly StatePart[]): void {
    if (!Array.isArray(parts) || parts.some((part) => part !== 'general' && part !== 'system'))
      throw invalidArgument(`parts that travel with exits are general and system, not ${shown(parts)}`);
    this.native.syncState((parts as StatePart[]).reduce((mask, part) => mask | masks[part], 0));
  }

  #only(state: object, wanted: (name: string) => boolean): unknown {
    return shownState(Object.fromEntries(Object.entries(state).filter(([name]) => wanted(name))));
  }

  #set(mask: number): void {
    this.forget();
    this.native.setState(mask);
    // It is of the last exit, and the run loop would inject by it.
    if (mask & StateMask.General && !(this.#state.general('rflags') & interruptFlag)) this.#u32[exitPage.interruptReady / 4] = 0;
  }

  #putMsrs(list: readonly (readonly [number, bigint])[]): void {
    checkInteger(list.length, 'the number of MSRs', 0, maxMsrs);
    list.forEach(([index, value], i) => {
      this.#u32[(stateBlock.msrs + i * msrSize) / 4] = index;
      this.#u64[(stateBlock.msrs + i * msrSize) / 8 + 1] = value;
    });
    this.#u32[stateBlock.msrCount / 4] = list.length;
  }

  #checkMoved(indices: readonly number[], set: boolean): void {
    const done = this.#u32[stateBlock.msrCount / 4];
    if (done < indices.length) throw msrRefused(indices[done], set, this.backend);
  }

  #makeView(): RegistersView {
    const view = shownState({});
    const at = (i: number): number => stateBlock.general / 8 + i;
    generalRegisters.forEach((name, i) => {
      Object.defineProperty(view, name, {
        enumerable: true,
        get: () => {
          const entries = this.#u32[exitPage.entries / 4];
          if (entries !== this.#fetchedAt) {
            this.native.getState(StateMask.General);
            this.#fetchedAt = entries;
          }
          return this.#u64[at(i)];
        },
        set: (value: number | bigint) => {
          this.native.getState(StateMask.General);
          this.#state.write({ [name]: value ?? (null as never) });
          this.#set(StateMask.General);
        },
      });
    });
    // A register that is written wrong, or has no name here such as eax, is not to become a property of its own.
    return Object.preventExtensions(view) as RegistersView;
  }
}

function isGeneral(name: string): boolean {
  return generalRegisters.includes(name as never);
}

/** A register in the wrong part would be dropped. */
function checkPart(state: VcpuStateInit, part: 'general' | 'system', isOfPart: (name: string) => boolean): void {
  const registers = state[part];
  if (registers === undefined) return;
  checkObject(registers, `the part ${part} of the state`);
  const strange = Object.keys(registers).find((name) => !isOfPart(name));
  if (strange !== undefined) throw invalidArgument(`the part ${part} of the state has no register '${strange}'`);
}

function mpNumber(state: MpState): number {
  const value = mpStates.indexOf(state);
  if (value < 0) throw invalidArgument(`an MP state is one of ${mpStates.join(', ')}, not ${shown(state)}`);
  return value;
}

function checkFpu(image: Uint8Array): void {
  checkBytes(image, 'an FXSAVE image');
  if (image.length !== fxsaveSize) throw invalidArgument(`an FXSAVE image has ${fxsaveSize} bytes, not ${image.length}`);
}

function checkMsrList(values: VcpuStateInit['msrs']): [number, bigint][] {
  checkObject(values, 'a list of MSRs');
  if (typeof values![Symbol.iterator] !== 'function' || ArrayBuffer.isView(values))
    throw invalidArgument('MSRs are a list of pairs of index and value');
  const list = Array.from(values!, (pair): [number, bigint] => {
    if (!Array.isArray(pair)) throw invalidArgument(`MSRs are pairs of index and value, not ${shown(pair)}`);
    return checkMsr(pair[0], pair[1]);
  });
  checkInteger(list.length, 'the number of MSRs', 0, maxMsrs);
  return list;
}
