import { constants } from 'node:os';
import { childReport, runChild } from '../support/child';
import { describeEachBackend, describeKvm } from '../support/hosts';
import { kinds, repeats } from '../support/sanitized';

describeEachBackend('signals', (backend) => {
  it('of others do not end a run', async () => {
    // A storm of SIGCHLD from children, of SIGUSR2 with a handler, and of SIGWINCH, which is ignored.
    const script = `
      const { spawn } = require('node:child_process');
      const { vcpu } = make('${backend.name}', 'spin');
      let [children, caught] = [0, 0];
      process.on('SIGUSR2', () => caught++);
      const run = vcpu.run();
      const timer = setInterval(() => { process.kill(process.pid, 'SIGUSR2'); process.kill(process.pid, 'SIGWINCH'); }, 1);
      const next = () => {
        if (children >= ${repeats(12)} && caught > 20) { clearInterval(timer); report({ running: vcpu.running }); vcpu.stop(); return; }
        spawn('/bin/true').on('exit', (status) => { if (status === 0) children++; next(); });
      };
      next();
      run.then(({ reason }) => { if (reason !== 'killed') process.exitCode = 3; });`;
    expect(await childReport(script)).toEqual({ running: true });
  });

  it('of others do not end enter() either', async () => {
    const script = `
      const { spawnSync, spawn } = require('node:child_process');
      const { vcpu } = make('${backend.name}', 'outForEver');
      // Sends signals to us as long as we are there.
      const signals = 'while kill -WINCH ' + process.pid + ' 2>/dev/null && kill -CHLD ' + process.pid + '; do :; done';
      const storm = spawn('/bin/sh', ['-c', signals], { env: {} }); // ThreadSanitizer's runtime, inherited, crashes in any shell
      let kinds = new Set();
      for (let i = 0; i < ${repeats(3000)}; i++) kinds.add(vcpu.enter().kind);
      storm.kill();
      report([...kinds]);`;
    expect(await childReport(script)).toEqual(['io']);
  });

  it('of the sampling profiler do not end a run', async () => {
    const exits = repeats(20_000);
    const script = `
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      let count = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === ${exits}) vcpu.stop(); } });
      vcpu.run().then(({ reason }) => report({ reason, count }));`;
    const { mkdtempSync, rmSync } = await import('node:fs');
    const directory = mkdtempSync('/tmp/node-hax-prof-');
    try {
      const flags = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${directory}`];
      expect(await childReport(script, { flags })).toEqual({ reason: 'killed', count: exits });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each([false, true])('kick though the user has as many waiting as he may have (threaded: %s)', async (threaded) => {
    const script = `
      require('node:child_process').execFileSync('prlimit', ['--sigpending=0', '--pid', String(process.pid)], { env: { PATH: process.env.PATH } });
      const { vcpu } = make('${backend.name}', 'spin');
      const run = vcpu.run({ threaded: ${threaded} });
      let timers = 0;
      const next = () => (++timers < 20 ? setTimeout(next, 1) : vcpu.stop());
      next();
      run.then(({ reason }) => report({ reason, timers }));`;
    expect(await childReport(script, { env: { HAX_PLAIN_WATCH: '1' } })).toEqual({ reason: 'killed', timers: 20 });
  });

  it.each([false, true])(
    'kick then though the program has listened to the signal that goes in its place (threaded: %s)',
    async (threaded) => {
      const script = `
      const { vcpu } = make('${backend.name}', 'spin');
      process.on('SIGURG', () => undefined).removeAllListeners('SIGURG');
      require('node:child_process').execFileSync('prlimit', ['--sigpending=0', '--pid', String(process.pid)], { env: { PATH: process.env.PATH } });
      const run = vcpu.run({ threaded: ${threaded} });
      setTimeout(() => vcpu.stop(), 10);
      run.then(({ reason }) => report({ reason }));`;
      expect(await childReport(script, { env: { HAX_PLAIN_WATCH: '1' } })).toEqual({ reason: 'killed' });
    },
  );

  it('for the kick may be another real-time signal', async () => {
    const script = `
      const { vcpu } = make('${backend.name}', 'spin');
      setTimeout(() => vcpu.stop(), 10);
      vcpu.run().then(({ reason }) => report({ reason }));`;
    // An empty variable says nothing.
    for (const number of kinds([34, 64, 40, ''])) {
      expect(await childReport(script, { env: { HAX_KICK_SIGNAL: String(number) } })).toEqual({ reason: 'killed' });
    }
  });

  it('for the kick are refused when they are none', async () => {
    const script = `try { make('${backend.name}', 'halt'); report({}); } catch ({ code, message }) { report({ code, message }); }`;
    for (const text of kinds([
      '40x',
      '33',
      '0',
      '1',
      '65',
      '-1',
      'SIGUSR1',
      String(constants.signals.SIGUSR1),
      '99999999999999999999',
      ' ',
    ])) {
      const { code, message } = await childReport<{ code: string; message: string }>(script, { env: { HAX_KICK_SIGNAL: text } });
      expect([text, code]).toEqual([text, 'ERR_HAX_INVALID_ARGUMENT']);
      expect(message).toMatch(/HAX_KICK_SIGNAL must be a number from \d+ to 64, not/);
    }
  });

  it('leave SIGUSR1 to the inspector', async () => {
    const script = `
      const { vcpu } = make('${backend.name}', 'spin');
      vcpu.run();
      setTimeout(() => process.kill(process.pid, 'SIGUSR1'), 10);
      const look = () => {
        if (require('node:inspector').url() === undefined) return setTimeout(look, 20);
        report({ running: vcpu.running });
        process.exit();
      };
      look();`;
    const { status, stdout } = await runChild(script, { flags: ['--inspect-port=127.0.0.1:0'] });
    expect([status, JSON.parse(stdout)]).toEqual([0, { running: true }]);
  });
});

describeKvm('a signal between two entries', () => {
  it('leaves memory and registers as the guest had them', async () => {
    // The guest counts its rounds, and a thread beside it sends signals, until there were enough of both.
    const script = `
      const { Worker } = require('node:worker_threads');
      const { vcpu, vm } = make('kvm', 'pattern');
      let wrong = false;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { wrong = true; } });
      const run = vcpu.run();
      // The signal of a kick that nobody waits for. One that libuv handles would end the slice.
      const sender = new Worker('setInterval(() => process.kill(process.pid, 41), 1)', { eval: true });
      const enough = () => vm.memory.readU32(0x6000) > 10 && vcpu.counters.interrupted > 3;
      const timer = setInterval(() => { if (enough() || wrong) vcpu.stop(); }, 10);
      run.then(async ({ reason }) => { clearInterval(timer); await sender.terminate(); report({ reason, wrong, enough: enough() }); });`;
    expect(await childReport(script)).toEqual({ reason: 'killed', wrong: false, enough: true });
  });
});
