/** Registers by parts, by a view, and travelling with exits: the same values whichever way they come. */
import { inspect } from 'node:util';
import { codeOf } from '../support/codes';
import { at } from '../support/guests';
import { describeEachBackend } from '../support/hosts';

describeEachBackend('state of a vCPU', (backend, host) => {
  it('the view reads what getState() reads, anew after each exit', () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x40, value: 3, times: 3 });
    const { registers } = vcpu;
    for (const left of [3n, 2n, 1n]) {
      const { rip, rcx, rax } = vcpu.getState();
      expect([registers.rcx, registers.rip, registers.rax]).toEqual([rcx, rip, rax]);
      if (host.kind === 'null') expect(registers.rcx).toBe(left);
      vcpu.enter();
    }
    expect(Object.keys(registers)).toContain('rflags');
    registers.rdx = 0x41n;
    expect([vcpu.getState().rdx, registers.rdx]).toEqual([0x41n, 0x41n]);
    vcpu.setState({ rdx: 0x42 });
    expect(registers.rdx).toBe(0x42n);
    for (const wrong of [-1, 2n ** 64n, 'x', undefined])
      expect(codeOf(() => (registers.rax = wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    vcpu.close();
    expect(codeOf(() => (registers.rax = 1n))).toBe('ERR_HAX_CLOSED');
  });

  it('the view and the parts are shown as getState() is: in hex, and JSON has no bigints', () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x40 });
    const { registers } = vcpu;
    const { general, system } = vcpu.getParts(['general', 'system']);
    const plain = (value: unknown): object => JSON.parse(JSON.stringify(value)) as object;
    const state = plain(vcpu.getState());
    expect({ ...plain(general), ...plain(system) }).toEqual(state);
    expect(state).toMatchObject(plain(registers));
    expect(inspect(registers)).toMatch(/^CpuState \{[^]* rip: 0x[0-9a-f]+,/);
    expect(inspect(general)).toBe(inspect(registers));
    vcpu.setState({ rbx: 1 }); // what was fetched is no longer good
    vcpu.close();
    expect(inspect(registers)).toMatch(/^CpuState <.*closed/);
  });

  it('parts are what the single calls give, and are refused whole', () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x40 });
    const { general } = vcpu.getParts(['general']);
    expect(vcpu.getState()).toMatchObject({ ...general });
    expect(Object.keys(general).length).toBe(18);
    vcpu.setParts({ general: { rbx: 5, rsi: 6n } });
    expect(vcpu.getParts(['general']).general).toEqual({ ...general, rbx: 5n, rsi: 6n });
    for (const wrong of ['x', ['x'], [5], null]) expect(codeOf(() => vcpu.getParts(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    for (const wrong of [5, null, 'x', ['x']])
      expect(codeOf(() => vcpu.getParts(['msrs'], wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    for (const wrong of [
      5,
      null,
      { x: 1 },
      { general: { rax: -1 } },
      { general: { rocks: 1 } },
      { fpu: 5 },
      { mpState: 'x' },
      { msrs: 5 },
      { general: 5 },
      { system: null },
      { general: { cr3: 0 } },
      { system: { rax: 0 } },
      { general: { rbx: 7 }, msrs: new Array(129).fill([0x10, 0]) },
    ]) {
      expect(vcpu.registers.rbx).toBe(5n);
      expect(codeOf(() => vcpu.setParts(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(vcpu.registers.rbx).toBe(5n);
    }
    expect(vcpu.getParts(['general']).general).toEqual({ ...general, rbx: 5n, rsi: 6n });
    vcpu.setParts({});
    for (const wrong of ['general', ['fpu'], [5]]) expect(codeOf(() => vcpu.syncState(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('registers that travel with exits change nothing but the speed', async () => {
    for (const parts of [[], ['general'], ['general', 'system']] as const) {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x40, value: 1, times: 4 });
      vcpu.syncState(parts);
      vcpu.setState({ rbx: 1 });
      expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x40 });
      vcpu.setState({ rdi: 0, rsi: 0 });
      const state = vcpu.getState();
      expect([state.rax & 0xffn, state.rbx]).toEqual([1n, 1n]);
      // Set while they travel: seen at once and by the guest.
      vcpu.setState({ rcx: 2 });
      vcpu.registers.rax = 9n;
      expect(() => ((vcpu.registers as unknown as { eax: bigint }).eax = 1n)).toThrow(TypeError);
      expect([vcpu.getState().rcx, vcpu.registers.rax]).toEqual([2n, 9n]);
      const written: number[] = [];
      vm.ports.add({ at: 0x40, length: 1 }, { read: () => 0, write: (_offset, value) => void written.push(value) });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      // A processor has not counted the OUT that enter() showed yet; the null device has.
      expect(written).toEqual(host.kind === 'null' ? [9, 9] : [9]);
      vcpu.syncState([]);
      expect(vcpu.getState().rax & 0xffn).toBe(9n);
    }
  });
});

describeEachBackend(
  'state of a processor',
  (backend) => {
    it('several parts go over at once and come back', () => {
      const [first, second] = [backend.guest('long64', 'hlt').vcpu, backend.guest('long64', 'hlt').vcpu];
      first.setState({ r15: 0x1234_5678_9abcn, cr2: 0x5000n });
      const fpu = first.getFpu();
      fpu[160] = 0x77; // XMM0
      first.setParts({ fpu, msrs: [[0x174, 0x55]] }); // prettier-ignore
      const parts = ['general', 'system', 'fpu', 'msrs'] as const;
      const all = first.getParts(parts, [0x174]);
      expect(all.msrs).toEqual([[0x174, 0x55n]]);
      expect([all.fpu[160], all.general.r15, all.system.cr2]).toEqual([0x77, 0x1234_5678_9abcn, 0x5000n]);
      second.setParts(all);
      expect(second.getParts(parts, [0x174])).toEqual(all);
      expect(codeOf(() => second.getParts(['msrs'], [0x4000beef]))).toBe('ERR_HAX_IOCTL');
    });

    it('what other calls change is seen while registers travel', () => {
      const { vcpu } = backend.guest('flat32', 'out 0x10, al; mov eax, cr2; out 0x10, al; hlt');
      vcpu.syncState(['general', 'system']);
      expect(vcpu.enter().kind).toBe('io');
      vcpu.setState({ cr2: 0x7000, rbx: 5 });
      expect([vcpu.getState().cr2, vcpu.getState().rbx]).toEqual([0x7000n, 5n]);
      if (vcpu.vm.backend === 'kvm') {
        // The kernel's own call sees the register that waited for the next entry.
        expect(vcpu.kvm.getRegs().rbx).toBe(5n);
        vcpu.kvm.setRegs({ ...vcpu.kvm.getRegs(), rbx: 6 });
        expect([vcpu.getState().rbx, vcpu.registers.rbx]).toEqual([6n, 6n]);
      }
      expect(vcpu.enter().kind).toBe('io');
      expect([vcpu.registers.rax, vcpu.getState().cs.base, vcpu.getState().rip > BigInt(at.code)]).toEqual([0x7000n, 0n, true]);
    });
  },
  { needs: 'guests' },
);
