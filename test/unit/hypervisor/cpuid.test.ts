import fc from 'fast-check';
import {
  checkCpuid,
  guestCpuid,
  packCpuid,
  packedGuestCpuid,
  unpackCpuid,
  vendor,
  type CpuidEntry,
  type GuestCpuidOptions,
} from '../../../lib/hypervisor/cpuid';
import { codeOf } from '../../support/codes';

function entry(leaf: number, index = 0, registers: Partial<CpuidEntry> = {}): CpuidEntry {
  return { function: leaf, index, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...registers };
}

const letters = (text: string): Pick<CpuidEntry, 'ebx' | 'edx' | 'ecx'> => {
  const bytes = Buffer.from(text);
  return { ebx: bytes.readUInt32LE(0), edx: bytes.readUInt32LE(4), ecx: bytes.readUInt32LE(8) };
};
const intel = entry(0, 0, { eax: 0x1f, ...letters('GenuineIntel') });
const amd = entry(0, 0, { eax: 0x10, ...letters('AuthenticAMD') });
const ones = { eax: 0xffffffff, ebx: 0xffffffff, ecx: 0xffffffff, edx: 0xffffffff };

const bit = (value: number, at: number): number => (value >>> at) & 1;
const find = (table: readonly CpuidEntry[], leaf: number, index = 0): CpuidEntry =>
  table.find((e) => e.function === leaf && e.index === index)!;

describe('vendor', () => {
  it('reads the letters of leaf 0', () => {
    expect([vendor([intel]), vendor([entry(1), amd]), vendor([])]).toEqual(['GenuineIntel', 'AuthenticAMD', '']);
  });
});

