/** The console of a machine in a worker: the stream there is the setup module's, the one here is ours. */
import { describeKvm } from '../support/hosts';
import { code, echo, exit, inWorker, print, testInWorker as test, until } from './in-worker';

describeKvm('the console of a machine in a worker', () => {
  const { boot, module } = inWorker();

  test('goes on when the setup module leaves a loop over its own', async () => {
    const setup = module(
      'leaves.cjs',
      `module.exports = ({ console }, left) => void (async () => {
         for await (const _ of console) break;
         left[0] = 1;
       })();`,
    );
    const left = new Int32Array(new SharedArrayBuffer(4));
    const { console, ended } = await boot(echo, { setup, setupData: left });
    await console.waitFor('up\n');
    await until(() => left[0] === 1);
    console.write('HAL');
    await console.waitFor('IBM');
    console.write('.');
    expect(await ended).toEqual({ reason: 'exit-code', status: 1 });
    expect(console.transcript).toBe('up\nIBM');
  });

  test('has its bytes whatever the setup module makes of them', async () => {
    const setup = module('encodes.cjs', `module.exports = ({ console }) => void console.setEncoding('utf8').on('data', () => undefined);`);
    const machine = await boot(code(`${print('up1\n')}; ${exit}`), { setup });
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 1 });
    expect(machine.console.transcript).toBe('up1\n');
  });

  test('takes input from both threads', async () => {
    const setup = module('writes.cjs', `module.exports = ({ console }) => void console.write('HAL');`);
    const { console, ended } = await boot(echo, { setup });
    await console.waitFor('IBM');
    console.write('012.');
    expect(await ended).toEqual({ reason: 'exit-code', status: 1 });
    expect(console.transcript).toBe('up\nIBM123');
  });

  test('sends what it is given, not the buffers behind that', async () => {
    const setup = module(
      'sizes.cjs',
      `const { parentPort, workerData } = require('node:worker_threads');
       module.exports = (_machine, sizes) => {
         sizes[0] = workerData.options.kernel.buffer.byteLength;
         parentPort.on('message', ({ kind, bytes }) => { if (kind === 'input') sizes[1] = bytes.buffer.byteLength; });
       };`,
    );
    const sizes = new Int32Array(new SharedArrayBuffer(8));
    const kernel = Buffer.concat([echo, Buffer.alloc(1e5)]).subarray(0, echo.length);
    const machine = await boot(kernel, { setup, setupData: sizes });
    machine.console.write(Buffer.alloc(1e5, 'a').subarray(0, 3));
    await until(() => sizes[1] !== 0);
    expect([...sizes]).toEqual([echo.length, 3]);
  });
});
