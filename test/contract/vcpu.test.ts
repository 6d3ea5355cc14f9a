import { inspect } from 'node:util';
import fc from 'fast-check';
import { flat32, long64, realMode, type CpuState, type CpuStateInit, type Vcpu } from 'node-hax';
import { codeOf } from '../support/codes';
import { at, generalRegisters, kicksTooMany } from '../support/guests';
import { describeEachBackend, itIf, itNeeds } from '../support/hosts';

const data = ['ds', 'es', 'fs', 'gs'] as const;
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** The parts of a state that differ. */
function changes(before: CpuState, after: CpuState): string[] {
  return (Object.keys(before) as (keyof CpuState)[]).filter((name) => inspect(before[name]) !== inspect(after[name]));
}

describeEachBackend('vCPU', (backend, host) => {
  it('is made with the lowest number not yet given, or the one asked for', () => {
    const vm = backend.vm();
    const [first, fifth, second] = [vm.createVcpu(), vm.createVcpu({ id: 5 }), vm.createVcpu()];
    expect([first.id, fifth.id, second.id]).toEqual([0, 5, 1]);
    expect(vm.vcpus).toEqual([first, fifth, second]);
    expect(first.vm).toBe(vm);
    // A device gives no number twice.
    first.close();
    expect(vm.vcpus).toEqual([fifth, second]);
    expect(vm.createVcpu().id).toBe(2);
    expect(codeOf(() => vm.createVcpu({ id: 0 }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('refuses numbers that exist, that are no numbers and that are beyond the device', () => {
    const vm = backend.vm();
    vm.createVcpu({ id: 3 });
    const refused = (id: unknown): string | undefined => codeOf(() => vm.createVcpu({ id: id as number }));
    expect(() => vm.createVcpu({ id: 3 })).toThrow('this VM has, or had, a vCPU with the id 3: each id is good for one');
    expect([-1, 0.5, NaN, 0xffff, 2 ** 32, '1', null, 1n].map(refused)).toEqual(new Array(8).fill('ERR_HAX_INVALID_ARGUMENT'));
    expect(refused(0xfffe)).toBe('ERR_HAX_IOCTL');
    expect(vm.vcpus.map(({ id }) => id)).toEqual([3]);
    expect(vm.createVcpu().id).toBe(0);
  });

  it('comes in numbers', () => {
    const vm = backend.vm();
    const count = Math.min(vm.hypervisor.capabilities.features.maxVcpus.value, 40);
    const vcpus = Array.from({ length: count }, () => vm.createVcpu({ cpus: count }));
    vcpus.forEach((vcpu, i) => vcpu.setState({ rax: i }));
    expect(vcpus.map((vcpu) => Number(vcpu.getState().rax))).toEqual(vcpus.map((_, i) => i));
    if (count < 40) expect(codeOf(() => vm.createVcpu())).toBe('ERR_HAX_IOCTL');
  });

  it('keeps every general register at every value', () => {
    const vcpu = backend.vm().createVcpu();
    // With interrupts off and on, and every flag of arithmetic; bit 1 is always set.
    const flags = fc.constantFrom(2n, 0x202n, 0xad7n, 0xc93n);
    fc.assert(
      fc.property(fc.tuple(...generalRegisters.map(() => u64)), flags, (values, rflags) => {
        const wanted = { rflags, ...Object.fromEntries(generalRegisters.map((name, i) => [name, values[i]])) };
        vcpu.setState(wanted);
        const state = vcpu.getState();
        expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, state[name as 'rax']]))).toEqual(wanted);
        expect(vcpu.getPosition()).toEqual({ rip: state.rip, rflags });
      }),
      { numRuns: 30 },
    );
  });

  it('takes numbers and bigints and leaves what is not named', () => {
    const vcpu = backend.vm().createVcpu();
    vcpu.setState(realMode({ ip: 0x1000, sp: 0x7000 }));
    const before = vcpu.getState();
    vcpu.setState({ rbx: 0x1234, rcx: 0xffffffffffffffffn, rdx: undefined });
    const after = vcpu.getState();
    expect([after.rbx, after.rcx]).toEqual([0x1234n, 2n ** 64n - 1n]);
    expect(changes(before, after)).toEqual(['rbx', 'rcx']);
    vcpu.setState({});
    expect(changes(after, vcpu.getState())).toEqual([]);
    vcpu.setState({ es: { base: 0x20000 }, gdt: { base: 0x3000 } });
    const last = vcpu.getState();
    expect(last.es).toEqual({ ...after.es, base: 0x20000n });
    expect(last.gdt).toEqual({ base: 0x3000n, limit: 0xffff });
    expect(changes(after, last)).toEqual(['es', 'gdt']);
  });

  it('keeps what real, protected and long mode begin with', () => {
    const vcpu = backend.vm().createVcpu();
    const table = { base: at.gdt, limit: 0x1f };
    for (const init of [
      realMode({ ip: 0x7c00, cs: 0, sp: 0x7000 }),
      flat32({ ip: 0x100000, sp: 0x9000, gdt: table }),
      long64({ ip: 0x100000, sp: 0x9000, cr3: at.pageTables, gdt: table }),
      realMode({ ip: 0xfff0, cs: 0xf000, ds: 0x40, ss: 0x9000, sp: 0xfffe }),
    ]) {
      vcpu.setState(init);
      const state = vcpu.getState();
      const names = Object.keys(init) as (keyof CpuState)[];
      const shown = names.map((name) => [name, typeof init[name] === 'object' ? state[name] : Number(state[name])]);
      const wanted = names.map((name) => {
        const value = init[name];
        return [name, typeof value === 'object' ? { ...value, base: BigInt(value.base!) } : Number(value)];
      });
      expect(shown).toEqual(wanted);
    }
  });

  it('keeps every part of every segment and both tables', () => {
    const vcpu = backend.vm().createVcpu();
    vcpu.setState(flat32({ ip: 0x1000 }));
    // All present and accessed, and granular where the limit needs it, because a processor reads them back so: data and code of both sizes, conforming, expand-down, DPL 3, AVL.
    const attributes = [0xc093, 0x4093, 0x0093, 0xc09b, 0x409f, 0xc0f3, 0xd093, 0xc097];
    attributes.forEach((each, i) => {
      for (const [j, name] of data.entries()) {
        const large = (each & 0x8000) !== 0;
        const segment = {
          base: 0x1000 * (i + 1) + 0x10 * j,
          limit: large ? 0x12fffff + 0x1000 * j : 0xfff0 + j,
          selector: 0x20 + 8 * j,
          attributes: each,
        };
        vcpu.setState({ [name]: segment });
        expect([name, vcpu.getState()[name]]).toEqual([name, { ...segment, base: BigInt(segment.base) }]);
      }
    });
    const others: CpuStateInit = {
      cs: { base: 0x40000, limit: 0xffffffff, selector: 0x48, attributes: 0xc09b },
      ss: { base: 0x50000, limit: 0xffffffff, selector: 0x50, attributes: 0xc093 },
      tr: { base: 0x60000, limit: 0x67, selector: 0x58, attributes: 0x008b },
      ldt: { base: 0x70000, limit: 0x3f, selector: 0x60, attributes: 0x0082 },
      gdt: { base: 0x80000, limit: 0x7f },
      idt: { base: 0x90000, limit: 0x7ff },
    };
    vcpu.setState(others);
    const state = vcpu.getState();
    for (const [name, value] of Object.entries(others)) {
      const { base } = value as { base: number };
      expect([name, state[name as 'cs']]).toEqual([name, { ...(value as object), base: BigInt(base) }]);
    }
    // A segment that cannot be used: what else it holds is the processor's affair.
    vcpu.setState({ gs: { attributes: 0x10000 } });
    expect(vcpu.getState().gs.attributes & 0x10080).toBe(0x10000);
  });

  it('keeps control registers', () => {
    const vcpu = backend.vm().createVcpu();
    vcpu.setState(flat32({ ip: 0x1000 }));
    const wanted = { cr2: 0xdead_b000n, cr3: 0x12345000n, cr8: host.can.cr8 ? 9n : 0n, cr4: 0x620n, efer: 1n, cr0: 0x33n };
    vcpu.setState(wanted);
    const { cr0, cr2, cr3, cr4, cr8, efer, apicBase } = vcpu.getState();
    expect({ cr0, cr2, cr3, cr4, cr8, efer }).toEqual(wanted);
    vcpu.setState({ apicBase });
    expect(vcpu.getState().apicBase).toBe(apicBase);
  });

  it('changes nothing when a value is refused', () => {
    const vcpu = backend.vm().createVcpu();
    vcpu.setState(realMode({ ip: 0x1000 }));
    const before = vcpu.getState();
    const refused: unknown[] = [
      { rax: 1, rbx: -1 },
      { rax: 1, rbx: 2n ** 64n },
      { rax: 1, rbx: 0.5 },
      { rax: 1, rbx: 2 ** 53 },
      { rax: 1, rbx: '1' },
      { rax: 1, rbx: null },
      { rax: 1, eax: 1 },
      { rax: 1, cs: 5 },
      { rax: 1, cs: null },
      { rax: 1, cs: { base: -1 } },
      { rax: 1, cs: { limit: 2 ** 32 } },
      { rax: 1, cs: { selector: 0x10000 } },
      { rax: 1, cs: { attributes: 0x20000 } },
      { rax: 1, gdt: { limit: 0x10000 } },
      { rax: 1, idt: { base: 'x' } },
      { rax: 1, cr3: -4096n },
      { rax: 1, [Symbol('r') as never]: 1, rbx: Symbol('value') },
    ];
    for (const state of refused) {
      expect(codeOf(() => vcpu.setState(state as CpuStateInit))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(changes(before, vcpu.getState())).toEqual([]);
    }
    expect(() => vcpu.setState({ rocks: 1 } as never)).toThrow(/no register 'rocks'/);
  });

  it('shows registers in hex, and JSON that can be read back', () => {
    const vcpu = backend.vm().createVcpu();
    vcpu.setState({ ...realMode({ ip: 0x7c00 }), rax: 0xfeedn });
    const state = vcpu.getState();
    expect(inspect(state)).toMatch(/rax: 0xfeed,/);
    const plain = JSON.parse(JSON.stringify(state)) as { rax: string; cs: { limit: string } };
    expect([BigInt(plain.rax), Number(plain.cs.limit)]).toEqual([0xfeedn, 0xffff]);
  });

  it('counts from zero', () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x10, times: 3 });
    expect(vcpu.counters).toEqual({ entries: 0, interrupted: 0, kicks: 0, taken: 0, guestNs: 0, javascriptNs: 0, waitingNs: 0 });
    expect(vcpu.exits.snapshot()).toEqual({ handled: 0, kinds: {}, ports: {}, pages: {}, slices: 0 });
    for (let i = 0; i < 3; i++) vcpu.enter();
    const { entries, guestNs, javascriptNs, waitingNs } = vcpu.counters;
    expect([entries >= 3, kicksTooMany(vcpu, 0), guestNs > 0, javascriptNs, waitingNs]).toEqual([true, 0, true, 0, 0]);
  });
});