describe('guestCpuid', () => {
  it('takes the APIC away where AMD has its bit a second time, leaf 0x80000001', () => {
    const apic = (vendor: CpuidEntry, kernelApic: boolean): number =>
      bit(find(guestCpuid([vendor, entry(1, 0, ones), entry(0x80000001, 0, ones)], { apicId: 0, kernelApic }), 0x80000001).edx, 9);
    expect([apic(amd, true), apic(amd, false)]).toEqual([1, 0]);
  });

  it.each([
    ['an id that is none', { apicId: Symbol('id') }, /^apicId must be a whole number/],
    ['a number of vCPUs that is none', { cpus: '2' }, /^cpus must be a whole number/],
    ['what is not true or false', { kernelApic: 1 }, /^kernelApic must be true or false/],
    ['a slip', { cpu: 2 }, /^guestCpuid\(\) has no option "cpu"; it has apicId, cpus, kernelApic$/],
  ])('refuses %s', (_what, wrong, message) => {
    const options = { apicId: 0, kernelApic: true, ...wrong } as GuestCpuidOptions;
    expect(() => guestCpuid([intel], options)).toThrow(
      expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT', message: expect.stringMatching(message) }),
    );
  });

  it('leaves what it was given as it was', () => {
    const supported = [intel, entry(1, 0, ones), entry(4, 0, ones), entry(0xb), entry(0x80000008, 0, ones)];
    const copy = structuredClone(supported);
    const table = guestCpuid(supported, { apicId: 5, cpus: 8, kernelApic: true });
    expect(supported).toEqual(copy);
    expect(find(table, 0)).toEqual(intel);
  });

  it('puts APIC id and count into leaf 1, sets the hypervisor bit and takes MONITOR away', () => {
    for (const [apicId, cpus] of [
      [0, 1],
      [3, 4],
      [255, 300],
      [256, 300],
    ]) {
      const { ebx, ecx, edx } = find(guestCpuid([amd, entry(1, 0, { ebx: 0x11220800 })], { apicId, cpus, kernelApic: true }), 1);
      expect([ebx >>> 24, (ebx >>> 16) & 0xff, ebx & 0xffff]).toEqual([apicId & 0xff, Math.min(cpus, 255), 0x0800]);
      expect([bit(ecx, 31), bit(ecx, 3), bit(edx, 28)]).toEqual([1, 0, cpus > 1 ? 1 : 0]);
    }
    const all = find(guestCpuid([amd, entry(1, 0, ones)], { apicId: 0, kernelApic: true }), 1);
    expect([bit(all.ecx, 3), bit(all.edx, 28), bit(all.ecx, 24), bit(all.ecx, 21), bit(all.edx, 9)]).toEqual([0, 0, 1, 1, 1]);
  });

  it('promises no APIC where the kernel has none', () => {
    const table = guestCpuid([amd, entry(1, 0, ones), entry(0x40000001, 0, ones)], { apicId: 0, kernelApic: false });
    const { ecx, edx } = find(table, 1);
    expect([bit(ecx, 21), bit(ecx, 24), bit(edx, 9)]).toEqual([0, 0, 0]);
    // kvmclock (0, 3) stays, PV_EOI (6), PV_UNHALT (7) and MSI_EXT_DEST_ID (15) go.
    const features = find(table, 0x40000001).eax;
    expect([0, 3, 24].map((at) => bit(features, at))).toEqual([1, 1, 1]);
    expect([4, 5, 6, 7, 10, 11, 13, 14, 15].map((at) => bit(features, at))).toEqual(new Array(9).fill(0));
    expect(find(guestCpuid([amd, entry(0x40000001, 0, ones)], { apicId: 0, kernelApic: true }), 0x40000001).eax).toBe(0xffffffff);
  });

  it('describes single-threaded cores of one package in leaves 0xB and 0x1F', () => {
    const supported = [intel, entry(0xb), entry(0xb, 1, ones), entry(0x1f), entry(0x1f, 1), entry(0x1f, 2)];
    for (const [cpus, width] of [
      [1, 0],
      [2, 1],
      [5, 3],
      [8, 3],
      [9, 4],
    ]) {
      const table = guestCpuid(supported, { apicId: cpus - 1, cpus, kernelApic: true });
      for (const leaf of [0xb, 0x1f]) {
        expect(table.filter((e) => e.function === leaf)).toEqual([
          { function: leaf, index: 0, flags: 1, eax: 0, ebx: 1, ecx: 0x100, edx: cpus - 1 },
          { function: leaf, index: 1, flags: 1, eax: width, ebx: cpus, ecx: 0x201, edx: cpus - 1 },
          { function: leaf, index: 2, flags: 1, eax: 0, ebx: 0, ecx: 2, edx: cpus - 1 },
        ]);
      }
    }
    expect(guestCpuid([intel], { apicId: 0, kernelApic: true })).toEqual([intel]);
  });

  it('shares caches of level 3 among all cores and no others', () => {
    // Type 1 (data) level 1; type 3 (unified) level 2 and 3; type 0: no more caches.
    const caches = [0x21, 0x43, 0x63, 0].map((eax, index) => entry(4, index, { eax: eax === 0 ? 0 : (eax | 0xfc01c000) >>> 0, ebx: 7 }));
    const table = guestCpuid([intel, ...caches], { apicId: 0, cpus: 6, kernelApic: true });
    const sharing = [0, 1, 2].map((index) => (find(table, 4, index).eax >>> 14) & 0xfff);
    const cores = [0, 1, 2].map((index) => find(table, 4, index).eax >>> 26);
    expect([sharing, cores]).toEqual([
      [0, 0, 7],
      [7, 7, 7],
    ]);
    expect([find(table, 4, 0).eax & 0x3fff, find(table, 4, 0).ebx, find(table, 4, 3)]).toEqual([0x21, 7, caches[3]]);
    expect(find(guestCpuid([intel, ...caches], { apicId: 0, cpus: 200, kernelApic: true }), 4, 0).eax >>> 26).toBe(63);
  });

  it('takes away leaves and features that the machine lacks', () => {
    const dropped = [5, 9, 0xa, 0xf, 0x10, 0x12, 0x14, 0x17, 0x1b, 0x8000001d, 0x8000001e];
    const kept = [2, 3, 7, 0xd, 0x15, 0x16, 0x40000000, 0x80000000, 0x80000002, 0x80000007];
    const table = guestCpuid([intel, ...[...dropped, ...kept].map((leaf) => entry(leaf, 0, ones))], { apicId: 0, kernelApic: true });
    expect(table.map((e) => e.function)).toEqual([0, ...kept]);
    // SGX (2) and processor trace (25) of leaf 7; further indices are not features of it.
    expect(find(table, 7).ebx).toBe((0xffffffff & ~((1 << 2) | (1 << 25))) >>> 0);
    expect(find(guestCpuid([intel, entry(7, 1, ones)], { apicId: 0, kernelApic: true }), 7, 1).ebx).toBe(0xffffffff);
  });

  it("says of power management only that the kernel's APIC timer never stops", () => {
    const arat = (kernelApic: boolean): CpuidEntry => find(guestCpuid([intel, entry(6, 0, ones)], { apicId: 0, kernelApic }), 6);
    expect(arat(true)).toEqual(entry(6, 0, { eax: 4 }));
    expect(arat(false)).toEqual(entry(6));
  });

  it("says the same in AMD's leaves, and leaves Intel's alone", () => {
    const supported = (first: CpuidEntry): CpuidEntry[] => [first, entry(0x80000001, 0, ones), entry(0x80000008, 0, { ecx: 0x12345678 })];
    const several = guestCpuid(supported(amd), { apicId: 1, cpus: 6, kernelApic: true });
    expect([bit(find(several, 0x80000001).ecx, 1), bit(find(several, 0x80000001).ecx, 22)]).toEqual([1, 0]);
    expect(find(several, 0x80000008).ecx).toBe((3 << 12) | 5);
    const one = guestCpuid(supported(amd), { apicId: 0, cpus: 1, kernelApic: true });
    expect([bit(find(one, 0x80000001).ecx, 1), find(one, 0x80000008).ecx]).toEqual([0, 0]);
    expect(find(guestCpuid(supported(intel), { apicId: 0, cpus: 6, kernelApic: true }), 0x80000008).ecx).toBe(0x12345678);
    // The number of cores has eight bits.
    expect(find(guestCpuid(supported(amd), { apicId: 0, cpus: 300, kernelApic: true }), 0x80000008).ecx & 0xff).toBe(0xff);
  });

  it('gives unsigned registers, whatever it is given', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff });
    const leaf = fc.constantFrom(0, 1, 4, 7, 0xb, 0x1f, 0x40000001, 0x80000001, 0x80000008, 0x80000021);
    const any = fc.record({ function: leaf, index: fc.nat(3), flags: fc.nat(1), eax: word, ebx: word, ecx: word, edx: word });
    const options = fc.record({ apicId: fc.nat(0xffff), cpus: fc.integer({ min: 1, max: 0xffff }), kernelApic: fc.boolean() });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 20 }), options, (supported, wanted) => {
        const table = guestCpuid(supported, wanted);
        checkCpuid(table);
        expect(unpackCpuid(new Uint32Array(packCpuid(table).buffer))).toEqual(table);
      }),
    );
  });
});

