import { getEventListeners } from 'node:events';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { HaxError, type RunEnd, type Vcpu } from 'node-hax';
import { codeOf, codeOfAsync } from '../support/codes';
import { Recorder, at, kicksTooMany, sink } from '../support/guests';
import { describeEachBackend, type Backend } from '../support/hosts';

const killed: RunEnd = { reason: 'killed' };

/** What a rejected run has in common everywhere. */
async function failure(run: Promise<unknown>): Promise<HaxError> {
  const error: unknown = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof HaxError)) throw new Error(`not a HaxError: ${String(error)}`);
  return error;
}

describeEachBackend('run', (backend) => {
  it('serves accesses from the buses until the guest halts', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x3f8, value: 0x41, times: 5 });
    const device = new Recorder();
    vm.ports.add({ at: 0x3f8, length: 8 }, device);
    expect(vcpu.running).toBe(false);
    const run = vcpu.run();
    expect(vcpu.running).toBe(true);
    expect(await run).toEqual({ reason: 'halted' });
    expect(vcpu.running).toBe(false);
    expect(device.written).toEqual(new Array(5).fill({ offset: 0, value: 0x41, width: 1 }));
    const { handled, kinds, ports, slices } = vcpu.exits.snapshot();
    expect({ handled, ports, io: kinds.io, hlt: kinds.hlt }).toEqual({ handled: 6, ports: { '0x3f8': 5 }, io: 5, hlt: 1 });
    expect(slices).toBeGreaterThan(0);
    expect(vcpu.counters.entries).toBeGreaterThanOrEqual(6);
  });

  it('answers reads', async () => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
    vm.ports.add({ at: 0x60, length: 1 }, new Recorder([0x5a].values()));
    await vcpu.run();
    expect(vcpu.getState().rax & 0xffn).toBe(0x5an);
  });

  it('serves many exits, slice after slice', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 3000 });
    let count = 0;
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void count++ });
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(count).toBe(3000);
  });

  it('is refused while another is in progress, as is enter()', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    const run = vcpu.run();
    expect(await codeOfAsync(() => vcpu.run())).toBe('ERR_HAX_RUNNING');
    expect(codeOf(() => vcpu.enter())).toBe('ERR_HAX_RUNNING');
    vcpu.stop();
    expect(await run).toEqual(killed);
    vcpu.kick();
    expect(vcpu.enter()).toMatchObject({ kind: 'interrupted', reason: 'kick' });
  });

  it('can be asked from a handler for registers, and set them', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 4 });
    const seen: bigint[] = [];
    vm.ports.add(
      { at: 0x10, length: 1 },
      {
        read: () => 0,
        write: () => {
          seen.push(vcpu.getState().rcx);
          // From four turns to two.
          if (seen.length === 1) vcpu.setState({ rcx: vcpu.getState().rcx - 2n });
        },
      },
    );
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(seen.length).toBe(2);
  });
});

describeEachBackend('kick', (backend) => {
  it('ends the next entry, once', () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x10, times: 2 });
    vcpu.kick();
    vcpu.kick();
    expect(vcpu.enter()).toMatchObject({ kind: 'interrupted', reason: 'kick' });
    expect(vcpu.enter().kind).toBe('io');
    vcpu.kick();
    expect(vcpu.enter().kind).toBe('interrupted');
    expect(vcpu.enter().kind).toBe('io');
    expect(vcpu.enter().kind).toBe('hlt');
    expect(kicksTooMany(vcpu, 2)).toBe(0);
  });

  it('of a spinning guest comes back at once', () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    for (let i = 0; i < 10; i++) {
      vcpu.kick();
      expect(vcpu.enter().kind).toBe('interrupted');
    }
  });

  it('during a run, from a handler or a timer, only gives the event loop a turn', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 50 });
    let count = 0;
    const device = sink(() => {
      vcpu.kick();
      count++;
    });
    vm.ports.add({ at: 0x10, length: 1 }, device);
    vcpu.kick();
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(count).toBe(50);
    expect(vcpu.counters.kicks).toBeGreaterThanOrEqual(50);
  });

  it('before a run does not end it', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    vcpu.kick();
    const run = vcpu.run();
    const timer = setInterval(() => vcpu.kick(), 1);
    await delay(30);
    expect(vcpu.running).toBe(true);
    clearInterval(timer);
    vcpu.stop();
    expect(await run).toEqual(killed);
  });
});

