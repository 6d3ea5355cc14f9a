/**
 * The CPUID table that a guest gets: what the hypervisor supports, made sane for one vCPU of a machine of ours.
 * Leaves are those of the Intel SDM vol. 2, CPUID, and AMD's APM vol. 3, appendix E.
 */

import { checkBoolean, checkNames, checkObject, shown } from '../util/check';
import { invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';

/** One entry of the table, as struct kvm_cpuid_entry2 has it. */
export interface CpuidEntry {
  /** The leaf: EAX at CPUID. */
  function: number;
  /** The subleaf: ECX at CPUID. */
  index: number;
  /** KVM_CPUID_FLAG_SIGNIFCANT_INDEX 1: `index` counts. */
  flags: number;
  /** EAX after CPUID, unsigned. */
  eax: number;
  /** EBX after CPUID, unsigned. */
  ebx: number;
  /** ECX after CPUID, unsigned. */
  ecx: number;
  /** EDX after CPUID, unsigned. */
  edx: number;
}

const words = 7;
/** KVM_MAX_CPUID_ENTRIES. */
const maxEntries = 256;

export function unpackCpuid(table: Uint32Array): CpuidEntry[] {
  const entries: CpuidEntry[] = [];
  for (let i = 0; i + words <= table.length; i += words) {
    entries.push({
      function: table[i],
      index: table[i + 1],
      flags: table[i + 2],
      eax: table[i + 3],
      ebx: table[i + 4],
      ecx: table[i + 5],
      edx: table[i + 6],
    });
  }
  return entries;
}

const parts = ['function', 'index', 'flags', 'eax', 'ebx', 'ecx', 'edx'] as const;

/** Throws ERR_HAX_INVALID_ARGUMENT unless `entries` is a list of entries with all their parts. */
export function checkCpuid(entries: unknown): void {
  if (!Array.isArray(entries) || entries.length > maxEntries) {
    throw invalidArgument(
      `a CPUID table is an array of at most ${maxEntries} entries, not ${Array.isArray(entries) ? entries.length : shown(entries)}`,
    );
  }
  for (const entry of entries as Partial<Record<string, unknown>>[]) {
    checkObject(entry, 'an entry of a CPUID table');
    for (const part of parts) checkInteger(entry[part], `${part} of a CPUID entry`, 0, 0xffffffff);
  }
}

export function packCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const table = new Uint32Array(entries.length * words);
  entries.forEach((e, i) => table.set([e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx], i * words));
  return new Uint8Array(table.buffer);
}

/** For whom guestCpuid() makes the table. */
export interface GuestCpuidOptions {
  /** APIC id of this vCPU. */
  apicId: number;
  /** vCPUs of the machine; 1 by default. They appear as cores of one package, one thread each. */
  cpus?: number | undefined;
  /** Whether the guest has the kernel's local APIC: x2APIC, the TSC deadline timer and KVM's paravirtual interrupts need it. */
  kernelApic: boolean;
}

const guestCpuidNames: Record<keyof GuestCpuidOptions, true> = { apicId: true, cpus: true, kernelApic: true };

/** Leaf 1. */
const leaf1 = { ecxMonitor: 1 << 3, ecxX2apic: 1 << 21, ecxTscDeadline: 1 << 24, ecxHypervisor: 1 << 31, edxApic: 1 << 9, edxHtt: 1 << 28 };
/** Leaf 6, EAX: the local APIC's timer runs at a constant rate in every power state. */
const leaf6Arat = 1 << 2;
/** KVM_FEATURE bits of leaf 0x40000001 (Documentation/virt/kvm/x86/cpuid.rst) that need the kernel's local APIC. */
const kvmApicFeatures =
  (1 << 4) | // KVM_FEATURE_ASYNC_PF
  (1 << 5) | // KVM_FEATURE_STEAL_TIME
  (1 << 6) | // KVM_FEATURE_PV_EOI
  (1 << 7) | // KVM_FEATURE_PV_UNHALT
  (1 << 10) | // KVM_FEATURE_ASYNC_PF_VMEXIT
  (1 << 11) | // KVM_FEATURE_PV_SEND_IPI
  (1 << 13) | // KVM_FEATURE_PV_SCHED_YIELD
  (1 << 14) | // KVM_FEATURE_ASYNC_PF_INT
  (1 << 15); // KVM_FEATURE_MSI_EXT_DEST_ID

