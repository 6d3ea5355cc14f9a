import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { Hypervisor, type FeatureName, type HaxErrorCode } from 'node-hax';
import { codeOf } from '../support/codes';
import { loadProgram } from '../support/guests';
import { describeEachBackend } from '../support/hosts';

const features: FeatureName[] = [
  'immediateExit',
  'kernelIrqchip',
  'splitIrqchip',
  'pit',
  'readOnlyMemory',
  'mpState',
  'extendedCpuid',
  'tssAddress',
  'identityMapAddress',
  'tscDeadlineTimer',
  'ioUring',
  'maxVcpus',
  'recommendedVcpus',
  'memorySlots',
];

describeEachBackend('life cycle', (backend, host) => {
  it('opens the device that was asked for, also by HAX_BACKEND', () => {
    const { capabilities } = backend.open();
    expect(capabilities.backend).toBe(backend.name);
    const before = process.env.HAX_BACKEND;
    try {
      process.env.HAX_BACKEND = backend.name;
      const byName = Hypervisor.open();
      expect(byName.capabilities).toEqual(capabilities);
      byName.close();
      process.env.HAX_BACKEND = 'no such backend';
      backend.open();
      expect(codeOf(() => Hypervisor.open())).toBe('ERR_HAX_UNKNOWN_BACKEND');
      // As if it were not set: the first device that exists, or none.
      for (const name of ['auto', '']) {
        process.env.HAX_BACKEND = name;
        expect([undefined, 'ERR_HAX_NO_DEVICE']).toContain(codeOf(() => Hypervisor.open().close()));
      }
    } finally {
      if (before === undefined) delete process.env.HAX_BACKEND;
      else process.env.HAX_BACKEND = before;
    }
  });

  it('has one record of capabilities, where everything absent says why', () => {
    const { capabilities } = backend.open();
    // A backend may have more words.
    const all = Object.entries(capabilities.features);
    expect(all.map(([name]) => name)).toEqual(expect.arrayContaining(features));
    for (const [name, { available, value, reason }] of all) {
      expect(available).toBe(value > 0);
      expect([name, typeof reason, reason === '']).toEqual([name, available ? 'undefined' : 'string', false]);
    }
    expect(capabilities.features.memorySlots.value).toBeGreaterThan(1);
    expect(capabilities.features.maxVcpus.value).toBeGreaterThan(0);
    expect(() => ((capabilities.features as Record<string, object>).pit = {})).toThrow(TypeError);
    expect(() => ((capabilities.features.pit as { value: number }).value = 2)).toThrow(TypeError);
  });

  it('tells the version of the interface and the node', () => {
    const { capabilities } = backend.open();
    const device = process.env.HAX_KVM_DEVICE ?? '/dev/kvm';
    const told = { null: [0, ''], kvm: [12, device], haxm: [4, '/dev/HAX'] };
    expect([capabilities.apiVersion, capabilities.device]).toEqual(told[backend.name]);
  });

  it('closes more than once and refuses use afterwards', () => {
    const hypervisor = backend.open();
    const vm = hypervisor.createVm({ irqchip: 'user' });
    const vcpu = vm.createVcpu();
    const region = vm.mapMemory({ gpa: 0, size: 4096 });
    expect([hypervisor.closed, vm.closed, vcpu.closed]).toEqual([false, false, false]);
    expect([hypervisor.vms, vm.vcpus, vm.memory.regions]).toEqual([[vm], [vcpu], [region]]);
    hypervisor.close();
    hypervisor.close();
    hypervisor[Symbol.dispose]();
    vm[Symbol.dispose]();
    vcpu[Symbol.dispose]();
    expect([hypervisor.closed, vm.closed, vcpu.closed]).toEqual([true, true, true]);
    expect([hypervisor.vms, vm.vcpus, vm.memory.regions]).toEqual([[], [], []]);
    const uses: (() => unknown)[] = [
      () => hypervisor.createVm(),
      () => hypervisor.supportedCpuid(),
      () => vm.createVcpu(),
      () => vm.mapMemory({ gpa: 0, size: 4096 }),
      () => vm.unmapMemory(region),
      () => vm.irqLine(0),
      () => region.bytes,
      () => vm.memory.read(0, 1),
      () => vm.memory.readU32(0),
      () => vm.memory.write(0, new Uint8Array(1)),
      () => vm.memory.view(0, 1),
      () => vm.memory.readCString(0),
      () => vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => undefined }),
      () => vm.mmio.add({ at: 0xd0000000, length: 4 }, { read: () => 0, write: () => undefined }),
      () => vm.ports.onUnclaimed(() => undefined),
      () => vm.mmio.onUnclaimed(() => undefined),
      () => region.read(0, new Uint8Array(1)),
      () => region.write(0, new Uint8Array(1)),
      () => vcpu.enter(),
      () => vcpu.complete(),
      () => vcpu.kick(),
      () => vcpu.run(),
      () => vcpu.getState(),
      () => vcpu.getPosition(),
      () => vcpu.setState({ rax: 1 }),
      () => vcpu.getFpu(),
      () => vcpu.setFpu(new Uint8Array(512)),
      () => vcpu.getMsrs([0x10]),
      () => vcpu.setMsrs([[0x10, 0]]),
      () => vcpu.mpState,
      () => (vcpu.mpState = 'runnable'),
      () => vcpu.setCpuid([]),
      () => vcpu.onExit('msr', () => undefined),
    ];
    expect(uses.map(codeOf)).toEqual(uses.map((): HaxErrorCode => 'ERR_HAX_CLOSED'));
    // What only looks still works.
    expect([vcpu.exit.kind, vcpu.counters.entries, vcpu.running, vm.backend]).toEqual(['none', 0, false, backend.name]);
    vcpu.stop();
    vcpu.setReferenced(false);
  });

  it('closes in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }), (order) => {
        const hypervisor = backend.open();
        const first = hypervisor.createVm({ irqchip: 'user' });
        const second = hypervisor.createVm({ irqchip: 'user' });
        const region = first.mapMemory({ gpa: 0, size: 0x10000 });
        const view = region.bytes;
        const [a, b, c] = [first.createVcpu(), first.createVcpu(), second.createVcpu()];
        loadProgram(first, a, { kind: 'out', port: 1 });
        a.enter();
        const all = [hypervisor, first, second, region, a, b, c] as const;
        for (const index of order) all[index].close();
        // What was not closed by itself or with its parent still works.
        const closed = (...parents: number[]): boolean => parents.some((index) => order.includes(index));
        expect(codeOf(() => hypervisor.supportedCpuid())).toBe(closed(0) ? 'ERR_HAX_CLOSED' : undefined);
        expect(codeOf(() => first.createVcpu())).toBe(closed(0, 1) ? 'ERR_HAX_CLOSED' : undefined);
        expect(codeOf(() => b.getState())).toBe(closed(0, 1, 5) ? 'ERR_HAX_CLOSED' : undefined);
        expect(codeOf(() => c.getState())).toBe(closed(0, 2, 6) ? 'ERR_HAX_CLOSED' : undefined);
        expect(view.length).toBe(closed(0, 1, 3) ? 0 : 0x10000);
        hypervisor.close();
        expect(view.length).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  it('lets go of the device at once, also inside the slice in which a run has ended', async () => {
    const openAfterwards = async (): Promise<number> => {
      const hypervisor = backend.open();
      const vm = hypervisor.createVm({ irqchip: 'user' });
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      const vcpu = vm.createVcpu();
      loadProgram(vm, vcpu, { kind: 'out', port: 1 });
      await vcpu.run();
      hypervisor.close();
      return readdirSync('/proc/self/fd').length;
    };
    // The first run of a thread opens what ends slices.
    await openAfterwards();
    await delay(1);
    const open = readdirSync('/proc/self/fd').length;
    expect(await openAfterwards()).toBe(open);
  });

  it('keeps several hypervisors and VMs apart', () => {
    const vms = [backend.vm(), backend.vm(), backend.open().createVm({ irqchip: 'user' })];
    vms.forEach((vm, i) => {
      vm.mapMemory({ gpa: 0, size: 4096 });
      vm.memory.writeU32(0, i + 1);
      vm.createVcpu().setState({ rbx: i + 1 });
    });
    expect(vms.map((vm) => vm.memory.readU32(0))).toEqual([1, 2, 3]);
    expect(vms.map((vm) => vm.vcpus[0].getState().rbx)).toEqual([1n, 2n, 3n]);
    vms[1].close();
    expect(vms[2].vcpus[0].getState().rbx).toBe(3n);
  });

  it('makes VMs with the interrupt controller asked for, or says why not', () => {
    const hypervisor = backend.open();
    expect(hypervisor.createVm({ irqchip: 'user' }).hasKernelIrqchip).toBe(false);
    if (host.can.kernelIrqchip) {
      expect(hypervisor.createVm().hasKernelIrqchip).toBe(true);
      expect(hypervisor.createVm({ irqchip: 'kernel', pit: false }).hasKernelIrqchip).toBe(true);
    } else {
      expect(hypervisor.createVm().hasKernelIrqchip).toBe(false);
      expect(codeOf(() => hypervisor.createVm({ irqchip: 'kernel' }))).toBe('ERR_HAX_UNSUPPORTED');
      expect(() => hypervisor.createVm({ irqchip: 'kernel', pit: false })).toThrow(/kernelIrqchip/);
    }
    expect(codeOf(() => hypervisor.createVm({ irqchip: 'both' as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    // The controllers of ours: a pair of PICs, whose line 2 is the cascade.
    const ours = hypervisor.createVm({ irqchip: 'user' });
    expect(ours.irqLine(4)).toBe(ours.irqLine(4));
    expect(codeOf(() => ours.irqLine(2))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => ours.irqLine(16))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });
});

describe('open', () => {
  it('refuses a name that it does not know', () => {
    expect(codeOf(() => Hypervisor.open({ backend: 'vmware' as never }))).toBe('ERR_HAX_UNKNOWN_BACKEND');
    expect(codeOf(() => Hypervisor.open({ backend: 7 as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });
});

describeEachBackend('options that there are not', (backend) => {
  it('are refused by name, with those there are', () => {
    const vm = backend.vm();
    const vcpu = vm.createVcpu();
    const wrong: [() => unknown, string][] = [
      [() => Hypervisor.open({ backnd: backend.name } as never), 'open() has no option "backnd"; it has backend'],
      [() => vm.hypervisor.createVm({ irqChip: 'user' } as never), 'createVm() has no option "irqChip"'],
      [() => vm.mapMemory({ gpa: 0, size: 4096, readonly: true } as never), 'mapMemory() has no option "readonly"'],
      [() => vm.createVcpu({ idd: 3 } as never), 'createVcpu() has no option "idd"'],
      [() => vcpu.run({ thread: true } as never), 'run() has no option "thread"'],
    ];
    for (const [use, message] of wrong) {
      expect(codeOf(use)).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(use).toThrow(message);
    }
  });
});
