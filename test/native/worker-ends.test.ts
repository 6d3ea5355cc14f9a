/** Workers that end, in any way, while their guest spins; in child processes, since what goes wrong there ends the process. */
import { execFile } from 'node:child_process';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { describeKvm } from '../support/hosts';
import { repeats } from '../support/sanitized';

const program = `
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { Hypervisor, realMode } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))});
const spin = (mode) => new Promise((resolve) => {
  const worker = new Worker(__filename, { workerData: mode });
  worker.once('message', () => setTimeout(resolve, 30, worker));
});
if (isMainThread) main().catch((error) => { console.error(error); process.exit(1); });
else {
  const vm = Hypervisor.open().createVm({ irqchip: 'user' });
  vm.mapMemory({ gpa: 0, size: '64K' });
  vm.memory.write(0x1000, Uint8Array.from([0xeb, 0xfe])); // jmp .
  const vcpu = vm.createVcpu();
  vcpu.setState(realMode({ ip: 0x1000 }));
  parentPort.postMessage('spins');
  if (workerData === 'enter') vcpu.enter();
  else vcpu.run();
}
`;

/** Runs `main` in a process of its own; its exit status, and what it printed. */
async function runMain(main: string): Promise<{ status: number; output: string }> {
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const directory = mkdtempSync(path.join((await import('node:os')).tmpdir(), 'node-hax-'));
  const file = path.join(directory, 'main.js');
  writeFileSync(file, `${program}\nasync function main() { ${main} }\n`);
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { timeout: 200_000 });
    return { status: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr, signal } = error as { code: number; stdout: string; stderr: string; signal: string | null };
    return { status: signal === null ? code : -1, output: `${signal ?? ''}${stdout}${stderr}` };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describeKvm('workers with a spinning guest', () => {
  // The addon is loaded in the workers only: the last one to end must not unmap it under the watcher's thread.
  test('terminate() ends one inside run() and one inside enter(), again and again', async () => {
    const outcome = await runMain(`
      for (let round = 0; round < ${repeats(10)}; round++) {
        for (const mode of ['run', 'enter']) await (await spin(mode)).terminate();
      }
      console.log('terminated');
    `);
    expect(outcome).toEqual({ status: 0, output: 'terminated\n' });
  });

  test('process.exit() of the main thread keeps its status', async () => {
    expect(await runMain(`await spin('run'); await spin('enter'); await spin('run'); process.exit(7);`)).toEqual({ status: 7, output: '' });
  });

  test('an uncaught throw of the main thread keeps its status', async () => {
    const outcome = await runMain(
      `await spin('enter'); setImmediate(() => { throw new Error('on purpose'); }); await new Promise(() => 0);`,
    );
    expect(outcome.status).toBe(1);
    expect(outcome.output).toContain('on purpose');
  });
});