/** Leaves whose contents describe the host's own sharing of caches and threads, or hardware that no guest of ours has. */
const droppedLeaves = new Set([
  0x5, // MONITOR/MWAIT: exits or is a no-op under a hypervisor
  0x9, // direct cache access
  0xa, // performance monitoring: no PMU is promised
  0xf, // resource monitoring
  0x10, // resource allocation
  0x12, // SGX
  0x14, // processor trace
  0x17, // SoC vendor
  0x1b, // PCONFIG
]);

function bitsFor(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1);
}

/**
 * The table for one vCPU out of what the hypervisor supports. Vendor leaves stay as they are; APIC ids go into leaves 1, 0xB and
 * 0x1F and the topology says `cpus` single-threaded cores; the hypervisor bit is set; leaves that promise what the machine lacks go.
 */
export function guestCpuid(supported: readonly CpuidEntry[], options: GuestCpuidOptions): CpuidEntry[] {
  checkCpuid(supported);
  checkObject(options, 'what guestCpuid() takes');
  checkNames(options, guestCpuidNames, 'guestCpuid()');
  checkInteger(options.apicId, 'apicId', 0, 0xffffffff);
  checkInteger(options.cpus ?? 1, 'cpus', 1, 0xffff);
  checkBoolean(options.kernelApic, 'kernelApic');
  return makeSane(supported, options);
}

function makeSane(supported: readonly CpuidEntry[], options: GuestCpuidOptions): CpuidEntry[] {
  const { apicId, cpus = 1, kernelApic } = options;
  const amd = vendor(supported) !== 'GenuineIntel';
  const out: CpuidEntry[] = [];
  const topologyLeaves = new Set<number>();
  for (const entry of supported) {
    if (droppedLeaves.has(entry.function)) continue;
    if (entry.function === 0xb || entry.function === 0x1f) {
      topologyLeaves.add(entry.function);
      continue;
    }
    const e = { ...entry };
    switch (e.function) {
      case 1:
        // EBX: initial APIC id 31:24, logical processors of the package 23:16, CLFLUSH 15:8, brand 7:0.
        e.ebx = ((apicId << 24) | (Math.min(cpus, 255) << 16) | (e.ebx & 0xffff)) >>> 0;
        e.edx = (cpus > 1 ? e.edx | leaf1.edxHtt : e.edx & ~leaf1.edxHtt) >>> 0;
        e.ecx = ((e.ecx | leaf1.ecxHypervisor) & ~leaf1.ecxMonitor) >>> 0;
        if (kernelApic) e.ecx = (e.ecx | leaf1.ecxTscDeadline) >>> 0;
        else {
          // The machine has no local APIC at all: a guest that saw one would wait for its timer.
          e.ecx = (e.ecx & ~(leaf1.ecxX2apic | leaf1.ecxTscDeadline)) >>> 0;
          e.edx = (e.edx & ~leaf1.edxApic) >>> 0;
        }
        break;
      case 4:
        // EAX 31:26 cores of the package, 25:14 logical processors that share the cache, both less one; level 3 is everybody's.
        if ((e.eax & 0x1f) !== 0) {
          const level = (e.eax >>> 5) & 7;
          const sharing = level >= 3 ? (1 << bitsFor(cpus)) - 1 : 0;
          e.eax = ((e.eax & 0x3fff) | (sharing << 14) | ((Math.min(1 << bitsFor(cpus), 64) - 1) << 26)) >>> 0;
        }
        break;
      case 6:
        // Of power management only ARAT, EAX 2: the kernel's APIC timer never stops. Linux does not stop its tick when idle without it.
        Object.assign(e, { eax: kernelApic ? leaf6Arat : 0, ebx: 0, ecx: 0, edx: 0 });
        break;
      case 7:
        // SGX and processor trace have lost their leaves above.
        if (e.index === 0) e.ebx = (e.ebx & ~((1 << 2) | (1 << 25))) >>> 0;
        break;
      case 0x40000001:
        if (!kernelApic) e.eax = (e.eax & ~kvmApicFeatures) >>> 0;
        break;
      case 0x80000001:
        // CmpLegacy (ECX 1) and TopologyExtensions (ECX 22) go with the leaves that explain them.
        e.ecx = (e.ecx & ~((1 << 22) | (cpus > 1 ? 0 : 1 << 1))) >>> 0;
        if (amd && cpus > 1) e.ecx = (e.ecx | (1 << 1)) >>> 0;
        // Where AMD repeats bits of leaf 1; reserved on Intel.
        if (!kernelApic) e.edx = (e.edx & ~leaf1.edxApic) >>> 0;
        break;
      case 0x80000008:
        // ECX: cores of the package less one 7:0, APIC id width 15:12.
        e.ecx = amd ? ((bitsFor(cpus) << 12) | (Math.min(cpus, 256) - 1)) >>> 0 : e.ecx;
        break;
      case 0x8000001d:
      case 0x8000001e:
        continue; // AMD's cache and node topology: the host's, and no longer announced
    }
    out.push(e);
  }
  for (const leaf of topologyLeaves) out.push(...topology(leaf, apicId, cpus));
  return out;
}

