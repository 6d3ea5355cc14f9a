/** Machines in a worker, driven from this thread. */
import { once } from 'node:events';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { createSharedMemory, HaxError, launch, launchInWorker, WorkerMachine, type WorkerMachineOptions } from 'node-hax';
import { codeOfAsync } from '../support/codes';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { code, echo, flat, inWorker, print, spin, testInWorker as test, until } from './in-worker';

describeKvm('a machine in a worker', () => {
  const { boot, module, device } = inWorker();

  test('prints, takes input, and ends as it does here', async () => {
    const machine = await boot(echo);
    await machine.console.waitFor('up\n');
    machine.console.write('HAL');
    expect((await machine.console.waitFor('IBM')).match).toBe('IBM');
    expect(machine.state).toBe('running');
    machine.console.write('.');
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 1 });
    expect(machine.state).toBe('stopped');
    expect(machine.console.transcript).toBe('up\nIBM');
  });

  test('moves far more than fits on the way, in both directions', async () => {
    const machine = await boot(echo);
    await machine.console.waitFor('up\n');
    const text = 'a'.repeat(90_000);
    let read = 0;
    const over = once(
      machine.console.on('data', (bytes: Buffer) => (read += bytes.length)),
      'end',
    );
    machine.console.write(text);
    machine.console.write('.');
    await machine.ended;
    expect(machine.console.transcript.length).toBe(3 + text.length);
    await over;
    expect(read).toBe(text.length);
  });

  test('is paused and resumed, and shows registers and counts', async () => {
    const machine = await boot(code(`${print('up\n')}; 3: inc dword ptr [0x7000]; jmp 3b`), { sharedMemory: true });
    await machine.console.waitFor('up\n');
    const counter = (): number => new DataView(machine.sharedMemory!.buffer).getUint32(0x7000, true);
    /** Until it has, which a test that never ends shows to be wrong. */
    const grows = async (): Promise<void> => {
      const before = counter();
      await until(() => counter() !== before);
    };
    await grows();
    await machine.pause();
    expect(machine.state).toBe('paused');
    const [before, { rip }] = [counter(), await machine.registers()];
    await delay(20);
    expect([counter(), (await machine.registers()).rip]).toEqual([before, rip]);
    await machine.resume();
    await grows();
    expect((await machine.statistics()).ports['0x3f8']).toBe(3);
    machine.kill();
    expect(await machine.ended).toEqual({ reason: 'killed' });
  });

  test('is paused by its setup module', async () => {
    const machine = await boot(spin, { setup: module('pauses.cjs', 'module.exports = (machine) => machine.pause();') });
    expect([machine.state, (await machine.statistics()).entries]).toEqual(['paused', 0]);
    await machine.resume();
    await machine.console.waitFor('up\n');
    expect(machine.state).toBe('running');
  });

  test('has several vCPUs and devices of its own', async () => {
    const setup = module(
      'setup.mjs',
      `export default ({ vm }, add) => vm.ports.add({ at: 0x500, length: 1 }, { read: () => 40 + add, write() {} });`,
    );
    const machine = await boot(code(`mov dx, 0x500; in al, dx; out 0xf4, al; 3: jmp 3b`), { cpus: 2, setup, setupData: 2 });
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 85 });
    const common = module(
      'setup.cjs',
      `module.exports = ({ vm }) => vm.ports.add({ at: 0x500, length: 1 }, { read: () => 7, write() {} });`,
    );
    const text = pathToFileURL(common).href; // as import.meta.resolve() gives it
    const other = await boot(code(`mov dx, 0x500; in al, dx; out 0xf4, al; 3: jmp 3b`), { setup: text });
    expect(await other.ended).toEqual({ reason: 'exit-code', status: 15 });
  });

  test('tells of resets and unclaimed accesses', async () => {
    const unclaimed: number[] = [];
    const machine = await boot(code(`${print('up\n')}; mov dx, 0x9999; out dx, al; mov al, 0xfe; out 0x64, al; 3: jmp 3b`), {
      onUnclaimed: ({ address }) => unclaimed.push(address),
    });
    let resets = 0;
    machine.on('reset', () => resets++);
    for (let i = 0; i < 3; i++) await machine.console.waitFor('up\n');
    await machine.close();
    expect(resets).toBeGreaterThanOrEqual(1);
    expect(unclaimed).toContain(0x9999);
  });

  test('ends by an abort, by a device that throws, by a setup that throws, and by a worker that leaves', async () => {
    const controller = new AbortController();
    const aborted = await boot(spin, { signal: controller.signal });
    const reason = new Error('enough');
    const wait = aborted.console.waitFor('never');
    setTimeout(() => controller.abort(reason), 5);
    await expect(aborted.ended).rejects.toBe(reason);
    await expect(wait).rejects.toBe(reason);

    const out = code('mov dx, 0x500; out dx, al; 3: jmp 3b');
    const failing = await boot(out, { setup: device(`throw new Error('device trouble');`) });
    const error = (await failing.ended.catch((e: unknown) => e)) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect([error.code, error.message, typeof error.rip]).toEqual([
      'ERR_HAX_DEVICE_FAILED',
      expect.stringContaining('device trouble'),
      'bigint',
    ]);
    expect(failing.state).toBe('failed');

    const leaving = await boot(out, { setup: device('process.exit(9);') });
    expect(await codeOfAsync(() => leaving.ended)).toBe('ERR_HAX_ENDED');
    expect(await codeOfAsync(() => leaving.pause())).toBe('ERR_HAX_CLOSED');

    const throws = module('throws.cjs', `module.exports = () => { throw new Error('no devices today'); };`);
    await expect(boot(out, { setup: throws })).rejects.toThrow('no devices today');
  });

  test('is closed within moments though a device model never returns', async () => {
    const machine = await boot(code(`${print('up\n')}; mov dx, 0x500; out dx, al; 3: jmp 3b`), { setup: device('for (;;);') });
    await delay(50);
    await machine.close();
    expect(await machine.ended).toEqual({ reason: 'killed' });
  });

  test('ends by an abort within moments though a device model never returns', async () => {
    const controller = new AbortController();
    const machine = await boot(code('mov dx, 0x500; out dx, al; 3: jmp 3b'), { setup: device('for (;;);'), signal: controller.signal });
    await delay(50);
    const wait = machine.console.waitFor('never');
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(machine.ended).rejects.toBe(reason);
    await expect(wait).rejects.toBe(reason);
    expect(machine.state).toBe('failed');
  });

  test('tells who waits for its start that it was closed before', async () => {
    const setup = module('slow.cjs', `module.exports = () => new Promise((resolve) => setTimeout(resolve, 1e6));`);
    const machine = new WorkerMachine({ kernel: spin, ...flat, setup });
    const started = codeOfAsync(() => machine.started);
    await machine.close();
    expect(await started).toBe('ERR_HAX_ENDED');
    expect(await machine.ended).toEqual({ reason: 'killed' });
  });

  test('takes nothing that a setup module posts for its own', async () => {
    const setup = module(
      'posts.cjs',
      `const { parentPort } = require('node:worker_threads');
       module.exports = (_machine, messages) => messages.forEach((message) => parentPort.postMessage(message));`,
    );
    const messages = [null, undefined, 5, 'hello', { kind: 'reply', id: 77 }, { kind: 'ended', state: 'stopped' }, {}];
    const machine = await boot(spin, { setup, setupData: messages });
    await machine.console.waitFor('up\n');
    expect([machine.state, (await machine.statistics()).cpus]).toEqual(['running', 1]);
  });

  test('tells of an error that is its own cause', async () => {
    const setup = module(
      'circle.cjs',
      `module.exports = ({ vm }) => vm.ports.add({ at: 0x500, length: 1 }, {
         read: () => 0, write() { const error = new Error('round'); error.cause = error; throw error; } });`,
    );
    const machine = await boot(code('mov dx, 0x500; out dx, al; 3: jmp 3b'), { setup });
    await expect(machine.ended).rejects.toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', message: expect.stringContaining('round') });
  });

  test('shows registers as a machine here does', async () => {
    const machine = await boot(spin);
    await machine.console.waitFor('up\n');
    expect(JSON.parse(JSON.stringify(await machine.registers()))).toMatchObject({ cr0: expect.stringMatching(/^0x/) });
    machine.kill();
    const broken = await boot(code('lidt [1f]; ud2; 1: .word 0; .long 0'));
    const end = await broken.ended;
    expect(JSON.parse(JSON.stringify(end))).toMatchObject({ reason: 'triple-fault', registers: { rip: expect.stringMatching(/^0x/) } });
  });

  test('refuses what launch() refuses, and what cannot be cloned', async () => {
    const wrong: [Partial<WorkerMachineOptions>, string][] = [
      [{ kernel: '/nonexistent' }, 'ERR_HAX_FILE'],
      [{ cpus: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ backend: 'vmware' as never }, 'ERR_HAX_UNKNOWN_BACKEND'],
      [{ setup: '/nonexistent', setupData: () => 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ sharedMemory: {} as never }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ memoy: '1M' } as never, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ debugConsole: { output: process.stdout } } as never, 'ERR_HAX_INVALID_ARGUMENT'],
    ];
    for (const [options, code] of wrong) expect(await codeOfAsync(() => boot(spin, options))).toBe(code);
    expect(await codeOfAsync(() => launchInWorker(undefined as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  test('that has ended does not keep the process', async () => {
    const script = module(
      'ended.js',
      `const { launchInWorker } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
       (async () => {
         const machine = await launchInWorker({ kernel: Uint8Array.of(0xfa, 0xf4), format: 'flat', memory: '1M' });
         console.log((await machine.ended).reason, (await machine.statistics()).cpus);
       })();`,
    );
    const { status, stdout, stderr } = await new RunningCommand(process.execPath, [script]).end();
    expect([status, stdout.toString(), stderr]).toEqual([0, 'halted 1\n', '']);
  });

  test('of which nobody is to wait for answers what it is asked, and is closed, before the process ends', async () => {
    const script = module(
      'unref.js',
      `const { launchInWorker } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
       (async () => {
         const machine = (await launchInWorker({ kernel: Uint8Array.of(0xeb, 0xfe), format: 'flat', memory: '1M' })).unref();
         await machine.pause();
         console.log((await machine.statistics()).cpus, machine.state);
         if (process.argv[2] === 'close') console.log(await machine.close());
         setTimeout(() => console.log('end'), 20);
       })();`,
    );
    for (const [word, closed] of [
      ['close', 'undefined\n'],
      ['leave', ''],
    ]) {
      const { status, stdout, stderr } = await new RunningCommand(process.execPath, [script, word]).end();
      expect([status, stdout.toString(), stderr]).toEqual([0, `1 paused\n${closed}end\n`, '']);
    }
  });

  it('shares memory on this thread too, and clears it at a reset', async () => {
    const memory = createSharedMemory(2 ** 20);
    const bytes = new Uint8Array(memory.buffer);
    bytes[0x7000] = 5;
    // The first time it finds 5 there, adds one and resets; the second time it finds nothing.
    const kernel = code(`mov al, [0x7000]; test al, al; jz 2f; inc byte ptr [0x7000]; mov al, 0xfe; out 0x64, al; 1: jmp 1b
      2: mov al, 0x21; mov [0x7001], al; out 0xf4, al; 3: jmp 3b`);
    const machine = await launch({ kernel, ...flat, sharedMemory: memory });
    const seen: number[] = [];
    machine.on('reset', () => seen.push(bytes[0x7000]));
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 0x43 });
    expect([seen, bytes[0x7001], machine.sharedMemory === memory]).toEqual([[0], 0x21, true]);
    await machine.close();
    expect(bytes[0x7001]).toBe(0x21); // the array outlives the guest
  });
});
