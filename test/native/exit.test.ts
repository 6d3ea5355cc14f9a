import { runChild } from '../support/child';
import { describeEachBackend } from '../support/hosts';
import { kinds } from '../support/sanitized';

/** Far more than the 100 ms that it takes, for busy hosts; a process that hangs never ends. */
const limit = 200_000;

describeEachBackend('the end of a process whose guest spins', (backend) => {
  const spinning = `const { vcpu, vm } = make('${backend.name}', 'spin'); const run = vcpu.run(); setTimeout(() => console.log('spins'), 20);`;
  const busy = `const { vcpu, vm } = make('${backend.name}', 'outForEver'); const run = vcpu.run(); setTimeout(() => console.log('runs'), 20);`;

  it.each([
    ['spins', spinning],
    ['exits all the time', busy],
  ])('process.exit() gives its status, while the guest %s', async (_, script) => {
    const { status, signal, stderr } = await runChild(`${script} setTimeout(() => process.exit(7), 60)`, { limit });
    expect([status, signal, stderr]).toEqual([7, null, '']);
  });

  it('process.exit() in a handler does too', async () => {
    const { status, stderr } = await runChild(
      `const { vcpu, vm } = make('${backend.name}', 'outForEver');
       let count = 0;
       vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === 100) process.exit(9); } });
       vcpu.run();`,
      { limit },
    );
    expect([status, stderr]).toEqual([9, '']);
  });

  it('an uncaught throw and an unhandled rejection give 1 and tell why', async () => {
    const thrown = await runChild(`${spinning} setTimeout(() => { throw new Error('from a timer'); }, 60)`, { limit });
    expect(thrown.status).toBe(1);
    expect(thrown.stderr).toMatch(/from a timer/);
    const rejected = await runChild(`${spinning} setTimeout(() => Promise.reject(new Error('not caught')), 60)`, { limit });
    expect(rejected.status).toBe(1);
    expect(rejected.stderr).toMatch(/not caught/);
    const failed = await runChild(
      `const { vcpu, vm } = make('${backend.name}', 'outForEver');
       vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { throw new Error('device trouble'); } });
       vcpu.run();`,
      { limit },
    );
    expect(failed.status).toBe(1);
    expect(failed.stderr).toMatch(/ERR_HAX_DEVICE_FAILED[^]*device trouble/);
  });

  it.each(kinds(['SIGTERM', 'SIGINT', 'SIGKILL', 'SIGHUP'] as const))('%s ends it as that signal', async (name) => {
    const { status, signal } = await runChild(spinning, { limit, onOutput: (child) => child.kill(name) });
    expect([status, signal]).toEqual([null, name]);
  });

  it('a handler for SIGTERM runs, and can stop the guest', async () => {
    const script = `${spinning} process.on('SIGTERM', () => { console.log('asked'); vcpu.stop(); });
      run.then((end) => { console.log(end.reason); vm.hypervisor.close(); process.exitCode = 5; });`;
    const { status, stdout } = await runChild(script, { limit, onOutput: (child) => child.kill('SIGTERM') });
    expect([status, stdout]).toEqual([5, 'spins\nasked\nkilled\n']);
  });

  it('comes by itself only when nothing runs, or what runs is not referenced', async () => {
    const ended = await runChild(`const { vcpu } = make('${backend.name}', 'halt'); vcpu.run().then(({ reason }) => console.log(reason))`, {
      limit,
    });
    expect([ended.status, ended.stdout]).toEqual([0, 'halted\n']);
    const unreferenced = await runChild(`${spinning} vcpu.setReferenced(false); process.on('exit', () => console.log('exit'))`, { limit });
    expect([unreferenced.status, unreferenced.stdout]).toEqual([0, 'spins\nexit\n']);
    const again = await runChild(
      `${spinning} vcpu.setReferenced(false); vcpu.setReferenced(true); setTimeout(() => vcpu.stop(), 60);
       run.then(() => console.log('ended'))`,
      { limit },
    );
    expect([again.status, again.stdout]).toEqual([0, 'spins\nended\n']);
  });
});
