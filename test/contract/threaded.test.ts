import { setTimeout as delay } from 'node:timers/promises';
import { realMode, type RunEnd, type Vcpu, type VirtualMachine } from 'node-hax';
import { assemble } from '../support/assemble';
import { codeOf, codeOfAsync } from '../support/codes';
import { guestImage, loadGuest, loadProgram, ramSize, sink, type Program } from '../support/guests';
import { allowedCpu, describeEachBackend, describeKvm, type Backend } from '../support/hosts';

const threaded = { threaded: true };
const killed: RunEnd = { reason: 'killed' };

/** A VM with several vCPUs that each run a program. */
function several(backend: Backend, programs: readonly Program[]): { vm: VirtualMachine; vcpus: Vcpu[] } {
  const vm = backend.vm();
  vm.mapMemory({ gpa: 0, size: ramSize });
  const vcpus = programs.map((program) => {
    const vcpu = vm.createVcpu({ cpus: programs.length });
    loadProgram(vm, vcpu, program);
    return vcpu;
  });
  return { vm, vcpus };
}

describeEachBackend('threaded mode', (backend) => {
  it('serves the accesses of several vCPUs, each in order and none twice', async () => {
    const programs = [0, 1, 2, 3].map((i): Program => ({ kind: 'out', port: 0x10 + i, value: i, times: 500 }));
    const { vm, vcpus } = several(backend, programs);
    const counts = [0, 0, 0, 0];
    let nested = false;
    let inHandler = false;
    programs.forEach((_, i) =>
      vm.ports.add(
        { at: 0x10 + i, length: 1 },
        sink((value) => {
          nested ||= inHandler;
          inHandler = true;
          if (value === i) counts[i]++;
          inHandler = false;
        }),
      ),
    );
    const ends = await Promise.all(vcpus.map((vcpu) => vcpu.run(threaded)));
    expect(ends).toEqual(vcpus.map(() => ({ reason: 'halted' })));
    expect({ counts, nested }).toEqual({ counts: [500, 500, 500, 500], nested: false });
    expect(vcpus.map((vcpu) => vcpu.exits.snapshot().kinds.io)).toEqual([500, 500, 500, 500]);
  });

  it('answers reads, also by a promise', async () => {
    const { vm, vcpus } = several(backend, [
      { kind: 'in', port: 0x60 },
      { kind: 'in', port: 0x61 },
    ]);
    vm.ports.add({ at: 0x60, length: 1 }, { read: () => 0x5a, write: () => undefined });
    vm.ports.add({ at: 0x61, length: 1 }, { read: () => delay(10, 0xa5), write: () => undefined });
    await Promise.all(vcpus.map((vcpu) => vcpu.run(threaded)));
    expect(vcpus.map((vcpu) => vcpu.getState().rax & 0xffn)).toEqual([0x5an, 0xa5n]);
  });

  it('leaves the event loop to others while guests spin', async () => {
    const { vcpus } = several(backend, [{ kind: 'spin' }, { kind: 'spin' }]);
    const runs = vcpus.map((vcpu) => vcpu.run(threaded));
    for (let i = 0; i < 5; i++) await delay(1);
    expect(vcpus.map((vcpu) => vcpu.running)).toEqual([true, true]);
    vcpus.forEach((vcpu) => vcpu.stop());
    expect(await Promise.all(runs)).toEqual([killed, killed]);
  });

  it('refuses a look at a vCPU whose guest is in, and a second run', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    const run = vcpu.run(threaded);
    await delay(5);
    const calls: [string, () => unknown][] = [
      ['getState', () => vcpu.getState()],
      ['setState', () => vcpu.setState({ rax: 1 })],
      ['complete', () => vcpu.complete()],
      ['inject', () => vcpu.inject(32)],
      ['setCpuid', () => vcpu.setCpuid([])],
      ['enter', () => vcpu.enter()],
      ['enter below', () => vcpu.native.enter()],
      ['ioctl', () => vcpu.ioctl(0)],
    ];
    expect(calls.map(([name, call]) => [name, codeOf(call)])).toEqual(calls.map(([name]) => [name, 'ERR_HAX_RUNNING']));
    expect(await codeOfAsync(() => vcpu.run(threaded))).toBe('ERR_HAX_RUNNING');
    vcpu.kick(); // the one call that is allowed
    vcpu.stop();
    expect(await run).toEqual(killed);
    expect(typeof vcpu.getState().rip).toBe('bigint');
  });

  it('gives registers in a handler and takes them', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 4 });
    const seen: bigint[] = [];
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        seen.push(vcpu.getState().rcx);
        if (seen.length === 1) vcpu.setState({ rcx: vcpu.getState().rcx - 2n });
      }),
    );
    expect(await vcpu.run(threaded)).toEqual({ reason: 'halted' });
    expect(seen.length).toBe(2);
  });

  it('pauses and resumes all at a consistent point', async () => {
    const times = 2000;
    const programs = [0, 1, 2].map((i): Program => ({ kind: 'out', port: 0x10 + i, times }));
    const { vm, vcpus } = several(backend, programs);
    const counts = [0, 0, 0];
    programs.forEach((_, i) =>
      vm.ports.add(
        { at: 0x10 + i, length: 1 },
        sink(() => void counts[i]++),
      ),
    );
    const runs = vcpus.map((vcpu) => vcpu.run(threaded));
    for (let round = 0; round < 20; round++) {
      await delay(1);
      vcpus.forEach((vcpu) => vcpu.pause());
      const before = [...counts];
      // Each access that has left the guest has reached its device, and rcx counts the rest. A vCPU that has halted is out of the run.
      for (const [i, vcpu] of vcpus.entries()) {
        if (!vcpu.running) continue;
        const left = Number(vcpu.getState().rcx & 0xffffn);
        // LOOP comes after OUT: one is between them or not.
        expect([times - counts[i], times - counts[i] + 1]).toContain(left);
      }
      await delay(1);
      expect(counts).toEqual(before);
      vcpus.forEach((vcpu) => vcpu.resume());
    }
    expect(await Promise.all(runs)).toEqual(vcpus.map(() => ({ reason: 'halted' })));
    expect(counts).toEqual([times, times, times]);
  });

  it('pauses, stops and closes from handlers, its own and those of others', async () => {
    const { vm, vcpus } = several(backend, [
      { kind: 'out', port: 0x10, times: 60_000 },
      { kind: 'out', port: 0x11, times: 60_000 },
      { kind: 'out', port: 0x12, times: 60_000 },
    ]);
    const [own, other, third] = vcpus;
    let count = 0;
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        count++;
        if (count % 10 === 0) vcpus.forEach((vcpu) => vcpu.pause());
        if (count % 20 === 0) vcpus.forEach((vcpu) => vcpu.resume());
        if (count === 100) {
          own.stop();
          other.stop();
          third.close();
        }
      }),
    );
    vm.ports.add(
      { at: 0x11, length: 1 },
      sink(() => undefined),
    );
    const runs = vcpus.map((vcpu) => vcpu.run(threaded));
    const timer = setInterval(() => vcpus.forEach((vcpu) => vcpu.resume()), 1);
    expect(await Promise.all(runs)).toEqual([killed, killed, killed]);
    clearInterval(timer);
    expect(count).toBe(100);
  });

  it('keeps out a vCPU that a handler of another resumes and pauses again', async () => {
    const { vm, vcpus } = several(backend, [
      { kind: 'out', port: 0x10, times: 200 },
      { kind: 'out', port: 0x11, times: 200 },
    ]);
    const [first, second] = vcpus;
    const counts = [0, 0];
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        if (++counts[0] >= 200) return;
        second.resume();
        second.pause();
        expect(typeof second.getState().rip).toBe('bigint');
      }),
    );
    vm.ports.add(
      { at: 0x11, length: 1 },
      sink(() => void counts[1]++),
    );
    const runs = [second, first].map((vcpu) => vcpu.run(threaded));
    expect(await runs[1]).toEqual({ reason: 'halted' });
    await delay(5);
    const [, reached] = counts;
    await delay(5);
    expect(counts).toEqual([200, reached]);
    second.resume();
    expect(await runs[0]).toEqual({ reason: 'halted' });
    expect(counts).toEqual([200, 200]);
  });

  it('loses no access of a vCPU that a handler of another stops', async () => {
    const { vm, vcpus } = several(backend, [
      { kind: 'out', port: 0x10 },
      { kind: 'out', port: 0x11, times: 2000 },
    ]);
    const runs: Promise<RunEnd>[] = [];
    // It begins here: earlier it could be through before the other comes to its access.
    const stopping = sink(() => {
      runs.push(vcpus[1].run(threaded));
      for (const end = Date.now() + 20; Date.now() < end;);
      vcpus[1].stop();
    });
    let count = 0;
    vm.ports.add({ at: 0x10, length: 1 }, stopping);
    vm.ports.add(
      { at: 0x11, length: 1 },
      sink(() => void count++),
    );
    expect(await vcpus[0].run(threaded)).toEqual({ reason: 'halted' });
    expect(await runs[0]).toEqual(killed);
    expect(await vcpus[1].run(threaded)).toEqual({ reason: 'halted' });
    expect(count).toBe(2000);
  });

  it('calls no handler while one of an inline run of the same VM is at work', async () => {
    const { vm, vcpus } = several(backend, [
      { kind: 'out', port: 0x10, times: 200 },
      { kind: 'out', port: 0x11, times: 1000 },
    ]);
    const [inline, other] = vcpus;
    const counts = [0, 0];
    let inHandler = false;
    let nested = false;
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        inHandler = true;
        counts[0]++;
        other.pause();
        other.resume();
        inHandler = false;
      }),
    );
    vm.ports.add(
      { at: 0x11, length: 1 },
      sink(() => {
        nested ||= inHandler;
        counts[1]++;
      }),
    );
    const runs = [other.run(threaded), inline.run()];
    expect(await Promise.all(runs)).toEqual([{ reason: 'halted' }, { reason: 'halted' }]);
    expect({ counts, nested }).toEqual({ counts: [200, 1000], nested: false });
  });

  it.each([
    ['a posted write', { posted: true }],
    ['a doorbell', { doorbells: [{ offset: 0, width: 1, value: 0 }] }],
  ] as const)('calls no handler while one of %s is at work', async (_, kind) => {
    const { vm, vcpus } = several(backend, [
      { kind: 'out', port: 0x10, times: 60_000 },
      { kind: 'out', port: 0x11, times: 60_000 },
    ]);
    let inHandler = 0;
    let nested = 0;
    vm.ports.add(
      { at: 0x10, length: 1, ...kind },
      sink(() => {
        inHandler++;
        vcpus[1].pause();
        vcpus[1].resume();
        inHandler--;
      }),
    );
    vm.ports.add(
      { at: 0x11, length: 1 },
      sink(() => void (nested += inHandler)),
    );
    const runs = vcpus.map((vcpu) => vcpu.run(threaded));
    for (let i = 0; i < 10; i++) {
      // When this is over both wait to be served; a timer looks for posted writes first.
      for (const end = Date.now() + 25; Date.now() < end;);
      await delay(1);
    }
    vcpus.forEach((vcpu) => vcpu.stop());
    await Promise.all(runs);
    expect(nested).toBe(0);
  });

  it('goes on where it was, run after run, in either mode', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 1000 });
    let count = 0;
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        if (++count % 50 === 0) vcpu.stop();
      }),
    );
    let runs = 0;
    while ((await vcpu.run({ threaded: runs % 3 !== 0 })).reason === 'killed') {
      vcpu.kick();
      if (runs++ % 5 === 0) expect(vcpu.enter()).toMatchObject({ kind: 'interrupted', reason: 'kick' });
    }
    expect([count, runs]).toEqual([1000, 20]);
  });

  it('ends by an abort, by a device that throws and by one that rejects', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = backend.program({ kind: 'spin' }).vcpu.run({ ...threaded, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 5);
    await expect(aborted).rejects.toBe(reason);

    for (const write of [
      (): never => {
        throw new Error('device trouble');
      },
      () => Promise.reject(new Error('device trouble')),
    ]) {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10 });
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: write });
      expect(await codeOfAsync(() => vcpu.run(threaded))).toBe('ERR_HAX_DEVICE_FAILED');
    }
  });

  it('keeps to the CPUs of the host that it is given, and says which it cannot have', async () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x10, times: 20 });
    expect(await vcpu.run({ ...threaded, affinity: [allowedCpu()] })).toEqual({ reason: 'halted' });
    for (const affinity of [[], [-1], [1.5], [4096], 'all']) {
      expect(await codeOfAsync(async () => vcpu.run({ ...threaded, affinity: affinity as number[] }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(await codeOfAsync(async () => vcpu.run({ affinity: [0] }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(await codeOfAsync(async () => vcpu.run({ ...threaded, affinity: [1023] }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(await codeOfAsync(async () => vcpu.run({ threaded: 1 as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(vcpu.running).toBe(false);
  });
});

describeKvm('several vCPUs under the controllers of the kernel', (backend) => {
  /** Starts the other processor by INIT and SIPI (Intel SDM vol. 3, 8.4.4.1), and sends it vector 0x40 when it says that it is there. */
  const boot = `mov dword ptr [0xfee000f0], 0x1ff; mov dword ptr [0xfee00310], 0x01000000
    mov dword ptr [0xfee00300], 0x4500; mov dword ptr [0xfee00300], 0x4602
    1: cmp byte ptr [0x7000], 1; jne 1b; mov dword ptr [0xfee00300], 0x4040
    2: cmp byte ptr [0x7001], 1; jne 2b; mov al, 0x42; out 0x10, al; cli; hlt`;
  /** At 0x2000, where vector 2 of the SIPI leads. Its APIC is programmed through MSRs: real mode does not reach its addresses. */
  const application = `xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x6f00; lea ax, [3f]; mov [0x100], ax; mov word ptr [0x102], 0x200
    mov ecx, 0x1b; rdmsr; or eax, 0xc00; wrmsr; mov ecx, 0x80f; mov eax, 0x1ff; xor edx, edx; wrmsr
    mov al, 0x41; out 0x10, al; mov byte ptr [0x7000], 1; sti; 2: hlt; jmp 2b
    3: mov al, 0x43; out 0x10, al; mov byte ptr [0x7001], 1; cli; hlt`;

  function pair(): { vm: VirtualMachine; vcpus: Vcpu[]; written: number[] } {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: ramSize });
    const vcpus = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
    loadGuest(vm, vcpus[0], guestImage('flat32', boot));
    vm.memory.write(0x2000, assemble(application, { bits: 16, origin: 0 }));
    const written: number[] = [];
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink((value) => void written.push(value)),
    );
    return { vm, vcpus, written };
  }

  it('start each other by INIT and SIPI, interrupt each other, and end when all are halted for ever', async () => {
    const { vcpus, written } = pair();
    expect(vcpus.map((vcpu) => vcpu.mpState)).toEqual(['runnable', 'uninitialized']);
    const ends = await Promise.all(vcpus.map((vcpu) => vcpu.run(threaded)));
    expect({ ends, written }).toEqual({ ends: [{ reason: 'halted' }, { reason: 'halted' }], written: [0x41, 0x43, 0x42] });
    expect(vcpus.map((vcpu) => vcpu.mpState)).toEqual(['halted', 'halted']);
  });

  it('can be paused and resumed while one waits for its start', async () => {
    const { vcpus, written } = pair();
    const [processor, other] = vcpus;
    const otherRun = other.run(threaded);
    await delay(2);
    for (let i = 0; i < 5; i++) {
      other.pause();
      expect(other.mpState).toBe('uninitialized');
      other.resume();
    }
    const ends = await Promise.all([processor.run(threaded), otherRun]);
    expect({ ends, written }).toEqual({ ends: [{ reason: 'halted' }, { reason: 'halted' }], written: [0x41, 0x43, 0x42] });
  });

  it('are all stopped by a handler that took longer than the looks at halted ones are apart', async () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: ramSize });
    const [processor, other] = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
    loadGuest(vm, processor, guestImage('real', '1: cmp byte ptr [0x7000], 1; jne 1b; out 0x10, al; cli; hlt'));
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink(() => {
        for (const end = Date.now() + 300; Date.now() < end;);
        for (const vcpu of [processor, other]) vcpu.stop({ reason: 'powered-off' });
      }),
    );
    const runs = [processor, other].map((vcpu) => vcpu.run(threaded));
    await delay(450); // two looks: the other one waits for its start, and has done nothing since the first
    vm.memory.write(0x7000, Uint8Array.of(1));
    const poweredOff = { reason: 'powered-off' };
    expect(await Promise.all(runs)).toEqual([poweredOff, poweredOff]);
  });

  it.each([
    ['both on threads', true, true],
    ['the one that waits inline', false, true],
    ['the one that wakes it inline', true, false],
    ['both inline', false, false],
  ])('wait for each other: %s', async (_, ofWaiting, ofWaking) => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: ramSize });
    const [waiting, waking] = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
    // Vector 2 is the NMI's.
    vm.memory.write(0x2000, assemble('mov word ptr [8], 0x3000; mov word ptr [10], 0; cli; 1: hlt; jmp 1b', { origin: 0x2000 }));
    vm.memory.write(0x3000, assemble('mov al, 0x4e; out 0x10, al; cli; 1: hlt; jmp 1b', { origin: 0x3000 }));
    waiting.setState(realMode({ ip: 0x2000, sp: 0x6000 }));
    // An NMI for APIC id 0 (Intel SDM vol. 3, 11.6.1), once port 0x30 says so; then it halts for ever, too.
    const source = `1: in al, 0x30; test al, al; jz 1b; mov dword ptr [0xfee000f0], 0x1ff; mov dword ptr [0xfee00310], 0
      mov dword ptr [0xfee00300], 0x4400; cli; hlt`;
    loadGuest(vm, waking, guestImage('flat32', source));
    waking.mpState = 'runnable';
    const written: number[] = [];
    let says = 0;
    vm.ports.add({ at: 0x10, length: 1 }, sink((value) => void written.push(value))); // prettier-ignore
    vm.ports.add({ at: 0x30, length: 1 }, { read: () => says, write: () => undefined });
    const runs = [waiting.run({ threaded: ofWaiting }), waking.run({ threaded: ofWaking })];
    await delay(700); // looks at who is halted: inline after 0.5 s at most, threaded every 0.2
    expect([waiting.running, waking.running, written]).toEqual([true, true, []]);
    says = 1;
    expect(await Promise.all(runs)).toEqual([{ reason: 'halted' }, { reason: 'halted' }]);
    expect(written).toEqual([0x4e]);
  });

  it.each([0, 1])('are not halted for ever while one has an NMI that waits for its turn (vCPU %p)', async (target) => {
    // A busy machine may be so late that they have been seen to be halted before: then once more.
    for (let inTime = false; !inTime;) {
      const vm = backend.vm({ irqchip: 'kernel' });
      vm.mapMemory({ gpa: 0, size: ramSize });
      vm.memory.write(2 * 4, Uint8Array.of(0, 0x20, 0, 0));
      vm.memory.write(0x2000, assemble('mov al, 0x4e; out 0x10, al; 1: hlt; jmp 1b', { origin: 0x2000 }));
      const vcpus = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
      for (const vcpu of vcpus) loadGuest(vm, vcpu, guestImage('real', 'cli; 1: hlt; jmp 1b'));
      for (const vcpu of vcpus) vcpu.mpState = 'runnable';
      const written: number[] = [];
      vm.ports.add({ at: 0x10, length: 1 }, sink((value) => void written.push(value))); // prettier-ignore
      const runs = vcpus.map((vcpu) => vcpu.run());
      await delay(40);
      // Between two slices, and the next one ends with a look at who is halted, whoever has it.
      inTime = vcpus.every(({ running }) => running);
      vcpus[target].kvm.nmi();
      for (const end = Date.now() + 150; Date.now() < end;);
      expect(await Promise.all(runs)).toEqual([{ reason: 'halted' }, { reason: 'halted' }]);
      expect(written).toEqual(inTime ? [0x4e] : []);
    }
  });

  it('wait for an interrupt line as long as it takes', async () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: ramSize });
    const vcpu = vm.createVcpu();
    // IRQ 4 of the 8259 at vector 0x24; its handler writes and halts for ever.
    const source = `mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al
      mov al, 0xef; out 0x21, al; lea ax, [3f]; mov [0x90], ax; mov word ptr [0x92], 0; sti; 2: hlt; jmp 2b
      3: mov al, 0x44; out 0x10, al; cli; hlt`;
    loadGuest(vm, vcpu, guestImage('real', source));
    const written: number[] = [];
    vm.ports.add(
      { at: 0x10, length: 1 },
      sink((value) => void written.push(value)),
    );
    const run = vcpu.run(threaded);
    await delay(600); // three looks at whether it is halted for ever
    expect({ running: vcpu.running, written }).toEqual({ running: true, written: [] });
    vm.irqLine(4).set(true);
    expect(await run).toEqual({ reason: 'halted' });
    expect(written).toEqual([0x44]);
  });
});
