/** Who ends the slices of a vCPU of KVM: io_uring, or where it is not to be had the watcher's thread. Nothing but speed may tell them apart. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import * as path from 'node:path';
import { childReport } from '../support/child';
import { describeKvm, itIf } from '../support/hosts';

const rings = `
  const fs = require('node:fs');
  const allRings = () =>
    fs.readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return fs.readlinkSync('/proc/self/fd/' + fd) === 'anon_inode:[io_uring]';
      } catch {
        return false; // that of the directory
      }
    }).length;
  const ofNode = allRings(); // newer ones' own
  const countRings = () => allRings() - ofNode;
  const watcher = () => {
    for (const thread of fs.readdirSync('/proc/self/task')) {
      const status = fs.readFileSync('/proc/self/task/' + thread + '/status', 'utf8');
      if (/^Name:\\thax watcher$/m.test(status)) return status;
    }
  };
  // How often the watcher's thread has slept.
  const watched = () => Number(/^voluntary_ctxt_switches:\\t(\\d+)$/m.exec(watcher())[1]);
  const { setTimeout: delay } = require('node:timers/promises');
  // The guest has run, and the watcher's thread has begun to wait: on a busy machine both may come after many timers.
  const settled = async ({ exits }) => {
    while (exits.snapshot().slices < 2 || !/^State:\\tS/m.test(watcher())) await delay(5);
  };`;

/** A TCP echo 50 times and 50 timers beside a guest; how many milliseconds the latest of either took. */
const work = `
  const net = require('node:net');
  const { once } = require('node:events');
  async function work() {
    const server = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect(server.address().port, '127.0.0.1');
    await once(client, 'connect');
    let done = 0;
    for (let i = 0; i < 50; i++) {
      await delay(1);
      client.write('x');
      await once(client, 'data');
      done++;
    }
    client.destroy();
    server.close();
    return done;
  }`;

/** Why there is none here. */
function missing(): string | undefined {
  const [major, minor] = release().split('.').map(Number);
  if (major < 5 || (major === 5 && minor < 17)) return 'Linux before 5.17';
  const disabled = '/proc/sys/kernel/io_uring_disabled';
  if (existsSync(disabled) && readFileSync(disabled, 'utf8').trim() !== '0') return 'kernel.io_uring_disabled is not 0';
  if (!/^Seccomp:\t0$/m.test(readFileSync('/proc/self/status', 'utf8'))) return 'system calls are filtered here';
  return undefined;
}

