/** Standing answers: reads that no handler is asked for. */
import { codeOf } from '../support/codes';
import { describeEachBackend } from '../support/hosts';

describeEachBackend('standing answers', (backend) => {
  const made = (): ReturnType<typeof backend.program> & { asked: () => number } => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
    let asked = 0;
    vm.ports.add({ at: 0x60, length: 2 }, { read: () => (asked++, 0x11), write: () => undefined });
    return { vm, vcpu, asked: () => asked };
  };
  const al = (vcpu: ReturnType<typeof made>['vcpu']): bigint => vcpu.getState().rax & 0xffn;

  it('reach the guest without the handler, and are counted', async () => {
    const { vm, vcpu, asked } = made();
    vm.ports.answer(0x60, 0x5a);
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect([al(vcpu), asked(), vcpu.counters.taken]).toEqual([0x5an, 0, 1]);
    expect(vcpu.exits.snapshot().ports).toEqual({});
  });

  it('change and end at once', () => {
    const { vm, vcpu, asked } = made();
    vm.ports.answer(0x60, 1);
    vm.ports.answer(0x60, 0);
    vm.ports.answer(0x60, undefined);
    vm.ports.answer(0x60, undefined);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', direction: 'in', port: 0x60 });
    expect([asked(), vcpu.counters.taken]).toEqual([0, 0]);
  });

  it('are for one port', async () => {
    const { vm, vcpu, asked } = made();
    vm.ports.answer(0x61, 0x5a);
    await vcpu.run();
    expect([al(vcpu), asked()]).toEqual([0x11n, 1]);
  });

  it('go with their handler', async () => {
    const { vm, vcpu } = made();
    vm.ports.add({ at: 0x70, length: 1 }, { read: () => 0, write: () => undefined });
    const claim = vm.ports.add({ at: 0x62, length: 1 }, { read: () => 0, write: () => undefined });
    vm.ports.answer(0x62, 1);
    claim.remove();
    expect(codeOf(() => vm.ports.answer(0x62, 1))).toBe('ERR_HAX_INVALID_ARGUMENT');
    await vcpu.run();
    expect(al(vcpu)).toBe(0x11n);
  });

  it('are a byte at a port that has a handler', () => {
    const { vm } = made();
    const wrong: [number, number | undefined][] = [
      [0x60, 256],
      [0x60, -1],
      [0x60, 1.5],
      [0x10000, 1],
      [-1, 1],
      [0x99, 1],
    ];
    expect(wrong.map(([port, value]) => codeOf(() => vm.ports.answer(port, value)))).toEqual(wrong.map(() => 'ERR_HAX_INVALID_ARGUMENT'));
    vm.close();
    // A device may tell later that it is ready: nobody is there to be told.
    expect(codeOf(() => vm.ports.answer(0x60, 1))).toBeUndefined();
  });

  it('are asked for all the same in threaded mode', async () => {
    const { vm, vcpu } = made();
    vm.ports.answer(0x60, 0x11);
    await vcpu.run({ threaded: true });
    expect(al(vcpu)).toBe(0x11n);
  });
});
