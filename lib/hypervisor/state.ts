/** Registers between the shared state block and objects. */
import { inspect } from 'node:util';
import { segmentSize, stateBlock } from '../native/layout';
import { reasonOf, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { hex } from '../util/numbers';
import {
  controlRegisters,
  generalRegisters,
  segmentRegisters,
  type CpuState,
  type CpuStateInit,
  type DescriptorTable,
  type Segment,
} from '../util/cpu-state';

/** Shown in hex; JSON gives numbers as hex strings, which setState() takes. */
class Registers {
  toJSON(): unknown {
    return JSON.parse(
      JSON.stringify(Object.fromEntries(Object.entries(this)), (_, value: unknown) =>
        typeof value === 'bigint' || typeof value === 'number' ? hex(value) : value,
      ),
    );
  }

  [inspect.custom](_depth: number, options: object): string {
    let registers: unknown;
    try {
      registers = this.toJSON();
    } catch (error) {
      return `CpuState <${reasonOf(error)}>`; // a view of a vCPU that is closed, or in its guest: printing it is no error
    }
    return `CpuState ${inspect(registers, { ...options, depth: 3 }).replace(/'(0x[0-9a-f]+)'/g, '$1')}`;
  }
}

/** Some registers, or those that another thread has sent, which are plain data: to be shown as getState() shows all. */
export function shownState<T extends Partial<CpuState>>(registers: T): T {
  return Object.assign(new Registers(), registers);
}

const tables = ['gdt', 'idt'] as const;
const segmentParts = ['base', 'limit', 'selector', 'attributes'];
const tableParts = ['base', 'limit'];
const known = new Set<string>([...generalRegisters, ...segmentRegisters, ...controlRegisters, ...tables]);

function register(value: unknown, name: string, bits = 64): bigint {
  const whole = typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'bigint';
  if (whole || (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value))) {
    const wide = BigInt(value as number | bigint | string);
    if (wide >= 0n && wide < 1n << BigInt(bits)) return wide;
  }
  throw invalidArgument(`register ${name} takes an unsigned ${bits}-bit number or bigint, not ${shown(value)}`);
}

/** Reads and writes the state block through typed arrays made once. */
export class StateView {
  readonly #u64: BigUint64Array;
  readonly #u32: Uint32Array;

  constructor(shared: ArrayBuffer) {
    this.#u64 = new BigUint64Array(shared);
    this.#u32 = new Uint32Array(shared);
  }

  get mpState(): number {
    return this.#u32[stateBlock.mpState / 4];
  }
  set mpState(value: number) {
    this.#u32[stateBlock.mpState / 4] = value;
  }

  general(name: (typeof generalRegisters)[number]): bigint {
    return this.#u64[stateBlock.general / 8 + generalRegisters.indexOf(name)];
  }

  read(): CpuState {
    const state = new Registers() as unknown as Record<string, unknown>;
    generalRegisters.forEach((name, i) => (state[name] = this.#u64[stateBlock.general / 8 + i]!));
    segmentRegisters.forEach((name, i) => (state[name] = this.#segment(stateBlock.segments + i * segmentSize)));
    for (const name of tables) state[name] = this.#table(stateBlock[name]);
    for (const name of controlRegisters) state[name] = this.#u64[stateBlock[name] / 8]!;
    return state as unknown as CpuState;
  }

  /** Checks everything, then changes the block: a refused value leaves it as it was. */
  write(init: CpuStateInit): void {
    const writes: (() => void)[] = [];
    const put64 = (offset: number, value: bigint): void => void writes.push(() => (this.#u64[offset / 8] = value));
    const put32 = (offset: number, value: bigint): void => void writes.push(() => (this.#u32[offset / 4] = Number(value)));
    for (const [name, value] of Object.entries(init) as [string, unknown][]) {
      if (value === undefined) continue;
      if (!known.has(name)) throw invalidArgument(`there is no register '${name}'; the names are ${[...known].join(', ')}`);
      const general = generalRegisters.indexOf(name as never);
      const segment = segmentRegisters.indexOf(name as never);
      if (general >= 0) put64(stateBlock.general + general * 8, register(value, name));
      else if (name in stateBlock && !tables.includes(name as never)) put64(stateBlock[name as 'cr0'], register(value, name));
      else {
        if (typeof value !== 'object' || value === null)
          throw invalidArgument(`${name} takes an object with its parts, not ${shown(value)}`);
        const parts = value as { [key: string]: unknown };
        const wanted = segment >= 0 ? segmentParts : tableParts;
        const strange = Object.keys(parts).find((part) => !wanted.includes(part));
        if (strange !== undefined) throw invalidArgument(`${name} has no part '${strange}'; its parts are ${wanted.join(', ')}`);
        const offset = segment >= 0 ? stateBlock.segments + segment * segmentSize : stateBlock[name as 'gdt'];
        const limitBits = segment >= 0 ? 32 : 16;
        if (parts.base !== undefined) put64(offset, register(parts.base, `${name}.base`));
        if (parts.limit !== undefined) put32(offset + 8, register(parts.limit, `${name}.limit`, limitBits));
        if (segment >= 0 && parts.attributes !== undefined) put32(offset + 12, register(parts.attributes, `${name}.attributes`, 17));
        if (segment >= 0 && parts.selector !== undefined) put32(offset + 16, register(parts.selector, `${name}.selector`, 16));
      }
    }
    for (const write of writes) write();
  }

  #segment(offset: number): Segment {
    const at = offset / 4;
    return {
      base: this.#u64[offset / 8],
      limit: this.#u32[at + 2],
      selector: this.#u32[at + 4],
      attributes: this.#u32[at + 3],
    };
  }

  #table(offset: number): DescriptorTable {
    return { base: this.#u64[offset / 8], limit: this.#u32[offset / 4 + 2] };
  }
}

/** MSR indices are 32-bit, values 64-bit; throws ERR_HAX_INVALID_ARGUMENT that names the index. */
export function checkMsr(index: unknown, value: unknown): [number, bigint] {
  return [Number(register(index, 'index of an MSR', 32)), register(value, `MSR ${typeof index === 'number' ? hex(index) : ''}`)];
}

/** The list stops at the first MSR that the device refuses. */
export function msrRefused(index: number, set: boolean, backend: string): HaxError {
  const operation = `${backend === 'haxm' ? 'HAX_VCPU_IOCTL' : 'KVM'}_${set ? 'SET' : 'GET'}_MSRS`;
  return new HaxError('ERR_HAX_IOCTL', `the hypervisor refuses MSR ${hex(index)}`, { operation, backend });
}
