/** Doorbells: a device that is told to look, without an exit where the hypervisor can. */
import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { EventFd } from 'node-hax';
import { codeOf } from '../support/codes';
import { sink } from '../support/guests';
import { describeEachBackend } from '../support/hosts';

describeEachBackend('doorbells', (backend, host) => {
  /** A device that keeps what is written and tells when a value comes. */
  const listening = (): { device: ReturnType<typeof sink>; values: number[]; rung: (value: number) => Promise<void> } => {
    const values: number[] = [];
    const waiting = new Map<number, () => void>();
    const device = sink((value) => {
      values.push(value);
      waiting.get(value)?.();
    });
    return { device, values, rung: (value) => new Promise((resolve) => void waiting.set(value, resolve)) };
  };

  it('reach the device, which other writes do too', async () => {
    for (const value of [7, 8]) {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x40, value, times: 5 });
      const { device, values, rung } = listening();
      const heard = rung(value);
      vm.ports.add({ at: 0x40, length: 2, doorbells: [{ offset: 0, width: 1, value: 7 }] }, device);
      const [end] = await Promise.all([vcpu.run(), heard]);
      expect(end).toEqual({ reason: 'halted' });
      expect(new Set(values)).toEqual(new Set([value]));
      const exits = vcpu.exits.snapshot().ports['0x40'] ?? 0;
      const eventfd = value === 7 && host.kind.endsWith('KVM');
      expect(exits).toBe(eventfd ? 0 : 5);
      if (!eventfd) expect(values.length).toBe(5);
    }
  });

  it('go with their range, and with the VM', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x40, value: 7, times: 4 });
    const doorbells = [{ offset: 0, width: 1, value: 7 }] as const;
    const first = vm.ports.add({ at: 0x40, length: 1, doorbells }, listening().device);
    first.remove();
    const { device, values } = listening();
    vm.ports.add({ at: 0x40, length: 1 }, device);
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(values).toEqual([7, 7, 7, 7]);
    const last = vm.mmio.add({ at: 0x40000, length: 8, doorbells: [{ offset: 4, width: 4, value: 0 }] }, device);
    vm.close();
    last.remove();
  });

  it('leave nothing behind when one is refused', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x40, value: 7 });
    const { device } = listening();
    const bells = [7, 8].map((value) => ({ offset: 0, width: 1, value }) as const);
    // KVM refuses the second, whose write signals another eventfd.
    const taken = backend.name === 'kvm' ? new EventFd() : undefined;
    if (taken) vm.kvm.ioeventfd({ fd: taken, addr: 0x40, len: 1, pio: true, datamatch: 8 });
    const refused = async (): Promise<number> => {
      if (!taken) return 0;
      const add = (): unknown => vm.ports.add({ at: 0x40, length: 1, posted: true, doorbells: bells }, device);
      expect(codeOf(add)).toBe('ERR_HAX_IOCTL');
      await turn(); // its watch closes
      return readdirSync('/proc/self/fd').length;
    };
    const descriptors = await refused();
    for (let i = 0; i < 10; i++) await refused();
    expect(await refused()).toBeLessThanOrEqual(descriptors); // what earlier tests opened closes meanwhile
    expect(vm.posted.active).toBe(false);
    vm.ports.add({ at: 0x40, length: 1 }, device);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x40 });
    taken?.close();
  });

  it('refuse what does not fit', () => {
    const { ports } = backend.vm();
    const { device } = listening();
    const add = (doorbells: unknown): string | undefined =>
      codeOf(() => ports.add({ at: 0x40, length: 4, doorbells: doorbells as never }, device));
    const bell = { offset: 0, width: 1, value: 7 };
    for (const wrong of [
      5,
      null,
      [null],
      [{ ...bell, width: 3 }],
      [{ ...bell, offset: 4 }],
      [{ ...bell, value: 256 }],
      [{ ...bell, width: 4, offset: 1 }],
    ])
      expect([wrong, add(wrong)]).toEqual([wrong, 'ERR_HAX_INVALID_ARGUMENT']);
    expect(add([bell])).toBeUndefined();
  });
});