describe('packed tables', () => {
  it('are seven words an entry', () => {
    const packed = packCpuid([entry(1, 2, { flags: 3, eax: 4, ebx: 5, ecx: 6, edx: 0xffffffff })]);
    expect([...new Uint32Array(packed.buffer)]).toEqual([1, 2, 3, 4, 5, 6, 0xffffffff]);
    expect(unpackCpuid(new Uint32Array(6))).toEqual([]);
  });

  it('are made once for each shape of machine', () => {
    const supported = [amd, entry(1)];
    const shape = { apicId: 0, cpus: 2, kernelApic: true };
    const table = packedGuestCpuid(supported, shape);
    expect(table).toEqual(packCpuid(guestCpuid(supported, shape)));
    expect(packedGuestCpuid(supported, { ...shape })).toBe(table);
    expect(packedGuestCpuid(supported, { ...shape, apicId: 1 })).not.toEqual(table);
    expect(packedGuestCpuid([...supported], shape)).not.toBe(table);
    for (let apicId = 0; apicId < 200; apicId++) packedGuestCpuid(supported, { ...shape, apicId });
    expect(packedGuestCpuid(supported, shape)).toBe(table);
    expect(packedGuestCpuid(supported, { ...shape, apicId: 199 })).toEqual(packCpuid(guestCpuid(supported, { ...shape, apicId: 199 })));
  });
});

describe('checkCpuid', () => {
  it('refuses what is no table', () => {
    const bad = [undefined, null, 5, 'x', {}, [5], [null], [{}], [entry(-1)], [entry(1, 0, { eax: 2 ** 32 })], [entry(0.5)]];
    expect(bad.map((table) => codeOf(() => checkCpuid(table)))).toEqual(bad.map(() => 'ERR_HAX_INVALID_ARGUMENT'));
    expect(codeOf(() => checkCpuid(new Array(257).fill(amd)))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => checkCpuid(new Array(256).fill(amd)))).toBeUndefined();
    expect(() => checkCpuid([{ ...amd, ecx: 'six' }])).toThrow(/ecx of a CPUID entry .* not "six"/);
  });
});
