import { guestCpuid, realMode, type CpuidEntry, type VirtualMachine } from 'node-hax';
import { at, guestImage, loadGuest, ramSize } from '../support/guests';
import { describeEachBackend, itIf, itNeeds } from '../support/hosts';

type Registers = Pick<CpuidEntry, 'eax' | 'ebx' | 'ecx' | 'edx'>;

/** Pairs of EAX and ECX at 0x2000 each become four results 16 bytes behind; EAX of ffffffff ends the list. */
const reader = `mov bp, 0x2000; 1: mov eax, [bp]; cmp eax, -1; je 2f; mov ecx, [bp + 4]; cpuid
  mov [bp + 16], eax; mov [bp + 20], ebx; mov [bp + 24], ecx; mov [bp + 28], edx; add bp, 32; jmp 1b; 2: hlt`;

describeEachBackend(
  'CPUID as the guest reads it',
  (backend, host) => {
    /** What the guest on vCPU `id` of `cpus` gets from CPUID. */
    async function read(
      vm: VirtualMachine,
      queries: readonly (readonly [number, number])[],
      options: { id?: number; cpus?: number; cpuid?: CpuidEntry[] } = {},
    ): Promise<Registers[]> {
      vm.mapMemory({ gpa: 0, size: ramSize });
      const vcpu = vm.createVcpu(options);
      const image = guestImage('real', reader);
      loadGuest(vm, vcpu, { ...image, state: realMode({ ip: at.code }) });
      vcpu.mpState = 'runnable'; // vCPUs but the first wait for an INIT where the kernel has the APICs
      [...queries, [0xffffffff, 0]].forEach(([leaf, index], i) => {
        vm.memory.writeU32(0x2000 + 32 * i, leaf);
        vm.memory.writeU32(0x2004 + 32 * i, index);
      });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      const value = (i: number, at_: number): number => vm.memory.readU32(0x2010 + 32 * i + at_);
      return queries.map((_, i) => ({ eax: value(i, 0), ebx: value(i, 4), ecx: value(i, 8), edx: value(i, 12) }));
    }

    const supported = (): readonly CpuidEntry[] => backend.open().supportedCpuid();
    const has = (leaf: number): boolean => supported().some((entry) => entry.function === leaf);

    it('names the vendor of the processor, and the hypervisor', async () => {
      const [leaf0, leaf1, kvm] = await read(backend.vm(), [
        [0, 0],
        [1, 0],
        [0x40000000, 0],
      ]);
      const wanted = supported().find((entry) => entry.function === 0)!;
      expect(leaf0).toEqual({ eax: wanted.eax, ebx: wanted.ebx, ecx: wanted.ecx, edx: wanted.edx });
      expect(leaf1.ecx >>> 31).toBe(1);
      const name = Buffer.alloc(12);
      [kvm.ebx, kvm.ecx, kvm.edx].forEach((word, i) => name.writeUInt32LE(word, 4 * i));
      expect(name.toString('latin1').replaceAll('\0', '')).toBe('KVMKVMKVM');
    });

    it.each([
      [0, 1],
      [0, 4],
      [3, 4],
      [5, 6],
    ])('tells vCPU %i of %i who it is', async (id, cpus) => {
      for (const irqchip of host.can.kernelIrqchip ? (['user', 'kernel'] as const) : (['user'] as const)) {
        const [leaf1] = await read(backend.vm({ irqchip }), [[1, 0]], { id, cpus });
        expect(leaf1.ebx >>> 24).toBe(id);
        expect((leaf1.ebx >>> 16) & 0xff).toBe(cpus);
        // HTT: the field above counts.
        if (cpus > 1 || host.can.exactCpuid) expect((leaf1.edx >>> 28) & 1).toBe(cpus > 1 ? 1 : 0);
      }
    });

    for (const leaf of [0xb, 0x1f]) {
      itIf(has(leaf), 'this KVM supports no such leaf', `has the topology of the machine in leaf 0x${leaf.toString(16)}`, async () => {
        const [threads, cores, end] = await read(
          backend.vm(),
          [
            [leaf, 0],
            [leaf, 1],
            [leaf, 2],
          ],
          { id: 3, cpus: 6 },
        );
        expect(threads).toEqual({ eax: 0, ebx: 1, ecx: 0x100, edx: 3 });
        expect(cores).toEqual({ eax: 3, ebx: 6, ecx: 0x201, edx: 3 });
        expect([end.ebx & 0xffff, (end.ecx >>> 8) & 0xff, end.edx]).toEqual([0, 0, 3]);
      });
    }

    it('promises nothing that the machine lacks', async () => {
      const leaves = [5, 6, 9, 0xa, 0xf, 0x10, 0x12, 0x14];
      const maximum = supported().find((entry) => entry.function === 0)!.eax;
      const [leaf1, ...others] = await read(backend.vm(), [[1, 0], ...leaves.map((leaf) => [leaf, 0] as const)]);
      // MONITOR, x2APIC, TSC deadline.
      expect([3, 21, 24].map((bit) => (leaf1.ecx >>> bit) & 1)).toEqual([0, 0, 0]);
      leaves.forEach((leaf, i) => {
        if (leaf <= maximum) expect([leaf, others[i]]).toEqual([leaf, { eax: 0, ebx: 0, ecx: 0, edx: 0 }]);
      });
    });

    it('is the table that was given instead', async () => {
      const marker = { function: 0x40000100, index: 0, flags: 0, eax: 0x11223344, ebx: 1, ecx: 2, edx: 0xffffffff };
      const [own] = await read(backend.vm(), [[0x40000100, 0]], { cpuid: [...supported(), marker] });
      expect(own).toEqual({ eax: 0x11223344, ebx: 1, ecx: 2, edx: 0xffffffff });
    });

    itNeeds(host, 'exactCpuid', 'is what guestCpuid() made, entry by entry', async () => {
      const table = guestCpuid(supported(), { apicId: 0, cpus: 2, kernelApic: false });
      // Follow the state of the processor: OSXSAVE and APIC in leaf 1, OSPKE in leaf 7, the sizes in leaf 0xD; KVM's own leaves.
      const moving: Record<number, Partial<Registers>> = {
        1: { ecx: 1 << 27, edx: 1 << 9 },
        7: { ecx: 1 << 4 },
        0x80000001: { edx: 1 << 9 },
      };
      const fixed = table.filter((entry) => entry.function !== 0xd && entry.function >>> 16 !== 0x4000);
      const results = await read(
        backend.vm(),
        fixed.map((entry) => [entry.function, entry.index] as const),
        { id: 0, cpus: 2 },
      );
      const masked = (leaf: number, registers: Registers): unknown[] => [
        leaf.toString(16),
        ...(['eax', 'ebx', 'ecx', 'edx'] as const).map((name) => ((registers[name] & ~(moving[leaf]?.[name] ?? 0)) >>> 0).toString(16)),
      ];
      expect(results.map((registers, i) => masked(fixed[i].function, registers))).toEqual(
        fixed.map((entry) => masked(entry.function, entry)),
      );
    });
  },
  { needs: ['guests', 'vcpuCpuid'] },
);