/** Tables kept for each supported set: programs open and close VMs of one shape. */
const maxTables = 64;
const tables = new WeakMap<readonly CpuidEntry[], Map<string, Uint8Array>>();

/** {@link guestCpuid} as packCpuid() gives it; made once for each shape of machine, since it costs more than the rest of a vCPU. Not to be changed. */
export function packedGuestCpuid(supported: readonly CpuidEntry[], options: GuestCpuidOptions): Uint8Array {
  const known = tables.get(supported) ?? new Map<string, Uint8Array>();
  tables.set(supported, known);
  const shape = `${options.apicId} ${options.cpus ?? 1} ${options.kernelApic}`;
  let table = known.get(shape);
  if (!table) {
    table = packCpuid(makeSane(supported, options));
    if (known.size < maxTables) known.set(shape, table);
  }
  return table;
}

/** Leaves 0xB and 0x1F: level 0 one thread a core, level 1 all cores, then the end. EDX is the x2APIC id everywhere. */
function topology(leaf: number, apicId: number, cpus: number): CpuidEntry[] {
  const threads = 1; // level type SMT
  const cores = 2; // level type core
  return [
    { function: leaf, index: 0, flags: 1, eax: 0, ebx: 1, ecx: (threads << 8) | 0, edx: apicId },
    { function: leaf, index: 1, flags: 1, eax: bitsFor(cpus), ebx: cpus, ecx: (cores << 8) | 1, edx: apicId },
    { function: leaf, index: 2, flags: 1, eax: 0, ebx: 0, ecx: 2, edx: apicId },
  ];
}

/** The twelve letters of leaf 0: EBX, EDX, ECX. */
export function vendor(entries: readonly CpuidEntry[]): string {
  const leaf0 = entries.find((e) => e.function === 0);
  if (!leaf0) return '';
  const text = Buffer.alloc(12);
  text.writeUInt32LE(leaf0.ebx >>> 0, 0);
  text.writeUInt32LE(leaf0.edx >>> 0, 4);
  text.writeUInt32LE(leaf0.ecx >>> 0, 8);
  return text.toString('latin1');
}