describeEachBackend('stop', (backend) => {
  it('ends a spinning guest from a timer, as killed or as asked', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    for (const end of [killed, { reason: 'powered-off' }, { reason: 'exit-code', status: 3 }] as const) {
      setTimeout(() => (end === killed ? vcpu.stop() : vcpu.stop(end)), 5);
      expect(await vcpu.run()).toEqual(end);
    }
  });

  it('without a run does nothing', async () => {
    const { vcpu } = backend.program({ kind: 'out', port: 1 });
    vcpu.stop();
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    vcpu.stop();
    expect(codeOf(() => vcpu.stop(null as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('at once after the start', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    const run = vcpu.run();
    vcpu.stop();
    vcpu.stop({ reason: 'reset' });
    expect(await run).toEqual(killed);
  });

  it('in a handler ends the guest behind that access, and a run goes on from there', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 5 });
    let count = 0;
    const device = sink((_, number) => {
      count = number;
      if (number === 2) vcpu.stop({ reason: 'reset' });
    });
    vm.ports.add({ at: 0x10, length: 1 }, device);
    expect(await vcpu.run()).toEqual({ reason: 'reset' });
    expect(count).toBe(2);
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(count).toBe(5);
  });

  it('is what close() of the vCPU, the VM or the hypervisor does', async () => {
    for (const close of [(vcpu: Vcpu) => vcpu.close(), (vcpu: Vcpu) => vcpu.vm.close(), (vcpu: Vcpu) => vcpu.vm.hypervisor.close()]) {
      const { vcpu } = backend.program({ kind: 'spin' });
      setTimeout(close, 5, vcpu);
      expect(await vcpu.run()).toEqual(killed);
      const other = backend.program({ kind: 'out', port: 0x10, times: 3 });
      let count = 0;
      const device = sink(() => {
        count++;
        close(other.vcpu);
      });
      other.vm.ports.add({ at: 0x10, length: 1 }, device);
      expect(await other.vcpu.run()).toEqual(killed);
      expect(count).toBe(1);
    }
  });
});

describeEachBackend('abort', (backend) => {
  it('rejects with the reason, before and during a run', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    const reason = new Error('enough');
    await expect(vcpu.run({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(vcpu.running).toBe(false);
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 5);
    await expect(vcpu.run({ signal: controller.signal })).rejects.toBe(reason);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    expect(vcpu.running).toBe(false);
    await expect(vcpu.run({ signal: AbortSignal.timeout(5) })).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('after the end does nothing, and nothing listens any more', async () => {
    const { vcpu } = backend.program({ kind: 'out', port: 1 });
    const controller = new AbortController();
    expect(await vcpu.run({ signal: controller.signal })).toEqual({ reason: 'halted' });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    controller.abort();
    const other = new AbortController();
    const run = backend.program({ kind: 'spin' }).vcpu.run({ signal: other.signal });
    other.abort('a word');
    await expect(run).rejects.toBe('a word');
  });

  it('from a handler stops behind that access', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 5 });
    const controller = new AbortController();
    let count = 0;
    const device = sink((_, number) => {
      count = number;
      controller.abort(new Error('from within'));
    });
    vm.ports.add({ at: 0x10, length: 1 }, device);
    await expect(vcpu.run({ signal: controller.signal })).rejects.toThrow('from within');
    expect(count).toBe(1);
  });
});

describeEachBackend('handlers that answer later', (backend) => {
  it('park the vCPU while timers run', async () => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
    const log: string[] = [];
    const read = async (): Promise<number> => {
      log.push('asked');
      setTimeout(() => log.push('timer'), 1);
      await delay(10);
      log.push('answered');
      return 0x1ff;
    };
    vm.ports.add({ at: 0x60, length: 1 }, { read, write: () => undefined });
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(log).toEqual(['asked', 'timer', 'answered']);
    expect(vcpu.getState().rax & 0xffffn).toBe(0xffn);
  });

  it('keep the order of writes', async () => {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 20 });
    const log: string[] = [];
    const write = async (): Promise<void> => {
      log.push('begin');
      await turn();
      log.push('end');
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(log).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'begin' : 'end')));
  });

  it('may answer at once', async () => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x10 });
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => Promise.resolve(7), write: () => undefined });
    await vcpu.run();
    expect(vcpu.getState().rax & 0xffn).toBe(7n);
  });

  it('do not hold up stop() or abort(), and what they say afterwards is not heard', async () => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x10 });
    let settle: { resolve: (value: number) => void; reject: (error: Error) => void } | undefined;
    let asked: () => void = () => vcpu.stop();
    const read = (): Promise<number> => {
      setTimeout(() => asked(), 2);
      return new Promise((resolve, reject) => (settle = { resolve, reject }));
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read, write: () => undefined });
    expect(await vcpu.run()).toEqual(killed);
    settle!.resolve(1);
    await turn();
    const second = backend.program({ kind: 'in', port: 0x10 });
    second.vm.ports.add({ at: 0x10, length: 1 }, { read, write: () => undefined });
    const controller = new AbortController();
    asked = () => controller.abort(new Error('enough'));
    await expect(second.vcpu.run({ signal: controller.signal })).rejects.toThrow('enough');
    // Not an unhandled rejection either: Jest would fail the test.
    settle!.reject(new Error('too late'));
    await turn();
  });

  it('do not hold up close()', async () => {
    const { vm, vcpu } = backend.program({ kind: 'in', port: 0x10 });
    const read = (): Promise<number> => {
      setTimeout(() => vm.close(), 2);
      return new Promise<number>(() => undefined);
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read, write: () => undefined });
    expect(await vcpu.run()).toEqual(killed);
  });
});

