/** Writes that wait in a ring, interrupts by eventfd, and raw calls. */
import { EventFd, kvmConstants as C, kvmRequests as R, type Vcpu, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { apicOn, at } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { EBUSY, EINVAL, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('io');

const page = 4096;
/** struct kvm_coalesced_mmio_ring: two words, and entries of 24 bytes to the end of the page; one is always free. */
const room = Math.floor((page - 8) / 24) - 1;

describeKvm('coalesced zones', (backend) => {
  /** Writes EBX, which counts down to 0, to memory at 0x300000 and to port 0x44, or to one of them; then to port 0x10. */
  const writer = (what: string): string => `1: mov eax, ebx; ${what}; dec ebx; jnz 1b; out 0x10, al; hlt`;
  const store = 'mov [0x300000], eax';
  const out = 'out 0x44, eax';

  it.each([
    ['memory', store, { addr: 0x300000, size: 4, pio: false }],
    ['ports', out, { addr: 0x44, size: 4, pio: true }],
  ])('a full ring: the next write to %s is an exit, and none is lost or out of order', (_, what, zone) => {
    const { vm, vcpu } = backend.guest('flat32', writer(what));
    if (zone.pio && lacks(vm.kvm, 'KVM_CAP_COALESCED_PIO', () => vm.kvm.registerCoalescedMmio(zone))) return;
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio(zone);
    // More than three times round.
    const count = 3 * room + 50;
    vcpu.setState({ rbx: count });
    const written: number[] = [];
    const counts: number[] = [];
    const drain = (): void => {
      const writes = ring.drain();
      counts.push(writes.length);
      for (const { phys_addr, len, pio, data } of writes) {
        expect([phys_addr, len, pio]).toEqual([BigInt(zone.addr), 4, zone.pio ? 1 : 0]);
        written.push(new DataView(data.buffer, data.byteOffset).getUint32(0, true));
      }
    };
    for (;;) {
      const exit = vcpu.enter();
      const mine = zone.pio ? exit.kind === 'io' && exit.port === zone.addr : exit.kind === 'mmio' && exit.address === zone.addr;
      const value =
        'data' in exit && exit.data instanceof Uint8Array && exit.data.length === 4 ? Buffer.from(exit.data).readUInt32LE() : -1;
      drain();
      if (!mine) break;
      written.push(value);
    }
    expect(written).toEqual(Array.from({ length: count }, (_, i) => count - i));
    // Older kernels take a ring that has wrapped for full too early, never too late.
    expect([Math.max(...counts), counts.slice(0, -1).every((each) => each > 0)]).toEqual([room, true]);
  });

  it('of memory and ports share a ring, in the order of the guest’s writes', () => {
    const { vm, vcpu } = backend.guest('flat32', writer(`${store}; ${out}`));
    if (lacks(vm.kvm, 'KVM_CAP_COALESCED_PIO', () => vm.kvm.registerCoalescedMmio({ addr: 0x44, size: 4, pio: true }))) return;
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: 0x300000, size: 4 });
    vm.kvm.registerCoalescedMmio({ addr: 0x44, size: 4, pio: true });
    vcpu.setState({ rbx: 3 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(ring.drain().map(({ phys_addr, data }) => [Number(phys_addr), data[0]])).toEqual(
      [3, 2, 1].flatMap((value) => [[0x300000, value], [0x44, value]]), // prettier-ignore
    );
    // Each zone is taken away by itself.
    vm.kvm.unregisterCoalescedMmio({ addr: 0x300000, size: 4 });
    vcpu.setState({ rip: at.code, rbx: 1 });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x300000 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(ring.drain().map(({ pio }) => pio)).toEqual([1]);
  });

  it('take only writes that lie in them as a whole, and no reads', () => {
    const { vm, vcpu } = backend.guest('flat32', 'mov [0x300002], eax; mov ax, [0x300000]; mov [0x300000], ax; out 0x10, al; hlt');
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: 0x300000, size: 4 });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x300002, direction: 'out' });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x300000, direction: 'in' });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(ring.drain().map(({ len }) => len)).toEqual([2]);
  });
});

