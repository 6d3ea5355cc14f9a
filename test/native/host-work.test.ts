import { childReport } from '../support/child';
import { describeEachBackend, describeKvm } from '../support/hosts';

describeEachBackend('while a guest spins', (backend) => {
  it('timers, immediates, sockets, files and promises go on', async () => {
    const script = `
      const net = require('node:net');
      const fs = require('node:fs/promises');
      const { once } = require('node:events');
      const { setTimeout: delay, setImmediate: turn } = require('node:timers/promises');
      const { vcpu } = make('${backend.name}', 'spin');
      const run = vcpu.run();
      (async () => {
        const done = {};
        for (let i = 0; i < 20; i++) await delay(1);
        done.timers = true;
        for (let i = 0; i < 200; i++) await turn();
        done.immediates = true;
        const server = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
        await once(server, 'listening');
        const client = net.connect(server.address().port, '127.0.0.1');
        await once(client, 'connect');
        for (let i = 0; i < 20; i++) { client.write('ping' + i); const [data] = await once(client, 'data'); if (String(data) !== 'ping' + i) throw new Error(String(data)); }
        client.destroy();
        server.close();
        done.sockets = true;
        for (let i = 0; i < 20; i++) await fs.readFile('package.json');
        done.files = true;
        for (let i = 0; i < 1000; i++) await null;
        done.promises = true;
        const { spawn } = require('node:child_process');
        const child = spawn('/bin/echo', ['hello']);
        let text = '';
        child.stdout.on('data', (data) => (text += data));
        await once(child, 'close');
        done.children = text === 'hello\\n';
        report({ ...done, running: vcpu.running });
        vcpu.stop();
        await run;
      })();`;
    expect(await childReport(script)).toEqual({
      timers: true,
      immediates: true,
      sockets: true,
      files: true,
      promises: true,
      children: true,
      running: true,
    });
  });

  it('a program that lives in setImmediate leaves it its share', async () => {
    // More than the null device does in a slice.
    const times = backend.name === 'null' ? 200_000 : 2000;
    const script = `
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      let [count, turns] = [0, 0];
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === ${times}) vcpu.stop(); } });
      const again = () => { turns++; if (vcpu.running) setImmediate(again); };
      vcpu.run().then(() => report({ count, turned: turns > 5 }));
      again();`;
    expect(await childReport(script)).toEqual({ count: times, turned: true });
  });

  it('others on the same thread take turns with it', async () => {
    const script = `
      const { setTimeout: delay } = require('node:timers/promises');
      const counts = [0, 0, 0];
      const machines = counts.map((_, i) => {
        const made = make('${backend.name}', 'outForEver');
        made.vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { counts[i]++; } });
        return made;
      });
      const spinner = make('${backend.name}', 'spin');
      (async () => {
        const runs = [...machines, spinner].map(({ vcpu }) => vcpu.run());
        // On a machine that is busy with other things each turn comes late; one that never comes is the test's time-out.
        while (counts.some((count) => count <= 50)) await delay(20);
        machines[1].vcpu.stop();
        await runs[1];
        const [before, stopped] = [counts[0], counts[1]];
        while (counts[0] < before + 50) await delay(20);
        const stays = counts[1] === stopped;
        machines[0].hypervisor.close();
        machines[2].vcpu.stop();
        spinner.vcpu.stop();
        report({ stays, ends: (await Promise.all(runs)).map(({ reason }) => reason) });
      })();`;
    expect(await childReport(script)).toEqual({ stays: true, ends: new Array(4).fill('killed') });
  });

  it('a handler may run another VM by enter()', async () => {
    const script = `
      const inner = make('${backend.name}', 'outForEver');
      const outer = make('${backend.name}', 'outForEver');
      let [count, served] = [0, 0];
      outer.vm.ports.add({ at: 0x10, length: 1 }, {
        read: () => 0,
        write: () => {
          if (inner.vcpu.enter().kind === 'io') served++;
          if (++count === 500) outer.vcpu.stop();
        },
      });
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      outer.vcpu.run().then(({ reason }) => { clearInterval(timer); report({ reason, count, served }); });`;
    expect(await childReport(script)).toEqual({ reason: 'killed', count: 500, served: 500 });
  });
});

describeKvm('children', () => {
  it('of the process leave guest memory right, by spawn, fork and exec', async () => {
    const script = `
      const { spawn, fork, exec, spawnSync } = require('node:child_process');
      const { once } = require('node:events');
      const bare = { env: { PATH: process.env.PATH } }; // ThreadSanitizer's runtime, inherited, crashes in any shell
      const { vcpu, vm } = make('kvm', 'pattern');
      let wrong = false;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { wrong = true; } });
      const run = vcpu.run();
      (async () => {
        for (let i = 0; i < 10; i++) {
          const before = vm.memory.readU32(0x6000);
          await once(spawn('/bin/true'), 'exit');
          await once(exec('true', bare), 'exit');
          spawnSync('/bin/true');
          while (vm.memory.readU32(0x6000) < before + 3) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        const child = fork('-e', [], { execArgv: ['-e', 'process.send(1)', '--'] });
        child.on('error', () => {});
        await once(child, 'exit');
        vcpu.stop();
        const { reason } = await run;
        // No descriptor of ours in a child.
        const { stdout } = spawnSync('/bin/sh', ['-c', 'ls -l /proc/self/fd'], { encoding: 'utf8', ...bare });
        report({ reason, wrong, inherited: /kvm/.test(stdout) });
      })();`;
    expect(await childReport(script)).toEqual({ reason: 'killed', wrong: false, inherited: false });
  });
});