describeEachBackend('a device that fails', (backend) => {
  it.each([false, true])('whatever it throws or rejects with, by which the run ends; threaded %s', async (threaded) => {
    const thrown: unknown = Object.create(null); // which String() refuses
    for (const read of [
      (): never => {
        throw thrown;
      },
      async (): Promise<never> =>
        Promise.resolve().then(() => {
          throw thrown;
        }),
    ]) {
      const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
      vm.ports.add({ at: 0x60, length: 1 }, { read, write: () => undefined });
      const error = await failure(vcpu.run({ threaded }));
      expect([error.code, error.cause]).toEqual(['ERR_HAX_DEVICE_FAILED', thrown]);
      // The access is made, with what an open bus gives, and the guest may go on behind it.
      expect(vcpu.getState().rax & 0xffn).toBe(0xffn);
      expect([await vcpu.run({ threaded }), vcpu.getState().rax & 0xffn]).toEqual([{ reason: 'halted' }, 0xffn]);
    }
  });

  const cause = new Error('out of paper');

  /** The guest's instruction pointer as the error and the registers tell it. */
  async function fails(make: () => ReturnType<Backend['program']>, message: RegExp, expected: unknown): Promise<Vcpu> {
    const { vcpu } = make();
    const error = await failure(vcpu.run());
    expect(error.code).toBe('ERR_HAX_DEVICE_FAILED');
    expect(error.message).toMatch(message);
    expect(error.rip).toEqual(expect.any(BigInt));
    expect(error.message).toContain(`0x${error.rip!.toString(16)}`);
    expect(error.cause).toBe(expected);
    expect(vcpu.running).toBe(false);
    return vcpu;
  }

  it('by throwing stops the vCPU and tells where', async () => {
    const make = () => {
      const made = backend.program({ kind: 'out', port: 0x10, times: 2 });
      let first = true;
      const write = (): void => {
        if (!first) return;
        first = false;
        throw cause;
      };
      made.vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      return made;
    };
    const vcpu = await fails(make, /OUT to port 0x10 failed at guest rip 0x[0-9a-f]+: out of paper/, cause);
    // The vCPU is not broken by it.
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
  });

  it('while it is read, by throwing anything', async () => {
    const make = () => {
      const made = backend.program({ kind: 'in', port: 0x64 });
      const read = (): number => {
        throw 'a string'; // eslint-disable-line @typescript-eslint/only-throw-error
      };
      made.vm.ports.add({ at: 0x64, length: 1 }, { read, write: () => undefined });
      return made;
    };
    await fails(make, /IN from port 0x64 failed at guest rip 0x[0-9a-f]+: a string/, 'a string');
  });

  it('by a promise that is rejected', async () => {
    const make = () => {
      const made = backend.program({ kind: 'in', port: 0x64 });
      made.vm.ports.add({ at: 0x64, length: 1 }, { read: () => delay(2).then(() => Promise.reject(cause)), write: () => undefined });
      return made;
    };
    await fails(make, /failed at guest rip 0x[0-9a-f]+: out of paper/, cause);
  });

  it('by giving something else than a number', async () => {
    for (const [value, later] of [
      ['7', false],
      [undefined, false],
      [7n, false],
      ['7', true],
    ] as const) {
      const { vm, vcpu } = backend.program({ kind: 'in', port: 0x64 });
      vm.ports.add({ at: 0x64, length: 1 }, { read: () => (later ? Promise.resolve(value) : value) as never, write: () => undefined });
      const error = await failure(vcpu.run());
      expect([error.code, error.rip]).toEqual(['ERR_HAX_DEVICE_FAILED', expect.any(BigInt)]);
      expect(error.message).toMatch(/instead of a number/);
    }
  });
});