describeKvm('irqfds', (backend) => {
  /** Vectors 0x60 and up, where the local APIC has them requested or in service. */
  const vectors = (vcpu: Vcpu, from: number): number[] => {
    const lapic = vcpu.kvm.getLapic();
    return Array.from({ length: 256 }, (_, i) => i).filter((i) => (lapic[from + (i >> 5) * 16 + ((i & 31) >> 3)] >> (i & 7)) & 1);
  };
  const requested = (vcpu: Vcpu): number[] => vectors(vcpu, 0x200);

  /** The kernel's controllers, with pin `pin` of the IOAPIC at a vector, level-triggered where asked. */
  function withIoapic(
    source: string,
    pins: readonly { pin: number; vector: number; level?: boolean; masked?: boolean }[],
  ): { vm: VirtualMachine; vcpu: Vcpu } {
    const made = backend.guest('flat32', source, { irqchip: 'kernel', pit: false });
    const { vm, vcpu } = made;
    apicOn(vcpu);
    setPins(vm, pins);
    return made;
  }
  function setPins(vm: VirtualMachine, pins: readonly { pin: number; vector: number; level?: boolean; masked?: boolean }[]): void {
    const state = vm.kvm.getIrqchip(2).chip;
    if (!('ioapic' in state)) throw new Error('no IOAPIC');
    const redirtbl = state.ioapic.redirtbl.map((entry, i) => {
      const wanted = pins.find(({ pin }) => pin === i);
      return wanted ? { bits: BigInt(wanted.vector | (wanted.level ? 1 << 15 : 0) | (wanted.masked ? 1 << 16 : 0)) } : entry;
    });
    vm.kvm.setIrqchip({ chip_id: 2, chip: { ioapic: { ...state.ioapic, redirtbl } } });
  }
  /** Ends the interrupt in service, and then writes to port 0x10. */
  const end = '1: mov dword ptr [0xfee000b0], 0; out 0x10, al; jmp 1b';

  /** The interrupt that is requested becomes the one in service, as if the guest had taken it. */
  function take(vcpu: Vcpu): void {
    const lapic = vcpu.kvm.getLapic();
    for (let i = 0; i < 0x80; i += 16) for (let j = 0; j < 4; j++) [lapic[0x100 + i + j], lapic[0x200 + i + j]] = [lapic[0x200 + i + j], 0];
    vcpu.kvm.setLapic(lapic);
  }
  /** Lets eventfds that were signalled reach the controllers: the kernel may do it on a thread of its own. */
  async function settle(done: () => boolean): Promise<void> {
    for (let i = 0; i < 2000 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  it('level-triggered: asserted until the guest ends it, asked again then, and not after it was taken away', async () => {
    const { vm, vcpu } = withIoapic(end, [{ pin: 20, vector: 0x61, level: true }]);
    const [fd, resamplefd] = [new EventFd(), new EventFd()];
    vm.kvm.irqfd({ fd, gsi: 20, resamplefd });
    for (let round = 0; round < 3; round++) {
      fd.signal();
      await settle(() => requested(vcpu).length > 0);
      expect([requested(vcpu), resamplefd.read()]).toEqual([[0x61], 0n]);
      take(vcpu);
      expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
      // The end of the interrupt took the level away and asked the device, once.
      expect([requested(vcpu), vectors(vcpu, 0x100), resamplefd.read()]).toEqual([[], [], 1n]);
    }
    vm.kvm.irqfd({ fd, gsi: 20, deassign: true });
    fd.signal();
    expect([requested(vcpu), fd.read()]).toEqual([[], 1n]); // nobody takes it
  });

  it('several at one line, each by itself; one that is closed is gone', async () => {
    const { vm, vcpu } = withIoapic(end, [{ pin: 19, vector: 0x63 }, { pin: 18, vector: 0x64 }]); // prettier-ignore
    const [first, second, third] = [new EventFd(), new EventFd(), new EventFd()];
    vm.kvm.irqfd({ fd: first, gsi: 19 });
    vm.kvm.irqfd({ fd: second, gsi: 19 });
    vm.kvm.irqfd({ fd: third, gsi: 18 });
    for (const [fd, vector] of [
      [first, 0x63],
      [second, 0x63],
      [third, 0x64],
      [second, 0x63],
    ] as const) {
      // prettier-ignore
      fd.signal();
      await settle(() => requested(vcpu).length > 0);
      expect(requested(vcpu)).toEqual([vector]);
      take(vcpu);
      expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    }
    vm.kvm.irqfd({ fd: first, gsi: 18, deassign: true }); // another line: nothing is taken away
    expect(refusal(() => vm.kvm.irqfd({ fd: first, gsi: 18 }))).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
    first.close();
    second.signal();
    await settle(() => requested(vcpu).length > 0);
    expect(requested(vcpu)).toEqual([0x63]);
  });

  it('a masked line delivers nothing, and an edge that came meanwhile waits in the IOAPIC', async () => {
    const { vm, vcpu } = withIoapic(end, [{ pin: 21, vector: 0x65, level: true, masked: true }]);
    const [fd, resamplefd] = [new EventFd(), new EventFd()];
    vm.kvm.irqfd({ fd, gsi: 21, resamplefd });
    fd.signal();
    const irr = (): number => {
      const { chip } = vm.kvm.getIrqchip(2);
      return 'ioapic' in chip ? chip.ioapic.irr : -1;
    };
    await settle(() => (irr() & (1 << 21)) !== 0);
    expect([requested(vcpu), irr() & (1 << 21)]).toEqual([[], 1 << 21]);
    setPins(vm, [{ pin: 21, vector: 0x65, level: true }]);
    expect(requested(vcpu)).toEqual([0x65]);
  });

  it('by a message, along the route of the line at that moment', async () => {
    const { vm, vcpu } = withIoapic(end, []);
    const fd = new EventFd();
    const route = (data: number): void => {
      const msi = { address_lo: 0xfee00000, address_hi: 0, data };
      vm.kvm.setGsiRouting([{ gsi: 40, type: C.KVM_IRQ_ROUTING_MSI, flags: 0, u: { msi } }]);
    };
    vm.kvm.irqfd({ fd, gsi: 40 }); // a line that leads nowhere yet
    fd.signal();
    await settle(() => fd.read() === 0n);
    expect(requested(vcpu)).toEqual([]);
    route(0x71);
    fd.signal();
    await settle(() => requested(vcpu).length > 0);
    route(0x72);
    fd.signal();
    await settle(() => requested(vcpu).length > 1);
    expect(requested(vcpu)).toEqual([0x71, 0x72]);
  });

  it('are refused without interrupt controllers in the kernel, for what is no eventfd, and resampling for a message', () => {
    const fd = new EventFd();
    expect(refusal(() => backend.vm().kvm.irqfd({ fd, gsi: 5 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    const vm = backend.vm({ irqchip: 'kernel', pit: false });
    for (const wrong of [undefined, 5, {}, null]) {
      expect(codeOf(() => vm.kvm.irqfd({ fd: wrong as never, gsi: 5 }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    const entry = { gsi: 1, type: C.KVM_IRQ_ROUTING_IRQCHIP, flags: 0, u: { irqchip: { irqchip: 2, pin: 1 } } };
    expect(codeOf(() => vm.kvm.setGsiRouting(new Array(4097).fill(entry)))).toBe('ERR_HAX_INVALID_ARGUMENT');
    for (const gsi of [-1, 2 ** 32, 0.5]) expect(codeOf(() => vm.kvm.irqfd({ fd, gsi }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });
});

describeKvm('raw calls', (backend) => {
  it('take the numbers and structures of the kernel’s headers', () => {
    const { vm, vcpu } = backend.guest('real', 'hlt');
    expect(vm.hypervisor.ioctl(R.KVM_GET_API_VERSION, 0)).toBe(12);
    expect(vm.ioctl(R.KVM_CHECK_EXTENSION, 3)).toBe(1);
    const clock = Buffer.alloc(48);
    clock.writeBigUInt64LE(5_000_000_000_000n);
    vm.ioctl(R.KVM_SET_CLOCK, clock);
    expect(vm.kvm.getClock().clock).toBeGreaterThanOrEqual(5_000_000_000_000n);
    const regs = new BigUint64Array(18);
    vcpu.setState({ rax: 0x1234, r15: 0x5678 });
    vcpu.ioctl(R.KVM_GET_REGS, new Uint8Array(regs.buffer));
    expect([regs[0], regs[15], regs[16]]).toEqual([0x1234n, 0x5678n, BigInt(at.code)]);
    [regs[0], regs[15]] = [1n, 2n];
    vcpu.ioctl(R.KVM_SET_REGS, new Uint8Array(regs.buffer));
    expect([vcpu.getState().rax, vcpu.getState().r15]).toEqual([1n, 2n]);
  });

  it('check only what the number itself says', () => {
    const { vm, vcpu } = backend.guest('real', 'hlt');
    const invalid = 'ERR_HAX_INVALID_ARGUMENT';
    for (const wrong of [new Uint8Array(143), new Uint8Array(), 5, undefined, 'x', {}]) {
      expect(codeOf(() => vcpu.ioctl(R.KVM_GET_REGS, wrong as never))).toBe(invalid);
    }
    for (const wrong of [-1, 0.5, NaN, 2 ** 64, '5', undefined, null, {}]) expect(codeOf(() => vm.ioctl(wrong as never, 0))).toBe(invalid);
    expect(refusal(() => vm.ioctl(R.KVM_GET_CLOCK, null))).toBe('ERR_HAX_IOCTL 14'); // EFAULT
    expect(refusal(() => vm.ioctl(0xaeff, 0))).toBe('ERR_HAX_IOCTL 25'); // ENOTTY: no such call
    vm.hypervisor.close();
    for (const object of [vm.hypervisor, vm, vcpu]) expect(codeOf(() => object.ioctl(R.KVM_GET_API_VERSION, 0))).toBe('ERR_HAX_CLOSED');
  });
});