describeKvm('slices that io_uring ends', () => {
  const reason = missing();
  if (reason) return itIf(false, reason, 'all of it', () => undefined);

  it.each(['spin', 'outForEver'])('leave the loop to timers and sockets, and the watcher asleep: %s', async (program) => {
    const script = `${rings}${work}
      const { vcpu, hypervisor } = make('kvm', '${program}');
      const before = countRings();
      const run = vcpu.run();
      (async () => {
        await settled(vcpu);
        const [during, asleep] = [countRings(), watched()];
        const done = await work();
        const woken = watched() - asleep;
        vcpu.stop();
        const { reason } = await run;
        hypervisor.close();
        report({ before, during, done, woken, reason, after: countRings() });
      })();`;
    expect(await childReport(script)).toEqual({ before: 0, during: 1, done: 50, woken: 0, reason: 'killed', after: 0 });
  });

  it.each([
    ['HAX_PLAIN_WATCH asks not to', { HAX_PLAIN_WATCH: '1' }, '', /^HAX_PLAIN_WATCH asks/],
    // What the loop is watched with is there already.
    [
      'no descriptor is left',
      {},
      `const first = make('null', 'spin').vcpu;
       void first.run();
       first.stop();
       try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}`,
      /^$/,
    ],
  ])('are ended by the watcher where %s', async (_, env, before, refusal) => {
    const script = `${rings}${work}
      const { vcpu, hypervisor } = make('kvm', 'spin');
      const { reason: refusal = '' } = hypervisor.capabilities.features.ioUring;
      const taken = [];
      ${before}
      const run = vcpu.run();
      (async () => {
        while (vcpu.exits.snapshot().slices < 2) await delay(5);
        for (const fd of taken) fs.closeSync(fd);
        await settled(vcpu);
        const [during, asleep] = [countRings(), watched()];
        const done = await work();
        while (watched() <= asleep + 10) await delay(1);
        vcpu.stop();
        report({ during, done, refusal, reason: (await run).reason });
      })();`;
    const wanted = { during: 0, done: 50, refusal: expect.stringMatching(refusal) as string, reason: 'killed' };
    expect(await childReport(script, { env })).toEqual(wanted);
  });

  describe('when the kernel refuses', () => {
    let directory: string;
    let shim: string;
    beforeAll(() => {
      directory = mkdtempSync(path.join(tmpdir(), 'node-hax-shim-'));
      shim = path.join(directory, 'failing_enter.so');
      const source = path.join(__dirname, 'shims/failing_enter.c');
      execFileSync('cc', ['-shared', '-fPIC', '-o', shim, source, '-ldl'], { env: { PATH: process.env.PATH } }); // without a sanitizer's runtime
    });
    afterAll(() => rmSync(directory, { recursive: true }));

    it.each([1, 2, 5, 20])('are ended by the watcher from call %i on', async (at) => {
      const script = `${rings}${work}
        const { vcpu, hypervisor } = make('kvm', 'spin');
        const run = vcpu.run();
        (async () => {
          const done = await work();
          vcpu.stop();
          const { reason } = await run;
          hypervisor.close();
          report({ done, reason, rings: countRings() });
        })();`;
      // A sanitizer's runtime has to stay the first.
      const env = { LD_PRELOAD: [process.env.LD_PRELOAD, shim].filter(Boolean).join(':'), FAIL_AT: String(at) };
      expect(await childReport(script, { env })).toEqual({ done: 50, reason: 'killed', rings: 0 });
    });
  });

  it('are those of several vCPUs on one thread, each with a ring of its own', async () => {
    const script = `${rings}${work}
      const guests = ['spin', 'outForEver', 'spin'].map((program) => make('kvm', program));
      const runs = guests.map(({ vcpu }) => vcpu.run());
      (async () => {
        const done = await work();
        const during = countRings();
        guests[1].hypervisor.close();
        await runs[1].catch(() => undefined);
        await delay(20);
        const left = countRings();
        const slices = () => guests[0].vcpu.exits.snapshot().slices + guests[2].vcpu.exits.snapshot().slices;
        const before = slices();
        while (slices() < before + 2) await delay(1);
        for (const i of [0, 2]) guests[i].vcpu.stop();
        await Promise.all([runs[0], runs[2]]);
        report({ done, during, left });
      })();`;
    expect(await childReport(script)).toEqual({ done: 50, during: 3, left: 2 });
  });

  it('come to an end after a handler that has completed its access', async () => {
    // Which enters the device once with the flag set, and clears it: what the ring has set meanwhile has to stand.
    const script = `${rings}
      const { vcpu, vm } = make('kvm', 'outForEver');
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => vcpu.complete() });
      const run = vcpu.run();
      (async () => {
        let timers = 0;
        for (; timers < 200; timers++) await delay(1);
        vcpu.stop();
        report({ timers, reason: (await run).reason });
      })();`;
    expect(await childReport(script)).toEqual({ timers: 200, reason: 'killed' });
  });

  it('go over to a thread of the vCPU and back', async () => {
    const script = `${rings}
      const { vcpu } = make('kvm', 'spin');
      (async () => {
        const reasons = [];
        for (const threaded of [false, true, false, true]) {
          const run = vcpu.run({ threaded });
          for (let i = 0; i < 20; i++) await delay(1);
          vcpu.stop();
          reasons.push((await run).reason);
        }
        report({ reasons, rings: countRings() });
      })();`;
    expect(await childReport(script)).toEqual({ reasons: Array(4).fill('killed'), rings: 1 });
  });

  it('are over for a run on a thread that begins where an inline one has ended', async () => {
    // In what the last slice leaves to promises, before the native side is back from it. ThreadSanitizer looks at who ends what.
    const script = `
      const { vcpu } = make('kvm', 'out');
      const start = vcpu.getState();
      (async () => {
        const reasons = new Set();
        for (let i = 0; i < 40; i++) {
          vcpu.setState(start);
          reasons.add((await vcpu.run({ threaded: i % 2 === 1 })).reason);
        }
        report([...reasons]);
      })();`;
    expect(await childReport<string[]>(script)).toEqual(['halted']);
  });

  it('let VMs be made while they end', async () => {
    // The kernel makes a VM under locks that it does not wait for once the thread is to be notified.
    const script = `
      const { Hypervisor } = require('node-hax');
      const { Worker } = require('node:worker_threads');
      const { vcpu } = make('kvm', 'spin');
      const run = vcpu.run();
      const sender = new Worker('const { parentPort } = require("node:worker_threads"); setInterval(() => { for (let i = 0; i < 20; i++) parentPort.postMessage(i); }, 0)', { eval: true });
      let heard = 0;
      sender.on('message', () => heard++);
      (async () => {
        let made = 0;
        const hypervisor = Hypervisor.open({ backend: 'kvm' });
        for (; made < 100 || heard <= 100; made++) {
          hypervisor.createVm().close();
          await new Promise((turn) => setTimeout(turn, 1));
        }
        vcpu.stop();
        await run;
        await sender.terminate();
        report({ made: made >= 100 });
      })();`;
    expect(await childReport(script)).toEqual({ made: true });
  });
});
