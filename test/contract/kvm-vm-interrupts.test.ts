/** The calls for a VM's interrupt controllers, lines, messages and timer, and eventfds. */
import { EventFd, kvmConstants as C, type Vcpu, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { bits, EBUSY, EEXIST, EINVAL, ENOENT, ENXIO, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vm-interrupts');

const invalid = 'ERR_HAX_INVALID_ARGUMENT';

describeKvm("KVM's calls: interrupts and eventfds", (backend) => {
  it('KVM_CREATE_IRQCHIP, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP', () => {
    const vm = backend.vm();
    expect(refusal(() => vm.kvm.getIrqchip(0))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    vm.kvm.createIrqchip();
    expect(refusal(() => vm.kvm.createIrqchip())).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
    const names = 'last_irr irr imr isr priority_add irq_base read_reg_select poll special_mask init_state auto_eoi rotate_on_auto_eoi'
      .concat(' special_fully_nested_mode init4 elcr elcr_mask')
      .split(' ');
    const pic = Object.fromEntries(names.map((name, i) => [name, 0x10 + i])) as never;
    vm.kvm.setIrqchip({ chip_id: 1, chip: { pic } });
    expect(vm.kvm.getIrqchip(1)).toEqual({ chip_id: 1, chip: { pic } });
    expect(vm.kvm.getIrqchip(0)).not.toEqual({ chip_id: 0, chip: { pic } });
    const chip = vm.kvm.getIrqchip(2);
    if (!('ioapic' in chip.chip)) throw new Error('no IOAPIC');
    expect(chip.chip.ioapic).toMatchObject({ base_address: 0xfec00000n, irr: 0 });
    const redirtbl = chip.chip.ioapic.redirtbl.map((_, i) => ({ bits: 0x10020n + BigInt(i) }));
    vm.kvm.setIrqchip({ chip_id: 2, chip: { ioapic: { ...chip.chip.ioapic, ioregsel: 0x11, id: 5, redirtbl } } });
    expect(vm.kvm.getIrqchip(2).chip).toEqual({ ioapic: { ...chip.chip.ioapic, ioregsel: 0x11, id: 5, redirtbl } });
    expect(codeOf(() => vm.kvm.getIrqchip(3 as never))).toBe(invalid);
  });

  /** A guest whose IRQ 5 (vector 0x25 by the PIC) writes to port 0xe9. */
  function withPic(): { vm: VirtualMachine; vcpu: Vcpu } {
    const setup = 'mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al';
    const guest = backend.guest(
      'real',
      `mov sp, 0x7000; ${setup}; mov al, 0xdf; out 0x21, al; sti; out 0x10, al; 1: jmp 1b
       .org 0x100; mov al, 0x20; out 0x20, al; mov al, 0x59; out 0xe9, al; iret`,
      { irqchip: 'kernel', pit: false },
    );
    guest.vm.memory.write(0x25 * 4, Uint8Array.of(0, 0x11, 0, 0));
    expect(guest.vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    return guest;
  }
  const arrives = (vcpu: Vcpu): void => expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });

  it('KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS reach the guest', () => {
    const { vm, vcpu } = withPic();
    vm.kvm.irqLine(5, true);
    arrives(vcpu);
    vm.kvm.irqLine(5, false);
    expect(vm.kvm.irqLineStatus(5, true)).toBeGreaterThan(0);
    vm.kvm.irqLine(5, false);
    expect(vm.kvm.irqLineStatus(5, true)).toBe(0); // coalesced with the edge that waits
    arrives(vcpu);
    expect(codeOf(() => vm.kvm.irqLine(-1, true))).toBe(invalid);
    expect(refusal(() => backend.vm().kvm.irqLine(5, true))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });

  it('KVM_IRQFD injects at each signal, until it is taken away', () => {
    const { vm, vcpu } = withPic();
    const [fd, other] = [new EventFd(), new EventFd()];
    vm.kvm.irqfd({ fd, gsi: 5 });
    expect(refusal(() => vm.kvm.irqfd({ fd, gsi: 6 }))).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
    fd.signal();
    arrives(vcpu);
    fd.signal();
    arrives(vcpu);
    vm.kvm.irqfd({ fd, gsi: 5, deassign: true });
    fd.signal(3);
    expect(fd.read()).toBe(3n); // nobody else takes it
    const resamplefd = new EventFd();
    vm.kvm.irqfd({ fd: other, gsi: 5, resamplefd });
    other.signal();
    arrives(vcpu);
    vcpu.complete();
    // The guest has ended the interrupt, so the line is free and its device is asked.
    expect(resamplefd.read()).toBe(1n);
    vm.kvm.irqfd({ fd: other, gsi: 5, resamplefd, deassign: true });
    other.close();
    expect(codeOf(() => vm.kvm.irqfd({ fd: other, gsi: 5 }))).toBe('ERR_HAX_CLOSED');
  });

  it('KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI', () => {
    const vm = backend.vm({ irqchip: 'kernel', pit: false });
    const vcpu = vm.createVcpu();
    vcpu.setMsrs([[0x1b, 0xfee00900]]);
    const lapic = vcpu.kvm.getLapic();
    lapic[0xf1] |= 1; // spurious vector register: enabled
    vcpu.kvm.setLapic(lapic);
    const requested = (): number[] => {
      const now = vcpu.kvm.getLapic();
      return bits(Uint8Array.from({ length: 32 }, (_, i) => now[0x200 + (i >> 2) * 16 + (i & 3)]));
    };
    expect(vm.kvm.signalMsi({ address_lo: 0xfee00000, address_hi: 0, data: 0x51 })).toBe(1);
    expect(requested()).toEqual([0x51]);
    const msi = { address_lo: 0xfee00000, address_hi: 0, data: 0x63 };
    const entry = { gsi: 30, type: C.KVM_IRQ_ROUTING_MSI, flags: 0, u: { msi } };
    const pin = { gsi: 4, type: C.KVM_IRQ_ROUTING_IRQCHIP, flags: 0, u: { irqchip: { irqchip: C.KVM_IRQCHIP_PIC_MASTER, pin: 6 } } };
    vm.kvm.setGsiRouting([pin, entry]);
    vm.kvm.irqLine(30, true);
    expect(requested()).toEqual([0x51, 0x63]);
    vm.kvm.irqLine(4, true);
    const master = vm.kvm.getIrqchip(0).chip;
    expect('pic' in master && master.pic.irr & 0x50).toBe(0x40);
    vm.kvm.irqLine(5, true); // leads nowhere now
    // Neither does vm.irqLine() give it, but those that have a route.
    expect(codeOf(() => vm.irqLine(5))).toBe(invalid);
    expect(() => [vm.irqLine(4), vm.irqLine(30)]).not.toThrow();
    expect(requested()).toEqual([0x51, 0x63]);
    const wrong = { ...pin, u: { irqchip: { irqchip: 9, pin: 0 } } };
    expect(refusal(() => vm.kvm.setGsiRouting([wrong]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => vm.kvm.setGsiRouting([{ ...entry, flags: 1 << 31 >>> 0 }]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`); // prettier-ignore
    expect(codeOf(() => vm.kvm.setGsiRouting(5 as never))).toBe(invalid);
    expect(() => vm.irqLine(30)).not.toThrow(); // what is refused changes nothing
  });

  it('KVM_IOEVENTFD takes writes without an exit', () => {
    const { vm, vcpu } = backend.guest(
      'real',
      'mov al, 5; out 0x40, al; mov al, 6; out 0x40, al; mov ax, 0x3000; mov ds, ax; mov [0x10], ax; hlt',
    );
    const [port, memory] = [new EventFd(), new EventFd()];
    vm.kvm.ioeventfd({ fd: port, addr: 0x40, len: 1, pio: true, datamatch: 6 });
    vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x40 }); // 5 does not match
    expect(vcpu.enter().kind).toBe('hlt');
    expect([port.read(), memory.read(), port.read()]).toEqual([1n, 1n, 0n]);
    expect(refusal(() => vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2 }))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
    vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2, deassign: true });
    expect(refusal(() => vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2, deassign: true }))).toBe(`ERR_HAX_IOCTL ${ENOENT}`);
    expect(refusal(() => vm.kvm.ioeventfd({ fd: port, addr: 0, len: 3 as never }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vm.kvm.ioeventfd({ fd: port, addr: 0x1000_0000, len: 0 });
  });

  it('coalesced zones: writes wait in the ring', () => {
    const { vm, vcpu } = backend.guest(
      'real',
      'mov ax, 0x3000; mov ds, ax; mov byte ptr [0x10], 0x77; mov word ptr [0x12], 0x1234; mov al, 9; out 0x44, al; hlt',
    );
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: 0x30000, size: 0x100 });
    vm.kvm.registerCoalescedMmio({ addr: 0x44, size: 1, pio: true });
    expect(vcpu.enter().kind).toBe('hlt');
    const writes = ring.drain().map(({ phys_addr, len, pio, data }) => [Number(phys_addr), pio, [...data.subarray(0, len)]]);
    expect(writes).toEqual([[0x30010, 0, [0x77]], [0x30012, 0, [0x34, 0x12]], [0x44, 1, [9]]]); // prettier-ignore
    expect(ring.drain()).toEqual([]);
    vm.kvm.unregisterCoalescedMmio({ addr: 0x30000, size: 0x100 });
    vcpu.setState({ rip: 0x1000 });
    expect(vcpu.enter().kind).toBe('mmio');
    expect(codeOf(() => vm.kvm.registerCoalescedMmio({ addr: -1, size: 1 }))).toBe(invalid);
  });

  it('eventfds add, read and close', () => {
    const fd = new EventFd(5);
    fd.signal(2n);
    expect([fd.read(), fd.read(), fd.fd > 2]).toEqual([7n, 0n, true]);
    fd.signal(2n ** 64n - 2n);
    expect(codeOf(() => fd.signal())).toBe('ERR_HAX_IOCTL');
    for (const wrong of [-1, 2n ** 64n, 0.5, 'x']) expect(codeOf(() => fd.signal(wrong as never))).toBe(invalid);
    expect(codeOf(() => new EventFd(2 ** 32))).toBe(invalid);
    fd.close();
    fd.close();
    expect([fd.closed, codeOf(() => fd.read()), codeOf(() => fd.fd)]).toEqual([true, 'ERR_HAX_CLOSED', 'ERR_HAX_CLOSED']);
  });

  it('KVM_CREATE_PIT2, KVM_GET_PIT2, KVM_SET_PIT2, KVM_REINJECT_CONTROL', () => {
    const vm = backend.vm();
    vm.kvm.createIrqchip();
    expect(refusal(() => vm.kvm.getPit2())).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    expect(refusal(() => vm.kvm.reinjectControl(true))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    vm.kvm.createPit2(C.KVM_PIT_SPEAKER_DUMMY);
    vm.kvm.reinjectControl(false);
    const channel = { count: 0x1234, latched_count: 0x567, count_latched: 1, status_latched: 2, status: 3, read_state: 4, write_state: 5 };
    const rest = { write_latch: 6, rw_mode: 7, mode: 8, bcd: 9, gate: 10, count_load_time: 0x1122_3344_5566n };
    const state = vm.kvm.getPit2();
    // Channel 0 starts a timer when it is set; 1 and 2 are kept as they are.
    const channels = [state.channels[0], { ...channel, ...rest }, { ...channel, ...rest, count: 0x4321 }];
    vm.kvm.setPit2({ channels, flags: state.flags });
    const after = vm.kvm.getPit2();
    expect(after.channels.slice(1).map((each) => ({ ...each, count_load_time: 0 }))).toEqual(
      channels.slice(1).map((each) => ({ ...each, count_load_time: 0 })),
    );
    expect(after.flags).toBe(state.flags);
  });
});