describeEachBackend('strings from a device that moves several elements an exit', (backend) => {
  // The null device does so with any count; processors do it where their emulator can.
  const make = (direction: 'in' | 'out', size: number, count: number): ReturnType<Backend['program']> => {
    const letter = { 1: 'b', 2: 'w', 4: 'd' }[size]!;
    if (backend.name === 'null') {
      const made = backend.program(direction === 'in' ? { kind: 'in', port: 0x10 } : { kind: 'out', port: 0x10, value: 1 });
      made.vcpu.setState({ r8: count, r9: size });
      return made;
    }
    const source = direction === 'in' ? `rep ins${letter}` : `rep outs${letter}`;
    const made = backend.guest('real', `cld; mov dx, 0x10; mov si, 0x7000; mov di, 0x7000; mov cx, ${count}; ${source}; hlt`);
    made.vm.memory.write(
      at.data,
      Uint8Array.from({ length: count * size }, (_, i) => i + 1),
    );
    return made;
  };
  const elements = (size: number, count: number): number[] => {
    const bytes = Buffer.from(Array.from({ length: size * count }, (_, i) => (i + 1) & 0xff));
    return Array.from({ length: count }, (_, i) => bytes.readUIntLE(i * size, size));
  };

  it.each([
    [1, 30],
    [2, 17],
    [4, 9],
  ])('of %i bytes are written one by one', async (size, count) => {
    const { vm, vcpu } = make('out', size, count);
    const device = new Recorder();
    vm.ports.add({ at: 0x10, length: 4 }, device);
    expect(await vcpu.run()).toEqual({ reason: 'halted' });
    expect(device.written).toEqual(elements(size, count).map((value) => ({ offset: 0, value, width: size })));
  });

  it.each([
    [1, 30],
    [2, 17],
    [4, 9],
  ])('of %i bytes are read one by one, by a device that answers later too', async (size, count) => {
    for (const later of [false, true]) {
      const { vm, vcpu } = make('in', size, count);
      const values = elements(size, count);
      let next = 0;
      const read = (): number | Promise<number> => {
        const value = values[next++];
        return later && next % 3 === 0 ? turn(value) : value;
      };
      vm.ports.add({ at: 0x10, length: 4 }, { read, write: () => undefined });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(next).toBe(count);
      const sum = Array.from({ length: size * count }, (_, i) => (i + 1) & 0xff).reduce((a, b) => a + b);
      const bytes = backend.name === 'null' ? [] : [...vm.memory.read(at.data, size * count)];
      expect(backend.name === 'null' ? Number(vcpu.getState().rax) : bytes.reduce((a, b) => a + b)).toBe(sum);
    }
  });

  it('end where the device fails or stops the vCPU', async () => {
    for (const later of [false, true]) {
      const { vm, vcpu } = make('out', 1, 20);
      let count = 0;
      const write = (): void | Promise<void> => {
        if (++count === 5) throw new Error('jammed');
        return later ? turn(undefined) : undefined;
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      expect((await failure(vcpu.run())).code).toBe('ERR_HAX_DEVICE_FAILED');
      expect(count).toBe(5);
      const other = make('out', 1, 20);
      const device = sink((_, number) => {
        count = number;
        if (number === 7) other.vcpu.stop();
      });
      other.vm.ports.add({ at: 0x10, length: 1 }, device);
      expect(await other.vcpu.run()).toEqual(killed);
      expect(count).toBe(7);
    }
  });

  it('have read all-ones from where the device stopped the vCPU', async () => {
    for (const later of [false, true]) {
      const { vm, vcpu } = make('in', 1, 4);
      let count = 0;
      const read = (): number | Promise<number> => {
        if (++count === 2) vcpu.stop();
        return later ? turn(1) : 1;
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read, write: () => undefined });
      expect(await vcpu.run()).toEqual(killed);
      if (backend.name === 'null') expect(vcpu.getState().rax).toBe(BigInt(later ? 1 + 3 * 0xff : 2 + 2 * 0xff));
      else expect([...vm.memory.read(at.data, 2)]).toEqual([1, later ? 0xff : 1]);
    }
  });

  it('end when the run was stopped while the device was busy', async () => {
    const { vm, vcpu } = make('out', 1, 20);
    let count = 0;
    const write = async (): Promise<void> => {
      if (++count === 3) setTimeout(() => vcpu.stop(), 1);
      await delay(5);
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
    expect(await vcpu.run()).toEqual(killed);
    const before = count;
    await delay(30);
    expect(count).toBe(before);
  });
});
