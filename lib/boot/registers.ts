/** Complete initial register states for the three ways into a guest; `apicBase` and `cr8` stay as the local APIC has them. */
import { generalRegisters } from '../util/cpu-state';
import type { CpuStateInit, GeneralRegister, Segment } from '../util/cpu-state';
import { checkNames, checkObject, shown } from '../util/check';
import { invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';

type FullSegment = Omit<Segment, 'base'> & { base: number };

// Access rights in the layout of Intel SDM vol. 3, table 24-2; all present, DPL 0, accessed.
const realModeCode = 0x009b;
const realModeData = 0x0093;
const code32 = 0xc09b; // execute/read, D = 1, G = 1
const code64 = 0xa09b; // execute/read, L = 1, G = 1
const data32 = 0xc093; // read/write, B = 1, G = 1
const busyTss = 0x008b;
const presentLdt = 0x0082;

/** Linux's __BOOT_CS and __BOOT_DS (Documentation/arch/x86/boot.rst, "32-bit Boot Protocol"); {@link bootGdt} describes them. */
export const bootCs = 0x10;
export const bootDs = 0x18;

const cr0 = { pe: 1, et: 1 << 4, ne: 1 << 5, pg: 2 ** 31 } as const;
const cr4 = { pae: 1 << 5 } as const;
const efer = { lme: 1 << 8, lma: 1 << 10 } as const;

/** Only the bit that always reads as 1; interrupts off. */
const initialRflags = 2;

/** Where a guest in real mode begins. */
export interface RealModeOptions {
  /** Offset of the first instruction in the code segment, 0 to 0xffff. */
  readonly ip: number;
  /** Selector of the code segment; its base is 16 times that. 0 by default. */
  readonly cs?: number | undefined;
  /** Selector of ds, es, fs and gs. 0 by default. */
  readonly ds?: number | undefined;
  /** Selector of the stack segment. 0 by default. */
  readonly ss?: number | undefined;
  /** Offset of the top of the stack in its segment. 0 by default. */
  readonly sp?: number | undefined;
}

const realModeNames: Record<keyof RealModeOptions, true> = { ip: true, cs: true, ds: true, ss: true, sp: true };

/**
 * Real mode at cs:ip, every other general register 0, interrupts off, the interrupt table at 0.
 * Every segment is set with base = selector × 16 and limit 0xffff, because a vCPU after reset has cs.base at ffff0000.
 */
export function realMode(options: RealModeOptions): CpuStateInit {
  checkObject(options, 'what realMode() takes');
  checkNames(options, realModeNames, 'realMode()');
  const { ip, cs = 0, ds = 0, ss = 0, sp = 0 } = options;
  for (const [name, value] of Object.entries({ ip, cs, ds, ss, sp })) checkInteger(value, name, 0, 0xffff);
  const data = realModeSegment(ds, realModeData);
  const segments = { cs: realModeSegment(cs, realModeCode), ds: data, es: data, fs: data, gs: data, ss: realModeSegment(ss, realModeData) };
  const tables = { gdt: { base: 0, limit: 0xffff }, idt: { base: 0, limit: 0xffff } };
  return merge(general({ rip: ip, rsp: sp }), segments, systemSegments, tables, control({ cr0: cr0.et }));
}

/** A table of segment descriptors in guest memory. */
export interface GdtLocation {
  /** Linear address of the table. */
  readonly base: number;
  /** Size in bytes less 1. */
  readonly limit: number;
}

/** Where a guest in 32-bit protected mode begins. */
export interface Flat32Options {
  /** Linear address of the first instruction, below 4 GiB. */
  readonly ip: number;
  /** Linear address of the top of the stack, below 4 GiB. 0 by default. */
  readonly sp?: number | undefined;
  /** Where {@link bootGdt} was written. Without it the guest must load a GDT of its own before it loads a segment register. */
  readonly gdt?: GdtLocation | undefined;
}

const flat32Names: Record<keyof Flat32Options, true> = { ip: true, sp: true, gdt: true };

/** 32-bit protected mode without paging: flat 4 GiB segments, every other general register 0, interrupts off, no IDT. */
export function flat32(options: Flat32Options): CpuStateInit {
  checkObject(options, 'what flat32() takes');
  checkNames(options, flat32Names, 'flat32()');
  const { ip, sp = 0, gdt = noTable } = options;
  checkInteger(ip, 'ip', 0, 0xffffffff);
  checkInteger(sp, 'sp', 0, 0xffffffff);
  const controls = control({ cr0: cr0.pe | cr0.et });
  return merge(general({ rip: ip, rsp: sp }), flatSegments(code32), systemSegments, { gdt, idt: noTable }, controls);
}

/** Where a guest in 64-bit mode begins. */
export interface Long64Options {
  /** Linear address of the first instruction, mapped by the page tables at `cr3`. A bigint for what a number does not hold: a kernel in the upper half. */
  readonly ip: number | bigint;
  /** Linear address of the top of the stack. 0 by default. */
  readonly sp?: number | bigint | undefined;
  /** Guest-physical address of the PML4, page aligned. */
  readonly cr3: number;
  /** Where {@link bootGdt} was written. Without it the guest must load a GDT of its own before it loads a segment register or returns by IRETQ. */
  readonly gdt?: GdtLocation | undefined;
}

const long64Names: Record<keyof Long64Options, true> = { ip: true, sp: true, cr3: true, gdt: true };

/** 64-bit mode with the page tables given: flat segments, every other general register 0, interrupts off, no IDT. */
export function long64(options: Long64Options): CpuStateInit {
  checkObject(options, 'what long64() takes');
  checkNames(options, long64Names, 'long64()');
  const { ip, sp = 0, cr3, gdt = noTable } = options;
  checkInteger(cr3, 'cr3', 0, Number.MAX_SAFE_INTEGER);
  for (const [name, value] of Object.entries({ ip, sp })) checkLinear(value, name);
  const controls = control({ cr0: cr0.pg + (cr0.ne | cr0.et | cr0.pe), cr3, cr4: cr4.pae, efer: efer.lme | efer.lma });
  return merge(general({ rip: ip, rsp: sp }), flatSegments(code64), systemSegments, { gdt, idt: noTable }, controls);
}

/**
 * The table of the segments that {@link flat32} and {@link long64} begin with, 32 bytes: two unused entries, then flat code at selector 0x10 and flat
 * data at 0x18 (descriptor format: Intel SDM vol. 3, 3.4.5). `vm.memory.write(base, bootGdt(64))` and `gdt: { base, limit: 31 }`.
 */
export function bootGdt(mode: 32 | 64): Uint8Array {
  if (mode !== 32 && mode !== 64) throw invalidArgument(`bootGdt() takes 32 or 64, not ${shown(mode)}`);
  const table = Buffer.alloc(32);
  table.writeBigUInt64LE(flatDescriptor(mode === 64 ? code64 : code32), bootCs);
  table.writeBigUInt64LE(flatDescriptor(data32), bootDs);
  return table;
}

/** Limit fffff in pages, base 0; the access rights go to bits 47:40 and 55:52. */
function flatDescriptor(attributes: number): bigint {
  const limit = 0x000f00000000ffffn;
  return limit | (BigInt(attributes & 0xff) << 40n) | (BigInt(attributes >> 12) << 52n);
}

const noTable = { base: 0, limit: 0 } as const;

const systemSegments = {
  tr: { base: 0, limit: 0xffff, selector: 0, attributes: busyTss },
  ldt: { base: 0, limit: 0xffff, selector: 0, attributes: presentLdt },
} as const satisfies CpuStateInit;

function checkLinear(value: unknown, name: string): void {
  if (typeof value !== 'bigint') checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER);
  else if (value < 0n || value >> 64n !== 0n) throw invalidArgument(`${name} must be an unsigned number of 64 bits, not ${shown(value)}`);
}

function general(set: { [R in GeneralRegister]?: number | bigint }): CpuStateInit {
  const state: CpuStateInit = {};
  for (const register of generalRegisters) state[register] = 0;
  state.rflags = initialRflags;
  return Object.assign(state, set);
}

/** Not by spreading: V8 makes a hidden class anew for each object of this size that is spread, and keeps it until a full collection. */
function merge(state: CpuStateInit, ...parts: readonly CpuStateInit[]): CpuStateInit {
  for (const part of parts) Object.assign(state, part);
  return state;
}

function control(set: { cr0: number; cr3?: number; cr4?: number; efer?: number }): CpuStateInit {
  return { cr2: 0, cr3: 0, cr4: 0, efer: 0, ...set };
}

function realModeSegment(selector: number, attributes: number): FullSegment {
  return { base: selector * 16, limit: 0xffff, selector, attributes };
}

function flatSegments(codeAttributes: number): CpuStateInit {
  const data: FullSegment = { base: 0, limit: 0xffffffff, selector: bootDs, attributes: data32 };
  return { cs: { ...data, selector: bootCs, attributes: codeAttributes }, ds: data, es: data, fs: data, gs: data, ss: data };
}
