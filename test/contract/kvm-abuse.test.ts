/** What no call of KVM may do with any argument: end the process, or throw something that is no typed error. */
import { kvmCalls, kvmConstants as C, type KvmCall, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';

type Method = (...args: unknown[]) => unknown;

/** Values that fit nowhere, or somewhere by accident: too small, too large, of another type, without the members wanted. */
const values: readonly unknown[] = [
  undefined,
  null,
  -1,
  0.5,
  NaN,
  2 ** 32,
  2n ** 64n,
  2 ** 53,
  'x',
  '',
  {},
  [],
  [null],
  [{}],
  [-1],
  new Uint8Array(),
  new Uint8Array(7),
  Symbol.iterator,
  () => 0,
  { flags: -1, fd: 5, addr: 'x', events: 5, bitmap: 5 },
];
const known = ['ERR_HAX_INVALID_ARGUMENT', 'ERR_HAX_IOCTL', 'ERR_HAX_UNSUPPORTED', 'nothing'];

describeKvm("KVM's calls: what does not fit", (backend) => {
  const opened: VirtualMachine[] = [];
  function objects(): Record<KvmCall['scope'], Record<string, Method> | undefined> {
    const vm = backend.vm({ irqchip: 'kernel' });
    opened.push(vm);
    const vcpu = vm.createVcpu();
    const device = vm.kvm.hasDevice(C.KVM_DEV_TYPE_VFIO) ? vm.kvm.createDevice(C.KVM_DEV_TYPE_VFIO) : undefined;
    return { system: vm.hypervisor.kvm, vm: vm.kvm, vcpu: vcpu.kvm, device } as never;
  }
  const own = kvmCalls.filter(({ method }) => !method.includes('.'));

  it('every method takes any first and second argument with a typed error or as a value', () => {
    const scopes = objects();
    const wrong: unknown[] = [];
    for (const { scope, method } of own) {
      const object = scopes[scope];
      if (!object) continue;
      for (const value of values) {
        for (const args of [[value], [0, value], [value, value, value]]) {
          const code = codeOf(() => object[method](...args)) ?? 'nothing';
          if (!known.includes(code)) wrong.push(`${scope} ${method} ${code}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('lists with holes are refused, and one that shrinks meanwhile is what it was first', () => {
    const { system, vm, vcpu } = objects();
    const holes = new Array(2);
    const filter = { action: 0, fixed_counter_bitmap: 0, flags: 0, events: holes };
    for (const call of [
      () => system!.getMsrs(holes),
      () => vcpu!.getMsrs(holes),
      () => vcpu!.setMsrs(holes),
      () => vcpu!.setCpuid2(holes),
      () => vm!.setGsiRouting(holes),
      () => vm!.setPmuEventFilter(filter),
      () => vm!.x86SetMsrFilter(holes),
      () => vm!.enableCap('KVM_CAP_SPLIT_IRQCHIP', holes),
    ])
      expect(codeOf(call)).toBe('ERR_HAX_INVALID_ARGUMENT');
    let reads = 0;
    const shrinking = new Proxy([{ index: 0x174, data: 0 }], {
      get: (list, key) => (key === 'length' && reads++ < 2 ? 2 : (Reflect.get(list, key) as unknown)),
    });
    expect(codeOf(() => vcpu!.setMsrs(shrinking))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(vcpu!.setMsrs([{ index: 0x174, data: 0 }])).toBe(1);
  });

  it('nothing works on what is closed', () => {
    const scopes = objects();
    scopes.device?.close!();
    for (const each of opened) each.hypervisor.close();
    const wrong = new Set<string>();
    for (const { scope, method } of own) {
      for (const value of values) {
        const code = scopes[scope] && (codeOf(() => scopes[scope]![method](value)) ?? 'nothing');
        if (code === 'nothing' || code === 'ERR_HAX_IOCTL') wrong.add(`${scope} ${method} ${code}`);
      }
    }
    expect([...wrong]).toEqual([]);
    const { system, vm, vcpu } = scopes;
    const calls = [() => system!.getApiVersion(), () => vm!.getClock(), () => vcpu!.getRegs(), () => vcpu!.setSignalMask(undefined)];
    expect(calls.map(codeOf)).toEqual(calls.map(() => 'ERR_HAX_CLOSED'));
  });
});
