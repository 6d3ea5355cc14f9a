/** launch() and the Machine, as scripts use them. */
import { readdirSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { errorTable, HaxError, isCrash, launch, Machine, type MachineOptions, type UnclaimedAccess } from 'node-hax';
import { codeOf, codeOfAsync } from '../support/codes';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, Files, multibootKernel, place, print } from './images';

const files = new Files();
const machines = new Set<Machine>();
afterEach(async () => {
  for (const machine of machines) await machine.close();
  machines.clear();
});
afterAll(() => files.remove());

async function start(kernel: Uint8Array | string, options: Partial<MachineOptions> = {}): Promise<Machine> {
  const machine = await launch({ kernel, ...options });
  machines.add(machine);
  return machine;
}

const spin = bootSector(`${print('spinning\r\n')}\n${ending.spin}`);
const reset = bootSector(`${print('boot.')}\n${ending.acpiReset}`);
const two = bootSector(`${print('first line\r\nsecond line\r\n')}\n${ending.powerOff}`);

describeKvm('launch', () => {
  it('runs the guest to its end, from bytes or from a file', async () => {
    for (const kernel of [two, files.write('two', two)]) {
      const machine = await start(kernel);
      expect(machine.state).toBe('running');
      expect(await machine.ended).toEqual({ reason: 'powered-off' });
      expect([machine.state, machine.console.transcript]).toEqual(['stopped', 'first line\r\nsecond line\r\n']);
    }
  });

  it.each<[string, string, string, string, boolean]>([
    ['halted', ending.halt, 'halted', 'stopped', false],
    ['a panic', ending.panic, 'panicked', 'failed', true],
    ['a reset that ends it', ending.keyboardReset, 'reset', 'stopped', false],
  ])('tells how the guest ended: %s', async (_what, source, reason, state, crash) => {
    const machine = await start(bootSector(source), { reboot: false });
    const end = await machine.ended;
    expect({ reason: end.reason, state: machine.state, crash: isCrash(end) }).toEqual({ reason, state, crash });
  });

  it('debugExit gives the status, at port 0xf4 or another', async () => {
    const source = (port: number): Uint8Array => bootSector(`mov dx, ${port}\n mov al, 0x15\n out dx, al\n ${ending.halt}`);
    expect(await (await start(source(0xf4), { debugExit: true })).ended).toEqual({ reason: 'exit-code', status: 0x2b });
    expect(await (await start(source(0x501), { debugExit: 0x501 })).ended).toEqual({ reason: 'exit-code', status: 0x2b });
    expect(await (await start(source(0xf4))).ended).toEqual({ reason: 'halted' });
  });

  it('hands what a multiboot kernel wants: magic, command line, modules, memory map', async () => {
    const kernel = multibootKernel(`cmp eax, 0x2badb002\n jne bad
      mov ebp, ebx\n mov esi, [ebp + 16]\n call puts\n mov al, 10\n call putc
      mov ecx, [ebp + 20]\n mov edi, [ebp + 24]
      module: mov esi, [edi]\n call puts\n mov al, 10\n call putc\n add edi, 16\n loop module
      ${ending.powerOff}
      bad: ${print('bad', 'esi')}\n ${ending.halt}`);
    const machine = await start(files.write('kernel', kernel), {
      append: 'a=1 b',
      initrd: [Buffer.from('one\0'), files.write('two.txt', 'two\0')],
    });
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    expect(machine.console.transcript).toBe(`${files.at('kernel')} a=1 b\none\ntwo\n`);
  });

  it('tells a boot sector of COM1 where a BIOS does, and what memory ACPI keeps', async () => {
    const { vm, ended } = await start(bootSector(ending.powerOff));
    await ended;
    expect([vm.memory.readU16(0x400), vm.memory.readU16(0x410)]).toEqual([place.com1, 1 << 9]);
    // The type of the memory at 0xe0000 in the map, which has entries of 20 bytes behind their size.
    const mapped = multibootKernel(`mov esi, [ebx + 48]
      1: cmp dword ptr [esi + 4], 0xe0000\n je 2f\n add esi, [esi]\n add esi, 4\n jmp 1b
      2: mov eax, [esi + 20]\n out 0xf4, al\n ${ending.halt}`);
    for (const [irqchip, type] of [
      ['kernel', 3],
      ['user', 4],
    ] as const) {
      const machine = await start(mapped, { irqchip, debugExit: true });
      expect(await machine.ended).toMatchObject({ reason: 'exit-code', status: (type << 1) | 1 });
    }
  });

  it.each([
    ['one that is closed', ending.spin],
    ['one that resets', ending.keyboardReset],
  ])('the timers of a machine end with it: %s', async (_which, end) => {
    // The PIT at 1 kHz, behind a PIC that is set up and masks nothing.
    const writes = [
      ...[0x11, 0x20, 4, 1, 0].map((value, i) => ({ port: i === 0 ? 0x20 : 0x21, value })),
      ...[0x34, 0xa9, 0x04].map((value, i) => ({ port: i === 0 ? 0x43 : 0x40, value })),
    ];
    const ticking = bootSector(`cli\n ${writes.map(({ port, value }) => `mov al, ${value}\n out ${port}, al`).join('\n')}\n ${end}`);
    const machine = await start(ticking, { irqchip: 'user' });
    await sleep(300);
    await machine.close();
    await sleep(20);
    const timers = jest.spyOn(globalThis, 'setTimeout');
    await sleep(200);
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  it('debugConsole goes to its own stream', async () => {
    const output = new PassThrough();
    const machine = await start(bootSector(`mov al, 'd'\n out 0xe9, al\n ${ending.powerOff}`), { debugConsole: { output } });
    await machine.ended;
    output.end();
    expect(await text(output)).toBe('d');
  });

  it('onUnclaimed tells of every port once, guest after guest', async () => {
    const seen: UnclaimedAccess[] = [];
    const source = bootSector(`mov dx, 0x1234\n mov al, 7\n out dx, al\n out dx, al\n in ax, dx\n ${ending.powerOff}`);
    await (
      await start(source, { onUnclaimed: (access) => seen.push(access) })
    ).ended;
    expect(seen).toEqual([
      { bus: 'port', address: 0x1234, width: 1, direction: 'out', value: 7 },
      { bus: 'port', address: 0x1234, width: 2, direction: 'in', value: undefined },
    ]);
  });

  it('onProgress follows files into memory', async () => {
    const steps: [string, number, number][] = [];
    const initrd = files.write('initrd', Buffer.alloc(9 * 2 ** 20));
    const kernel = multibootKernel(ending.powerOff);
    await (
      await start(kernel, { initrd, onProgress: (...step) => steps.push(step) })
    ).ended;
    expect(steps.map(([, done]) => done)).toEqual([...steps.map(([, done]) => done)].sort((a, b) => a - b));
    expect(steps.at(-1)).toEqual([initrd, 9 * 2 ** 20, 9 * 2 ** 20]);
  });

  it('gives access to memory, registers and counts', async () => {
    const machine = await start(elfProgram(`mov dword ptr [0x200000], 0x12345678\n ${ending.halt}`));
    await machine.ended;
    expect(machine.vm.memory.readU32(0x200000)).toBe(0x12345678);
    expect(machine.vcpu.getState().rip).toBeGreaterThan(0x100000n);
    expect(machine.statistics).toMatchObject({ resets: 0, handled: 0 });
    expect(machine.statistics.guestNs).toBeGreaterThan(0);
    await machine.close();
    expect(machine.statistics.resets).toBe(0);
  });

  it("a device of a script can be added, and what it throws ends the machine with the guest's place", async () => {
    const machine = new Machine({ kernel: bootSector(`in al, 0x42\n in al, 0x43\n ${ending.halt}`) });
    machines.add(machine);
    machine.vm.ports.add({ at: 0x142, length: 1 }, { read: () => 0, write: () => undefined });
    machine.start();
    await machine.ended;
    const failing = new Machine({ kernel: bootSector(`mov dx, 0x142\n in al, dx\n ${ending.halt}`) });
    machines.add(failing);
    failing.vm.ports.add(
      { at: 0x142, length: 1 },
      {
        read: () => {
          throw new RangeError('no such register');
        },
        write: () => undefined,
      },
    );
    const wait = failing.console.waitFor('never');
    failing.start();
    const error = (await failing.ended.catch((reason: unknown) => reason)) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect(error).toMatchObject({
      code: 'ERR_HAX_DEVICE_FAILED',
      message: expect.stringMatching(/0x142.*no such register/),
      cause: expect.any(RangeError),
    });
    expect(error.rip).toBeGreaterThanOrEqual(0x7c00n);
    expect(failing.state).toBe('failed');
    await expect(wait).rejects.toMatchObject({ code: 'ERR_HAX_ENDED', cause: error });
  });

  it('runs several machines at once', async () => {
    const all = await Promise.all([1, 2, 3].map((n) => start(bootSector(`${print(`machine ${n}`)}\n${ending.powerOff}`))));
    expect(await Promise.all(all.map((machine) => machine.ended))).toEqual(all.map(() => ({ reason: 'powered-off' })));
    expect(all.map((machine) => machine.console.transcript)).toEqual(['machine 1', 'machine 2', 'machine 3']);
  });

  it('leaves the event loop its turns while the guest spins', async () => {
    const machine = await start(spin);
    await machine.console.waitFor('spinning');
    let turns = 0;
    const interval = setInterval(() => turns++, 10);
    await sleep(500);
    clearInterval(interval);
    expect(turns).toBeGreaterThan(10);
  });

  it('notices a halted guest although timers fire all the time', async () => {
    const interval = setInterval(() => undefined, 3);
    try {
      expect(await (await start(bootSector(ending.halt))).ended).toEqual({ reason: 'halted' });
    } finally {
      clearInterval(interval);
    }
  });
});

describeKvm('a reset', () => {
  it('starts the machine again and is told', async () => {
    const machine = await start(reset);
    let resets = 0;
    machine.on('reset', () => {
      if (++resets === 3) machine.kill();
    });
    expect(await machine.ended).toEqual({ reason: 'killed' });
    expect(resets).toBe(3);
    expect(machine.statistics.resets).toBe(3);
    expect(machine.console.transcript).toBe('boot.boot.boot.');
  });

  it('a listener may close the machine', async () => {
    const machine = await start(reset);
    const closed = new Promise<void>((resolve) => machine.once('reset', () => resolve(machine.close())));
    expect(await machine.ended).toEqual({ reason: 'killed' });
    await closed;
  });

  it.each([false, true])('a listener may pause the machine; threaded %s', async (threaded) => {
    const machine = await start(reset, { threaded });
    let resets = 0;
    await new Promise<void>((resolve) =>
      machine.on('reset', () => {
        if (++resets > 1) return;
        machine.pause();
        resolve();
      }),
    );
    await sleep(50);
    expect([machine.state, resets, machine.vcpu.paused, machine.vcpu.counters.entries]).toEqual(['paused', 1, true, 0]);
    machine.resume();
    await machine.console.waitFor('boot.boot.boot.');
    expect(machine.state).toBe('running');
  });

  describe('while an output holds the guest back', () => {
    const noisy = bootSector(
      `mov dx, 0x3f8\n mov cx, 0x6000\n mov al, 65\n 1: out dx, al\n out 0xe9, al\n loop 1b\n ${ending.keyboardReset}`,
    );
    /** A guest that has reset itself, which waits; `drain` has the output take all from now on. */
    async function waiting(which: 'output' | 'stream' | 'debugConsole', options: Partial<MachineOptions> = {}) {
      let [taken, room] = [0, false];
      let drain: () => void = () => undefined;
      const output = (bytes: Uint8Array, onDrain: () => void): boolean => {
        taken += bytes.length;
        drain = onDrain;
        return room;
      };
      const writable = new Writable({
        write: (bytes: Uint8Array, _encoding, done) => {
          if (output(bytes, done)) done();
        },
      });
      const machine = await start(noisy, {
        ...options,
        ...(which === 'output' && { output }),
        ...(which === 'debugConsole' && { debugConsole: { output: writable } }),
      });
      if (which === 'stream') machine.console.pipe(writable);
      while (machine.vcpu.running && machine.statistics.resets < 30) await sleep(2);
      return {
        machine,
        drain: () => {
          room = true;
          drain();
        },
        taken: () => taken,
      };
    }

    it.each(['output', 'stream', 'debugConsole'] as const)('(%s) it waits; then all is there', async (which) => {
      const { machine, drain, taken } = await waiting(which);
      const { resets } = machine.statistics;
      expect([machine.state, machine.vcpu.running, resets < 30]).toEqual(['running', false, true]);
      drain();
      while (machine.statistics.resets < resets + 3) await sleep(2);
      await machine.close();
      if (which === 'output') expect(taken()).toBe(machine.console.transcript.length);
      expect(taken()).toBeGreaterThanOrEqual((resets + 3) * 0x5f00);
    });

    it('it can be paused, killed, closed and aborted', async () => {
      const { machine, drain } = await waiting('output');
      machine.pause();
      expect(machine.state).toBe('paused');
      const begun = new Promise<void>((resolve) => machine.once('reset', resolve));
      drain();
      await begun;
      expect([machine.state, machine.vcpu.counters.entries]).toEqual(['paused', 0]);
      machine.resume();
      while (machine.vcpu.counters.entries === 0) await sleep(2);

      const killed = (await waiting('output')).machine;
      const { resets } = killed.statistics;
      killed.kill();
      expect(await killed.ended).toEqual({ reason: 'killed' });
      expect(killed.statistics.resets).toBe(resets);
      const closed = (await waiting('stream')).machine;
      await closed.close();
      expect(await closed.ended).toEqual({ reason: 'killed' });

      const controller = new AbortController();
      const aborted = (await waiting('debugConsole', { signal: controller.signal })).machine;
      controller.abort('enough');
      await expect(aborted.ended).rejects.toBe('enough');
    });
  });

  it('waits go on across it', async () => {
    const machine = await start(reset);
    const { before } = await machine.console.waitFor('boot.boot.');
    expect(before).toBe('');
    await machine.console.waitFor('boot.');
  });

  it('a kernel file that has gone since, or changed, ends the machine with an error of ours', async () => {
    const kernel = files.write('shrinking', elfProgram(`${print('boot.', 'esi')}\n mov ecx, 100000\n 1: loop 1b\n ${ending.acpiReset}`));
    const machine = await start(kernel);
    await machine.console.waitFor('boot.');
    writeFileSync(kernel, 'x');
    expect(await codeOfAsync(() => machine.ended)).toMatch(/^ERR_HAX_(FILE|IMAGE)$/);
    expect(machine.state).toBe('failed');
  });
});

describeKvm('ends from outside', () => {
  it('kill', async () => {
    const machine = await start(spin);
    await machine.console.waitFor('spinning');
    const wait = codeOfAsync(() => machine.console.waitFor('never'));
    machine.kill();
    expect(await machine.ended).toEqual({ reason: 'killed' });
    expect(await wait).toBe('ERR_HAX_ENDED');
    machine.kill();
  });

  it('close ends the guest and may be called again, also at once and before start()', async () => {
    const machine = await start(spin);
    await Promise.all([machine.close(), machine.close()]);
    await machine.close();
    expect(await machine.ended).toEqual({ reason: 'killed' });
    expect(machine.vm.closed).toBe(true);
    const unstarted = new Machine({ kernel: spin });
    expect(unstarted.state).toBe('created');
    await unstarted.close();
    expect(await unstarted.ended).toEqual({ reason: 'killed' });
    expect(codeOf(() => unstarted.start())).toBe('ERR_HAX_RUNNING');
    await (await start(spin))[Symbol.asyncDispose]();
  });

  it('a pause before start() counts, and a resume', async () => {
    for (const resume of [false, true]) {
      const machine = new Machine({ kernel: two });
      machines.add(machine);
      machine.pause();
      if (resume) machine.resume();
      expect(machine.state).toBe('created');
      machine.start();
      expect(machine.state).toBe(resume ? 'running' : 'paused');
      await sleep(20);
      machine.resume();
      expect(await machine.ended).toEqual({ reason: 'powered-off' });
    }
  });

  it('a kill before start() counts', async () => {
    const machine = new Machine({ kernel: spin });
    machines.add(machine);
    machine.kill();
    machine.start();
    expect(await machine.ended).toEqual({ reason: 'killed' });
    expect(machine.console.transcript).toBe('');
  });

  it('abort: everything pending, and everything later, rejects with the reason', async () => {
    const controller = new AbortController();
    const machine = await start(spin, { signal: controller.signal });
    await machine.console.waitFor('spinning');
    const waits = [machine.console.waitFor('never'), machine.console.waitFor(/never/, { timeout: 60_000 })];
    const reason = new Error('enough');
    controller.abort(reason);
    for (const each of [...waits, machine.ended, machine.console.waitFor('later')]) await expect(each).rejects.toBe(reason);
    expect(machine.state).toBe('failed');
  });

  it('AbortSignal.timeout', async () => {
    const machine = await start(spin, { signal: AbortSignal.timeout(200) });
    await expect(machine.ended).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('a signal that has been aborted before', async () => {
    await expect(launch({ kernel: spin, signal: AbortSignal.abort('before') })).rejects.toBe('before');
  });

  it('start() a second time', async () => {
    const machine = await start(spin);
    expect(codeOf(() => machine.start())).toBe('ERR_HAX_RUNNING');
  });
});

describeKvm('launch refuses', () => {
  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'ERR_HAX_INVALID_ARGUMENT'],
    ['no kernel', {}, 'ERR_HAX_INVALID_ARGUMENT'],
    ['an empty name', { kernel: '' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a kernel that is an object', { kernel: {} }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['an initrd that is a number', { kernel: spin, initrd: 7 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['no memory', { kernel: spin, memory: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['memory by a wrong word', { kernel: spin, memory: 'much' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['too little memory', { kernel: spin, memory: '64K' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['half a page', { kernel: spin, memory: 2 ** 21 + 2048 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['more memory than there is', { kernel: spin, memory: '64T' }, 'ERR_HAX_NO_MEMORY'],
    ['no vCPU', { kernel: spin, cpus: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['more vCPUs than have APIC ids', { kernel: spin, cpus: 256 }, 'ERR_HAX_INVALID_ARGUMENT'],
    [
      'a debug console where the kernel has its controllers',
      { kernel: spin, debugConsole: { port: 0x20, output: new PassThrough() } },
      'ERR_HAX_OVERLAP',
    ],
    ['a debug exit over its timer', { kernel: spin, debugExit: 0x3f }, 'ERR_HAX_OVERLAP'],
    ['two vCPUs without local APICs', { kernel: spin, cpus: 2, irqchip: 'user' }, 'ERR_HAX_UNSUPPORTED'],
    ['a kernel of another realm, of no format', { kernel: runInNewContext('new Uint8Array(512)') }, 'ERR_HAX_IMAGE'],
    ['an option that there is not', { kernel: spin, memoy: '1M' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity for no thread', { kernel: spin, affinity: [[0]] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity of numbers', { kernel: spin, threaded: true, affinity: [0] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity for vCPUs that there are not', { kernel: spin, threaded: true, affinity: [[0], [0]] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity that is no list', { kernel: spin, cpus: 2, affinity: 1 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a debug port that there is not', { kernel: spin, debugExit: 0x10000 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a debug port where COM1 is', { kernel: spin, debugExit: 0x3f8 }, 'ERR_HAX_OVERLAP'],
    ['a format that there is not', { kernel: spin, format: 'com' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a kernel of another format', { kernel: spin, format: 'elf' }, 'ERR_HAX_IMAGE'],
    ['a kernel of no format', { kernel: Buffer.from('text') }, 'ERR_HAX_IMAGE'],
    ['a file that is not there', { kernel: '/nonexistent' }, 'ERR_HAX_FILE'],
    ['a directory', { kernel: '/' }, 'ERR_HAX_FILE'],
    ['an initrd that is not there', { kernel: spin, initrd: '/nonexistent' }, 'ERR_HAX_FILE'],
    ['an unknown backend', { kernel: spin, backend: 'vmware' }, 'ERR_HAX_UNKNOWN_BACKEND'],
  ])('%s', async (_what, options, code) => {
    const error = (await launch(options as MachineOptions).then(
      () => undefined,
      (reason: unknown) => reason,
    )) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(/^[^\n]+$/)]);
    expect(Object.keys(errorTable)).toContain(error.code);
  });

  it('and leaves nothing open', async () => {
    await codeOfAsync(() => launch({ kernel: files.write('bad', 'bad') }));
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 20; i++) await codeOfAsync(() => launch({ kernel: files.at('bad'), initrd: files.at('bad') }));
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describeKvm('a process with machines', () => {
  const library = path.resolve(__dirname, '../../dist/index.js');
  const script = (body: string): RunningCommand => {
    const kernel = files.write('spin', spin);
    const file = files.write(
      'script.js',
      `const { launch } = require(${JSON.stringify(library)});
       (async () => { const machine = await launch({ kernel: ${JSON.stringify(kernel)} }); await machine.console.waitFor('spinning'); ${body} })();`,
    );
    return new RunningCommand(process.execPath, [file]);
  };

  it('lives as long as a machine runs', async () => {
    const running = script(
      "setTimeout(() => { console.log('alive'); machine.kill(); }, 400); machine.ended.then((end) => console.log(end.reason));",
    );
    const { status, stdout, stderr } = await running.end();
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'alive\nkilled\n', stderr: '' });
  });

  it.each([
    ['unref()', 'machine.unref();', 0],
    ['unref() after ref()', 'machine.ref(); machine.unref();', 0],
    ['process.exit()', 'process.exit(7);', 7],
    ['close()', 'machine.close();', 0],
  ])('may end by %s while the guest spins', async (_what, body, expected) => {
    const { status, signal, stderr, milliseconds } = await script(body).end();
    expect({ status, signal, stderr }).toEqual({ status: expected, signal: undefined, stderr: '' });
    expect(milliseconds).toBeLessThan(10_000);
  });

  it('ends with an uncaught error while the guest spins', async () => {
    const { status, stderr } = await script("throw new Error('uncaught');").end();
    expect(status).toBe(1);
    expect(stderr).toMatch(/Error: uncaught/);
  });

  it('a failure that nobody looks at does not end it', async () => {
    const body = `const controller = new AbortController();
      const other = await launch({ kernel: ${JSON.stringify(files.at('spin'))}, signal: controller.signal });
      controller.abort(); await new Promise((resolve) => setTimeout(resolve, 50)); console.log(other.state); await machine.close();`;
    expect(await script(body).end()).toMatchObject({ status: 0, stderr: '' });
  });
});
