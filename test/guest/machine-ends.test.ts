/** Machines that are ended from outside, and the end of a process that has some. */
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch, Machine } from 'node-hax';
import { codeOf, codeOfAsync } from '../support/codes';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { launched, spin, two } from './launched';

const { files, machines, start } = launched();

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
    const refused = { code: 'ERR_HAX_RUNNING', hint: expect.stringMatching(/^Make another machine: /) };
    expect(() => unstarted.start()).toThrow(expect.objectContaining(refused));
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
    // One that does not end is killed.
    const { status, signal, stderr } = await script(body).end();
    expect({ status, signal, stderr }).toEqual({ status: expected, signal: undefined, stderr: '' });
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
