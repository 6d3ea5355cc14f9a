/** Posted ranges, doorbells and KVM's own zones on the same addresses: the kernel's ring has what it should, and nobody's write is lost. */
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Doorbell, Vcpu, VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { at } from '../support/guests';
import { describeKvm } from '../support/hosts';

const device = 0x102000;

describeKvm('zones of posted writes', (backend) => {
  /** Writes 1 to an address below 64 KiB from 0x100000 on, then halts; how that came out. */
  const writer = (): { vm: VirtualMachine; vcpu: Vcpu; writeTo: (offset: number, base?: number) => string } => {
    const { vm, vcpu } = backend.guest('real', 'mov al, 1; mov [bx], al; hlt');
    const writeTo = (offset: number, base = device): string => {
      vcpu.setState({ rip: at.code, rbx: 0, ds: { base: base + offset } });
      const { kind } = vcpu.enter();
      if (kind === 'mmio') vcpu.complete();
      return kind === 'hlt' ? 'no exit' : kind;
    };
    return { vm, vcpu, writeTo };
  };
  const collecting = (): { seen: number[]; read: () => number; write: (offset: number) => void } => {
    const seen: number[] = [];
    return { seen, read: () => 0, write: (offset) => void seen.push(offset) };
  };
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await turn();
  };

  it('leave doorbells alone, which are rung at once', async () => {
    const { vm, writeTo } = writer();
    const handler = collecting();
    const doorbells: Doorbell[] = [0x10, 0x20].map((offset) => ({ offset, width: 1, value: 1 }));
    const claim = vm.mmio.add({ at: device, length: 0x100, posted: true, doorbells }, handler);
    for (const offset of [0, 0x10, 0x18, 0x20, 0x30, 0xff]) {
      handler.seen.length = 0;
      expect([offset, writeTo(offset), vm.posted.waiting]).toEqual([offset, 'no exit', false]);
      await until(() => handler.seen.length > 0);
      expect(handler.seen).toEqual([offset]);
    }
    claim.remove();
    expect([writeTo(0), writeTo(0x10), vm.posted.active]).toEqual(['mmio', 'mmio', false]);
  });

  it('inside each other go one by one', () => {
    const { vm, writeTo } = writer();
    const handler = collecting();
    vm.mmio.add({ at: device, length: 0x100 }, handler);
    const outer = vm.mmio.post({ at: device, length: 0x100 });
    const inner = vm.mmio.post({ at: device + 0x40, length: 4 });
    const twin = vm.mmio.post({ at: device, length: 0x100 });
    inner.remove();
    expect([writeTo(0x40), writeTo(0x80)]).toEqual(['no exit', 'no exit']);
    outer.remove();
    expect(writeTo(0x40)).toBe('no exit');
    twin.remove();
    expect([writeTo(0x40), vm.posted.active]).toEqual(['mmio', false]);
  });

  it('of 2 GiB and more go as they came', () => {
    const { vm, writeTo } = writer();
    const large = 0x40000000;
    const old = collecting();
    const claim = vm.mmio.add({ at: large, length: 0x80000000, posted: true }, old);
    expect([writeTo(0, large), writeTo(0x7fff_ffff, large), old.seen]).toEqual(['no exit', 'no exit', [0, 0x7fff_ffff]]);
    claim.remove();
    const next = collecting();
    vm.mmio.add({ at: large + 0x1000, length: 4 }, next);
    expect(writeTo(0x1000, large)).toBe('mmio');
    const zone = { addr: large, size: 0x80000000 };
    expect(codeOf(() => vm.kvm.registerCoalescedMmio(zone))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it.each(['remove', 'close', 'stop'] as const)('are empty, and all was seen, after %s while the guest is on a thread', async (how) => {
    const { vm, vcpu } = backend.guest('real', `mov cx, 50; 2: out 0x40, al; loop 2b; mov byte ptr [${at.data}], 1; 1: jmp 1b`);
    const handler = collecting();
    const unclaimed: number[] = [];
    vm.ports.onUnclaimed(({ address }) => void unclaimed.push(address));
    const claim = vm.ports.add({ at: 0x40, length: 1, posted: true }, handler);
    const run = vcpu.run({ threaded: true });
    // The thread of the handlers is busy meanwhile. Fewer than any ring holds: with its head at 0, Linux 6.1 takes 85 for full.
    while (vm.memory.readU8(at.data) === 0);
    if (how === 'remove') claim.remove();
    else if (how === 'close') vm.close();
    else vcpu.stop();
    vcpu.stop();
    expect(await run).toEqual({ reason: 'killed' });
    expect([handler.seen.length, unclaimed, vm.posted.waiting]).toEqual([50, [], false]);
  });

  it('let the machine go when it is closed', async () => {
    const mappings = (): number => (readFileSync('/proc/self/maps', 'utf8').match(/kvm-vcpu/g) ?? []).length;
    const before = mappings();
    for (let i = 0; i < 5; i++) {
      const { vm, vcpu } = backend.guest('real', 'out 0x40, al; hlt');
      vm.ports.add({ at: 0x40, length: 1, posted: true }, collecting());
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      vm.hypervisor.close();
    }
    await until(() => mappings() <= before);
  });

  it("of the kernel's own call go with what lies in them", () => {
    const { vm, vcpu, writeTo } = writer();
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: device, size: 0x100 });
    vm.kvm.unregisterCoalescedMmio({ addr: device - 0x1000, size: 0x2000 });
    expect([writeTo(0), ring.drain().length]).toEqual(['no exit', 1]);
    vm.kvm.unregisterCoalescedMmio({ addr: device + 4, size: 4 });
    expect(writeTo(0)).toBe('mmio');
  });
});