describeEachBackend(
  'doorbells of a guest',
  (backend) => {
    it.each([false, true])('come after the posted writes before them, while the guest runs on; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 1; out 0x48, al; mov al, 2; out 0x48, al; mov ax, 9; out 0x40, ax; 1: jmp 1b');
      const seen: number[] = [];
      vm.ports.add(
        { at: 0x48, length: 1, posted: true },
        sink((value) => void seen.push(value)),
      );
      const device = sink((value) => {
        seen.push(value);
        vcpu.stop({ reason: 'exit-code', status: 0 });
      });
      vm.ports.add({ at: 0x40, length: 2, doorbells: [{ offset: 0, width: 2, value: 9 }] }, device);
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'exit-code', status: 0 });
      expect(seen).toEqual([1, 2, 9]);
    });

    const fail = (): never => {
      throw new Error('broken');
    };
    const reject = (): Promise<void> => Promise.reject(new Error('broken'));
    it.each([
      ['that throw', false, fail],
      ['that throw, on a thread', true, fail],
      ['that reject', false, reject],
      ['that reject, on a thread', true, reject],
    ])('%s end the run', async (_, threaded, write) => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 7; out 0x40, al; 1: jmp 1b');
      vm.ports.add({ at: 0x40, length: 1, name: 'queue', doorbells: [{ offset: 0, width: 1, value: 7 }] }, { read: () => 0, write });
      const failed = await vcpu.run({ threaded }).catch((error: unknown) => error);
      const message = expect.stringMatching(/^(OUT to|a doorbell at) port 0x40 \(queue\) failed.*: broken$/);
      expect(failed).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', message });
    });

    it.each([false, true])('whose eventfd cannot be read end the run, and are ordinary writes then; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 7; out 0x40, al; 1: jmp 1b');
      const uncaught: unknown[] = [];
      const note = (error: unknown): void => void uncaught.push(error);
      process.on('uncaughtException', note);
      const descriptor = Object.getOwnPropertyDescriptor(EventFd.prototype, 'read')!;
      try {
        Object.defineProperty(EventFd.prototype, 'read', { ...descriptor, value: fail });
        vm.ports.add({ at: 0x40, length: 1, doorbells: [{ offset: 0, width: 1, value: 7 }] }, { read: () => 0, write: fail });
        const failed = { code: 'ERR_HAX_DEVICE_FAILED', message: expect.stringMatching(/failed.*: broken$/) };
        const { rip } = vcpu.getPosition();
        for (let i = 0; i < 2; i++) {
          vcpu.setState({ rip });
          expect(await vcpu.run({ threaded }).catch((error: unknown) => error)).toMatchObject(failed);
          for (let turns = 0; turns < 5; turns++) await turn();
        }
        expect(vcpu.exits.snapshot().ports['0x40']).toBe(backend.name === 'kvm' ? 1 : 2);
      } finally {
        Object.defineProperty(EventFd.prototype, 'read', descriptor);
        process.off('uncaughtException', note);
      }
      expect(uncaught).toEqual([]);
    });

    it("whose promise comes too late are nobody's: a VM that is closed has no run that could end", async () => {
      const { vm, vcpu } = backend.guest('real', 'mov al, 7; out 0x40, al; 1: jmp 1b');
      const late: unknown[] = [];
      const note = (error: unknown): void => void late.push(error);
      process.on('unhandledRejection', note);
      let write = (): void => undefined;
      const rung = new Promise<void>((resolve) => (write = resolve));
      let give: (error: Error) => void = () => undefined;
      const pending = new Promise<void>((_, reject) => (give = reject));
      const device = { read: () => 0, write: () => (write(), pending) };
      vm.ports.add({ at: 0x40, length: 1, doorbells: [{ offset: 0, width: 1, value: 7 }] }, device);
      const run = vcpu.run();
      await rung;
      vm.close();
      expect(await run).toEqual({ reason: 'killed' });
      give(new Error('too late'));
      for (let i = 0; i < 5; i++) await turn();
      process.off('unhandledRejection', note);
      expect(late).toEqual([]);
    });

    it('are told apart by value and address', async () => {
      const source = `mov ax, 0x3000; mov ds, ax; mov dword ptr [0x50], 0; mov dword ptr [0x50], 1; mov word ptr [0x50], 1
        mov dword ptr [0x54], 1; hlt`;
      const { vm, vcpu } = backend.guest('real', source);
      const seen: string[] = [];
      let all: () => void = () => undefined;
      const four = new Promise<void>((resolve) => (all = resolve));
      const write = (offset: number, value: number, width: number): void => {
        seen.push(`${offset}:${width}=${value}`);
        if (seen.length === 4) all();
      };
      const doorbells = [0, 1].map((value) => ({ offset: 0x50, width: 4 as const, value }));
      vm.mmio.add({ at: 0x30000, length: 0x100, doorbells }, { read: () => 0, write });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      await four;
      expect(seen.sort()).toEqual(['80:2=1', '80:4=0', '80:4=1', '84:4=1']);
    });
  },
  { needs: 'guests' },
);
