/** `hax run`: serial lines, debug consoles, statistics and traces, in files and sockets. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { main } from '../../../lib/cli/program';
import { ExitTrace } from '../../../lib/hypervisor/exit-trace';
import type { Vcpu } from '../../../lib/hypervisor/vcpu';
import { HaxError } from '../../../lib/util/errors';
import { ended, replaceStreams, start, streams } from './run-bench';
import { input, made, scripted, type ScriptedMachine } from './scripted-machine';

jest.mock('node:fs', () => jest.requireActual<typeof import('./scripted-input')>('./scripted-input').scriptedFs);
jest.mock('../../../lib/machine/machine', () => ({
  Machine: jest.requireActual<typeof import('./scripted-machine')>('./scripted-machine').ScriptedMachine,
}));

replaceStreams();

const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-run-'));
afterAll(() => rmSync(directory, { recursive: true }));

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Until the command has taken or let go a client: the sockets of both sides are descriptors of this process. */
async function descriptorsAre(count: number): Promise<void> {
  while (descriptors() !== count) await sleep(1);
}

describe('--serial', () => {
  it('null leaves the streams alone', async () => {
    const { machine, status } = await start('--serial', 'null');
    streams.stdin.write('x');
    machine.print('x');
    machine.end({ reason: 'halted' });
    expect([await status, streams.stdout.text, input.text]).toEqual([0, '', '']);
  });

  it('file', async () => {
    const file = path.join(directory, 'serial');
    const { machine, status } = await start('--serial', `file:${file}`);
    machine.print('to the file');
    machine.end({ reason: 'halted' });
    expect([await status, readFileSync(file, 'utf8')]).toEqual([0, 'to the file']);
  });

  it('a file that cannot be written', async () => {
    const { status } = await start('--serial', `file:${directory}`);
    expect(await status).toBe(1);
    expect(streams.stderr.text).toMatch(/^hax: --serial: EISDIR/);
  });

  it('unix: one client after the other', async () => {
    const socket = path.join(directory, 'socket');
    const { machine, status } = await start('--serial', `unix:${socket}`);
    machine.print('nobody listens');
    const listening = descriptors();
    for (const text of ['one', 'two']) {
      const client = createConnection(socket);
      await once(client, 'connect');
      client.write(text);
      while (!input.text.endsWith(text)) await sleep(1);
      const second = createConnection(socket);
      await once(second.resume(), 'close');
      machine.print(text);
      expect(String((await once(client, 'data'))[0])).toBe(text);
      client.destroy();
      await descriptorsAre(listening);
    }
    const last = createConnection(socket);
    await descriptorsAre(listening + 2);
    let seen = '';
    last.on('data', (bytes) => (seen += String(bytes)));
    machine.print('the end');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    await once(last, 'close');
    expect([seen, existsSync(socket)]).toEqual(['the end', false]);
  });

  it('unix: a client that comes right behind another has its place', async () => {
    const socket = path.join(directory, 'turns');
    const { machine, status } = await start('--serial', `unix:${socket}`);
    const served: string[] = [];
    for (let i = 0; i < 20; i++) {
      const client = createConnection(socket);
      let seen = '';
      client.on('data', (bytes) => (seen += String(bytes)));
      await once(client, 'connect');
      client.write(`<${i}>`);
      while (!input.text.endsWith(`<${i}>`) && !client.closed) await sleep(1);
      machine.print(`for ${i}`);
      while (seen === '' && !client.closed) await sleep(1);
      served.push(seen);
      client.destroy();
    }
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    expect(served).toEqual(Array.from({ length: 20 }, (_, i) => `for ${i}`));
  });

  it('unix: who is turned away, and who sends more than the guest reads, is let go', async () => {
    input.room = 10;
    const before = descriptors();
    const socket = path.join(directory, 'crowd');
    const { machine, status } = await start('--serial', `unix:${socket}`);
    const first = createConnection(socket);
    await once(first, 'connect');
    const second = createConnection({ path: socket, allowHalfOpen: true }).resume();
    second.write('hello');
    await once(second, 'end');
    const both = descriptors();
    await new Promise((resolve) => first.write('x'.repeat(300_000), resolve));
    first.destroy();
    await descriptorsAre(both - 2);
    const third = createConnection(socket);
    await descriptorsAre(both);
    machine.print('to the third');
    expect(String((await once(third, 'data'))[0])).toBe('to the third');
    // Its second half is the client's to close.
    second.end();
    await once(second, 'close');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    third.destroy();
    await descriptorsAre(before);
  });

  it('unix: a path that cannot be', async () => {
    expect(await main(['run', '--serial', `unix:${directory}`, 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/^hax: --serial unix:\S+ cannot be made: .*in use.*; it is no socket, choose another path\n$/);
    const other = createServer().listen(path.join(directory, 'other'));
    await once(other, 'listening');
    expect(await main(['run', '--serial', `unix:${directory}/other`, 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/\nhax: --serial unix:\S+ cannot be made: .*in use.*; remove it if no other program has it\n$/);
    expect(await main(['run', '--serial', `file:${directory}/other`, 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/\nhax: \S+other is a socket, which is not opened as a file; give another path\n$/);
    other.close();
    expect(await main(['run', '--serial', `unix:${directory}/none/socket`, 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/\nhax: --serial unix:\S+ cannot be made: [^\n]*; its directory does not exist\n$/);
    expect(await main(['run', '--serial', `unix:/tmp/${'é'.repeat(52)}`, 'image'])).toBe(2);
    expect(streams.stderr.text).toMatch(/hax: --serial unix: takes a path of 107 bytes at most, such as one in \/tmp; this one has 109\n$/);
    expect(made[0]).toMatchObject({ started: false, closed: true });
  });
});

describe('--debugcon', () => {
  const write = (machine: ScriptedMachine, text: string): unknown => machine.options.debugConsole!.output.write(text);

  it('to standard error', async () => {
    const { machine, status } = await start('--debugcon', '0xe9');
    write(machine, 'debug');
    machine.end({ reason: 'halted' });
    expect([await status, streams.stderr.text, machine.options.debugConsole!.port]).toEqual([0, 'debug', 0xe9]);
  });

  it('to a file, which is complete at the end', async () => {
    const file = path.join(directory, 'debug');
    const { machine, status } = await start('--debugcon', `1026,file:${file}`);
    for (let i = 0; i < 100; i++) write(machine, `${i}\n`);
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(101);
    expect(machine.options.debugConsole!.port).toBe(0x402);
  });

  it('to a file that cannot be: no machine is made', async () => {
    expect(await main(['run', '--debugcon', `0xe9,file:${directory}`, 'image'])).toBe(1);
    expect(made).toEqual([]);
    expect(streams.stderr.text).toMatch(/^hax: --debugcon: EISDIR/);
  });

  it('to a file that takes no more: told, and the run goes on, but is no success', async () => {
    const { machine, status } = await start('--debugcon', '0xe9,file:/dev/full');
    write(machine, 'x');
    machine.end({ reason: 'powered-off' });
    expect(await status).toBe(1);
    expect(streams.stderr.text).toMatch(/^hax: --debugcon: ENOSPC[^\n]*\n$/);
  });
});

describe('statistics', () => {
  it('--stats on standard error', async () => {
    const { stderr } = await ended({ reason: 'powered-off' }, '--stats', '--append', 'quiet');
    expect(stderr).toMatch(
      /^command line: quiet\nexits handled in JavaScript: 3\n {11}2 {2}io\n {11}1 {2}mmio\nby port:\n {11}2 {2}0x3f8\nby page:\n {11}1 {2}0xd0000000\n/,
    );
    expect(stderr).toMatch(/\nslices: 5 begun, 4 ended by an event or a deadline; entries: 9, kicks: 4, signals of others: 0\n/);
    expect(stderr).toMatch(
      /\ntime: 1\.500 s inside the guest, 0\.250 s in JavaScript for it, 0\.000 s waiting; .* since the start\nresets: 2; .*\n$/,
    );
  });

  it('--stats-file as JSON', async () => {
    const file = path.join(directory, 'stats.json');
    await ended({ reason: 'powered-off' }, '--stats-file', file, '--append', 'quiet');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ commandLine: 'quiet', handled: 3, ports: { '0x3f8': 2 }, resets: 2 });
    const { status, stderr } = await ended({ reason: 'powered-off' }, '--stats-file', '/dev/full');
    expect(status).toBe(1);
    expect(stderr).toMatch(/cannot be written: ENOSPC/);
    made.length = 0;
    expect(await main(['run', '--stats-file', directory, 'image'])).toBe(1);
    expect(made).toEqual([]);
    expect(streams.stderr.text).toMatch(/cannot be written: EISDIR/);
  });

  it('--trace is handed to the machine, and ended with the run', async () => {
    const file = path.join(directory, 'trace.json');
    const { machine, status } = await start('--trace', file);
    const { trace } = machine.options;
    expect(trace).toBeInstanceOf(ExitTrace);
    trace!.track({ vm: {}, id: 0 } as unknown as Vcpu);
    machine.end({ reason: 'powered-off' });
    expect(await status).toBe(0);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveLength(2);
  });

  it('--trace that cannot be written: no machine is made', async () => {
    expect(await main(['run', '--trace', directory, 'image'])).toBe(1);
    expect(made).toEqual([]);
    expect(streams.stderr.text).toMatch(/^hax: the trace .* cannot be written: EISDIR[^\n]*\n$/);
    const { machine, status } = await start('--trace', '/dev/full');
    machine.options.trace!.track({ vm: {}, id: 0 } as unknown as Vcpu);
    machine.end({ reason: 'powered-off' });
    expect(await status).toBe(1);
    expect(streams.stderr.text).toMatch(/\nhax: --trace: the trace \/dev\/full .* ENOSPC.*\n$/);
  });
});

describe('a run that never begins leaves every file as it was', () => {
  const names = ['trace', 'debug', 'serial', 'stats'];
  const files = names.map((name) => path.join(directory, `kept-${name}`));
  const [trace, debug, serial, stats] = files;
  const begins = ['run', '--trace', trace, '--debugcon', `0xe9,file:${debug}`, '--stats-file', stats];
  beforeEach(() => files.forEach((file) => writeFileSync(file, 'of before')));
  const contents = (): string[] => files.map((file) => readFileSync(file, 'utf8'));

  it('because there is no machine', async () => {
    scripted.refusal = new HaxError('ERR_HAX_IMAGE', 'no image');
    expect(await main([...begins, '--serial', `file:${serial}`, 'image'])).toBe(1);
    expect(contents()).toEqual(names.map(() => 'of before'));
  });

  it('because its last output cannot be opened', async () => {
    expect(await main([...begins, '--serial', `unix:${directory}`, '--stats', 'image'])).toBe(1);
    expect(contents()).toEqual(names.map(() => 'of before'));
    expect(streams.stderr.text).toMatch(/^hax: --serial unix:[^\n]*\n$/);
  });

  it('one that begins empties them', async () => {
    const { machine, status } = await start(...begins.slice(1), '--serial', `file:${serial}`);
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    expect([readFileSync(debug, 'utf8'), readFileSync(serial, 'utf8')]).toEqual(['', '']);
    expect(readFileSync(stats, 'utf8')).toMatch(/^\{\n/);
  });
});
