/** How machines in workers fail: what rejects with what, and that nothing is left waiting. */
import { once } from 'node:events';
import * as path from 'node:path';
import { HaxError, launch, launchInWorker, WorkerMachine } from 'node-hax';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { code, exit, flat, inWorker, print, spin, testInWorker as test } from './in-worker';

const accesses = code(`${print('up\n')}; mov dx, 0x500; out dx, al; 3: jmp 3b`);
const resets = code('mov al, 0xfe; out 0x64, al; 3: jmp 3b');
const prints = code(`1: ${print('hello\n')}; jmp 1b`);
const thrown = new Error('no more');
const fails = (): never => {
  throw thrown;
};
const errorOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );

describeKvm('a machine in a worker that fails', () => {
  const { boot, keep, module, device } = inWorker();

  test('by an abort leaves no call waiting, and does not keep the process, though a device model never returns', async () => {
    const setup = module(
      'stuck.cjs',
      `module.exports = ({ vm }, entered) => vm.ports.add({ at: 0x500, length: 1 }, {
         read: () => 0, write() { entered[0] = 1; for (;;); } });`,
    );
    const script = module(
      'asks.cjs',
      `const { launchInWorker } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
       (async () => {
         const controller = new AbortController();
         const entered = new Int32Array(new SharedArrayBuffer(4));
         const kernel = Uint8Array.from(${JSON.stringify([...accesses])});
         const machine = await launchInWorker({ kernel, ...${JSON.stringify({ ...flat, setup })}, setupData: entered, signal: controller.signal });
         while (!entered[0]) await new Promise(setImmediate);
         const before = machine.statistics();
         controller.abort('enough');
         const told = async (call) => console.log(await call.catch((reason) => reason));
         await told(before);
         await told(machine.ended);
         await told(machine.pause());
       })();`,
    );
    const { status, stdout, stderr } = await new RunningCommand(process.execPath, [script]).end();
    expect([status, stdout.toString(), stderr]).toEqual([0, 'enough\nenough\nenough\n', '']);
  });

  test('by a signal that was aborted before does not start', async () => {
    const machine = keep(new WorkerMachine({ kernel: spin, ...flat, signal: AbortSignal.abort(thrown) }));
    expect([await errorOf(machine.started), await errorOf(machine.ended), await errorOf(machine.statistics())]).toEqual(
      Array.from({ length: 3 }, () => thrown),
    );
    expect(machine.state).toBe('failed');
  });

  test('where Node may make no worker says so, and is not taken for options that cannot be cloned', async () => {
    const script = module(
      'no-worker.cjs',
      `const { WorkerMachine } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
       try { new WorkerMachine({ kernel: Uint8Array.of(0xf4) }); } catch ({ code, message, hint }) { console.log(JSON.stringify({ code, message, hint })); }`,
    );
    const flag = ['--permission', '--experimental-permission'].find((each) => process.allowedNodeEnvironmentFlags.has(each))!;
    const { stdout } = await new RunningCommand(process.execPath, [flag, '--allow-fs-read=*', script]).end();
    expect(JSON.parse(stdout.toString())).toEqual({
      code: 'ERR_HAX_UNSUPPORTED',
      message: expect.stringMatching(/^Node makes no worker here: .*restricted/) as string,
      hint: expect.stringContaining('--allow-worker') as string,
    });
  });

  test('by its output has its console end as a machine here does', async () => {
    let count = 0;
    const machine = await boot(prints, { output: (bytes) => (count += bytes.length) > 2000 && fails() });
    const { console } = machine;
    let read = 0;
    const errors: Error[] = [];
    console.on('data', (bytes: Buffer) => (read += bytes.length)).on('error', (error) => errors.push(error));
    const over = once(console, 'end');
    expect(await errorOf(machine.ended)).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', cause: thrown });
    const { length } = console.transcript;
    await over;
    await machine.close();
    expect([machine.state, errors, console.transcript.length]).toEqual(['failed', [], length]);
    // What came before there was a reader is in the transcript only.
    expect(read).toBeGreaterThan(0);
  });

  test('by its output ends within moments though a device model never returns', async () => {
    const entered = new Int32Array(new SharedArrayBuffer(4));
    const setup = module(
      'enters.cjs',
      `module.exports = ({ vm }, entered) => vm.ports.add({ at: 0x500, length: 1 }, {
         read: () => 0, write() { Atomics.store(entered, 0, 1); Atomics.notify(entered, 0); for (;;); } });`,
    );
    const kernel = code(`${print('up\n')}; 1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b; mov dx, 0x500; out dx, al; 3: jmp 3b`);
    const output = (): never => {
      machine.console.write('x');
      Atomics.wait(entered, 0, 0);
      return fails();
    };
    const machine: WorkerMachine = keep(new WorkerMachine({ kernel, ...flat, setup, setupData: entered, output }));
    const error = await errorOf(machine.ended);
    expect(error).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', cause: thrown });
    expect(await errorOf(machine.statistics())).toBe(error);
  });

  test('by a listener tells what that threw, as a machine here does', async () => {
    const kernel = module('kernel.bin', spin);
    for (const start of [launch, launchInWorker]) {
      expect(await errorOf(start({ kernel, ...flat, onProgress: fails }))).toBe(thrown);
      await using unclaimed = await start({ kernel: accesses, ...flat, onUnclaimed: fails });
      expect(await errorOf(unclaimed.ended)).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', cause: thrown });
      await using resetting = await start({ kernel: resets, ...flat });
      (resetting as WorkerMachine).on('reset', fails);
      expect(await errorOf(resetting.ended)).toBe(thrown);
    }
  });

  test('tells as much of errors as a machine here does', async () => {
    const files = await Promise.all([launch, launchInWorker].map((start) => errorOf(start({ kernel: '/nonexistent', ...flat }))));
    const told = (error: HaxError): unknown => [error.code, error.message, error.hint, { ...(error.cause as object) }];
    expect(told(files[1] as HaxError)).toEqual(told(files[0] as HaxError));
    expect(files[1]).toMatchObject({ cause: { code: 'ENOENT', syscall: 'open', path: '/nonexistent' } });

    expect(await errorOf(boot(spin, { setup: '/nonexistent/setup.mjs' }))).toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
    const waits = module('waits.cjs', `module.exports = (machine) => machine.console.waitFor('x', { timeout: 1 });`);
    expect(await errorOf(boot(spin, { setup: waits }))).toMatchObject({ code: 'ERR_HAX_TIMEOUT', transcript: '' });
    const object = await boot(accesses, { setup: device(`throw { code: 'X', a: 1 };`) });
    expect(((await errorOf(object.ended)) as HaxError).cause).toEqual({ code: 'X', a: 1 });
  });

  test('ends although a listener of its console throws then', async () => {
    const script = (start: string): string =>
      module(
        `${start}.cjs`,
        `const hax = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
         process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
         (async () => {
           const machine = await hax.${start}({ kernel: Uint8Array.from(${JSON.stringify([...spin])}), ...${JSON.stringify(flat)} });
           await machine.console.waitFor('up');
           machine.console.write('x'.repeat(1e6), () => { throw new Error('listener'); });
           machine.kill();
           console.log((await machine.ended).reason);
           await machine.close();
         })();`,
      );
    for (const start of ['launch', 'launchInWorker']) {
      const { status, stdout, stderr } = await new RunningCommand(process.execPath, [script(start)]).end();
      expect([status, stdout.toString().split('\n').sort(), stderr]).toEqual([0, ['', 'killed', 'uncaught listener'], '']);
    }
  });
});

describeKvm('a setup module', () => {
  const { boot, module } = inWorker();

  test('that does not export a function is refused by name', async () => {
    const modules = { 'none.mjs': 'export const a = 1;', 'null.mjs': 'export default null;', 'object.cjs': 'module.exports = { a: 1 };' };
    for (const [name, source] of Object.entries(modules)) {
      expect(await errorOf(boot(code(exit), { setup: module(name, source) }))).toMatchObject({
        code: 'ERR_HAX_INVALID_ARGUMENT',
        message: expect.stringContaining(name),
      });
    }
  });
});