describeEachBackend(
  'vCPU of a processor',
  (backend, host) => {
    it('leaves everything as it was when the device refuses a value', () => {
      const vcpu = backend.vm().createVcpu();
      vcpu.setState(flat32({ ip: 0x1000 }));
      const before = vcpu.getState();
      // A bit of CR4 that no processor has.
      expect(codeOf(() => vcpu.setState({ rax: 1, cr4: 1n << 40n }))).toBe('ERR_HAX_IOCTL');
      expect(changes(before, vcpu.getState())).toEqual([]);
      vcpu.setState({ rbx: 5 });
      expect(changes(before, vcpu.getState())).toEqual(['rbx']);
    });

    it('keeps the FXSAVE image', () => {
      const vcpu = backend.vm().createVcpu();
      const image = new Uint8Array(512);
      const view = new DataView(image.buffer);
      view.setUint16(0, 0x027f, true); // FCW
      view.setUint16(2, 0x3800, true); // FSW: top of stack 7
      image[4] = 0x81; // FTW, abridged
      view.setUint32(24, 0x1f80, true); // MXCSR
      for (let i = 0; i < 8; i++) image.set([1, 2, 3, 4, 5, 6, 7, 0x80 + i, 0xff, 0x3f], 32 + i * 16); // ST
      for (let i = 0; i < 256; i++) image[160 + i] = (i * 11) & 0xff; // XMM
      vcpu.setFpu(image);
      image.set(vcpu.getFpu().subarray(28, 32), 28); // MXCSR_MASK is the processor's own
      expect(Buffer.from(vcpu.getFpu()).toString('hex')).toBe(Buffer.from(image).toString('hex'));
      for (const wrong of [new Uint8Array(511), new Uint8Array(513), [], null, undefined, 'x', new Uint16Array(512)] as never[]) {
        expect(codeOf(() => vcpu.setFpu(wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
      }
      expect(Buffer.compare(vcpu.getFpu(), image)).toBe(0);
    });

    itNeeds(host, 'sse', 'shares the XMM registers with the guest', async () => {
      const { vcpu } = backend.guest(
        'long64',
        'mov rax, cr4; or rax, 0x600; mov cr4, rax; mov rax, cr0; and al, 0xfb; mov cr0, rax; paddd xmm1, xmm1; stmxcsr [0x7000]; hlt',
      );
      const image = vcpu.getFpu();
      image.set([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4], 160 + 16);
      new DataView(image.buffer).setUint32(24, 0x3f80, true); // MXCSR: round down
      vcpu.setFpu(image);
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect([...vcpu.getFpu().subarray(176, 192)]).toEqual([2, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 8, 0, 0, 0]);
      expect(vcpu.vm.memory.readU32(at.data)).toBe(0x3f80);
    });

    itNeeds(host, 'x87', 'shows what the guest has on its floating-point stack', async () => {
      const { vcpu } = backend.guest('real', 'fninit; fld1; fldz; hlt');
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      const image = vcpu.getFpu();
      const view = new DataView(image.buffer);
      // Two registers in use; ST(1) is 1.0.
      expect([view.getUint16(0, true), image[4], view.getUint16(48 + 8, true), image[48 + 7]]).toEqual([0x37f, 0xc0, 0x3fff, 0x80]);
    });

    it('keeps model-specific registers', () => {
      const vcpu = backend.vm().createVcpu();
      vcpu.setState(long64({ ip: 0x1000, cr3: 0 }));
      const values: [number, bigint][] = [
        [0x174, 0x10n], // IA32_SYSENTER_CS
        [0x175, 0x8000_1000n], // IA32_SYSENTER_ESP, 32 bits on AMD
        [0x176, 0x1234_5678n], // IA32_SYSENTER_EIP
        [0x277, 0x0007_0406_0007_0406n], // IA32_PAT
        [0xc000_0081, 0x0023_0010_0000_0000n], // IA32_STAR
        [0xc000_0082, 0xffff_ffff_8100_0000n], // IA32_LSTAR
        [0xc000_0084, 0x4_7700n], // IA32_FMASK
        [0xc000_0102, 0xffff_8880_0000_0000n], // IA32_KERNEL_GS_BASE
      ];
      vcpu.setMsrs(values);
      expect(vcpu.getMsrs(values.map(([index]) => index))).toEqual(values.map(([, value]) => value));
      vcpu.setMsrs(new Map([[0x174, 7]]));
      expect(vcpu.getMsrs([0x174, 0x174])).toEqual([7n, 7n]);
      expect(vcpu.getMsrs([])).toEqual([]);
    });

    it('names the first model-specific register that is refused', () => {
      const vcpu = backend.vm().createVcpu();
      const none = 0x4000_beef;
      vcpu.setMsrs([[0x174, 1]]);
      expect(codeOf(() => vcpu.getMsrs([0x174, none]))).toBe('ERR_HAX_IOCTL');
      expect(() => vcpu.getMsrs([0x174, none, 0x175])).toThrow(/0x4000beef/);
      const set = (): void =>
        vcpu.setMsrs([
          [0x174, 2],
          [none, 0],
          [0x175, 3],
        ]);
      expect(set).toThrow(/0x4000beef/);
      // Those before it are set, those behind it are not.
      expect(vcpu.getMsrs([0x174, 0x175])).toEqual([2n, 0n]);
    });

    it('refuses what is no list of model-specific registers', () => {
      const vcpu = backend.vm().createVcpu();
      const lists: unknown[] = [[-1], [2 ** 32], [0.5], ['1'], [null], 5, null, undefined, {}, new Array(129).fill(0x174)];
      expect(lists.map((list) => codeOf(() => vcpu.getMsrs(list as never)))).toEqual(lists.map(() => 'ERR_HAX_INVALID_ARGUMENT'));
      const pairs: unknown[] = [[[0x174, -1]], [[0x174, 2n ** 64n]], [[0x174]], [[]], [5], 5, null, undefined, {}, 'ab'];
      expect(pairs.map((list) => codeOf(() => vcpu.setMsrs(list as never)))).toEqual(pairs.map(() => 'ERR_HAX_INVALID_ARGUMENT'));
      expect(vcpu.getMsrs([0x174])).toEqual([0n]);
    });

    itIf(
      host.can.mpState && host.can.kernelIrqchip,
      host.reason('mpState'),
      'tells and takes what it does while it executes nothing',
      () => {
        const vm = backend.vm({ irqchip: 'kernel' });
        const [first, second] = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
        expect([first.mpState, second.mpState]).toEqual(['runnable', 'uninitialized']);
        second.mpState = 'halted';
        expect([first.mpState, second.mpState]).toEqual(['runnable', 'halted']);
        second.mpState = 'runnable';
        expect(second.mpState).toBe('runnable');
        for (const wrong of ['sleeping', 3, null, undefined] as never[]) {
          expect(codeOf(() => (second.mpState = wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
        }
      },
    );

    itNeeds(host, 'vcpuCpuid', 'takes a CPUID table before it runs and refuses what is none', () => {
      const vm = backend.vm();
      const supported = vm.hypervisor.supportedCpuid();
      expect(supported.length).toBeGreaterThan(5);
      expect(vm.hypervisor.supportedCpuid()).toBe(supported);
      const vcpu: Vcpu = vm.createVcpu({ cpuid: supported });
      vcpu.setCpuid(supported.slice(0, 2));
      expect(codeOf(() => vcpu.setCpuid(new Array(257).fill(supported[0])))).toBe('ERR_HAX_INVALID_ARGUMENT');
      for (const wrong of [5, null, undefined, {}, 'x', [5], [null], [{}], [{ ...supported[0], eax: 'x' }]] as never[]) {
        expect(codeOf(() => vcpu.setCpuid(wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
      }
      // What createVcpu() is given is checked before a number is used up for it.
      expect(codeOf(() => vm.createVcpu({ cpuid: [5] as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(vm.createVcpu().id).toBe(1);
    });
  },
  { needs: 'guests' },
);
