/** `hax run` around a machine that does as it is told: streams, terminals, signals, verdicts. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { main } from '../../../lib/cli/program';
import type { RunEnd } from '../../../lib/hypervisor/end';
import { ExitTrace } from '../../../lib/hypervisor/exit-trace';
import type { Console } from '../../../lib/machine/console';
import { ConsolePort } from '../../../lib/machine/console-port';
import type { MachineOptions } from '../../../lib/machine/machine';
import { HaxError } from '../../../lib/util/errors';

/** Standard input is /dev/null. */
let mockNoInput = false;

jest.mock('node:fs', () => {
  const fs = jest.requireActual<typeof import('node:fs')>('node:fs');
  const input = { isCharacterDevice: () => true, rdev: 0x103 };
  const other = { isCharacterDevice: () => false };
  const output = { ...other, isFile: () => false, isSocket: () => false, isFIFO: () => false };
  const standard = (fd: number): object => (fd !== 0 ? output : mockNoInput ? input : other);
  return { ...fs, fstatSync: (fd: number) => (fd <= 1 ? standard(fd) : fs.fstatSync(fd)) };
});

class MockMachine {
  readonly port: ConsolePort;
  readonly ended: Promise<RunEnd>;
  readonly statistics = {
    ...{ handled: 3, kinds: { io: 2, mmio: 1, interrupted: 4 }, ports: { '0x3f8': 2 }, pages: { '0xd0000000': 1 }, slices: 5 },
    ...{ entries: 9, interrupted: 0, kicks: 4, taken: 0, guestNs: 1.5e9, javascriptNs: 2.5e8, waitingNs: 0, resets: 2, cpus: 1 },
  };
  readonly vcpu = { getState: () => ({ rip: 0x7c00n }) };
  started = false;
  closed = false;
  #settle!: (end: RunEnd) => void;
  #fail!: (error: unknown) => void;

  constructor(readonly options: MachineOptions) {
    mockMade.push(this);
    this.port = new ConsolePort(options.output);
    if (mockRefusal) throw mockRefusal; // eslint-disable-line @typescript-eslint/only-throw-error
    this.ended = new Promise((resolve, reject) => ([this.#settle, this.#fail] = [resolve, reject]));
    this.ended.catch(() => undefined);
    this.port.attach((bytes) => {
      const taken = Math.min(bytes.length, mockInput.room);
      mockInput.text += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
      mockInput.room -= taken;
      return taken;
    });
  }

  get console(): Console {
    return this.port.stream;
  }

  start(): void {
    this.started = true;
  }

  print(text: string): void {
    this.port.deliver(Buffer.from(text), () => undefined);
  }

  end(end: RunEnd): void {
    this.port.finish(end.reason);
    this.#settle(end);
  }

  fail(error: unknown): void {
    this.port.finish('failed');
    this.#fail(error);
  }

  kill(): void {
    if (this.started) this.end({ reason: 'killed' });
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

const mockMade: MockMachine[] = [];
let mockRefusal: unknown;
const mockInput = { text: '', room: Infinity };

jest.mock('../../../lib/machine/machine', () => ({ Machine: MockMachine }));
jest.mock('../../../lib/cli/run.js', () => jest.requireActual<object>('../../../lib/cli/run'), { virtual: true });

class Terminal extends PassThrough {
  isTTY = true;
  readonly modes: boolean[] = [];
  setRawMode(raw: boolean): this {
    this.modes.push(raw);
    return this;
  }
}

/** A standard output that may be stuck. */
class Output extends Writable {
  text = '';
  stuck: (() => void)[] | undefined;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.stuck) {
      this.stuck.push(done);
      return;
    }
    this.text += chunk.toString();
    done();
  }
}

const real = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
let streams: { stdin: PassThrough; stdout: Output; stderr: Output };
const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-run-'));
afterAll(() => rmSync(directory, { recursive: true }));

function use(values: { stdin: unknown; stdout: unknown; stderr: unknown }): void {
  for (const [name, value] of Object.entries(values)) Object.defineProperty(process, name, { value, configurable: true });
}

beforeEach(() => {
  mockMade.length = 0;
  mockRefusal = undefined;
  Object.assign(mockInput, { text: '', room: Infinity });
  streams = { stdin: new PassThrough(), stdout: new Output(), stderr: new Output() };
  use(streams);
});
afterEach(() => use(real));

/** Starts `hax run ARGS… image` and gives the machine once it runs. */
async function start(...args: string[]): Promise<{ machine: MockMachine; status: Promise<number> }> {
  mockMade.length = 0;
  const status = main(['run', ...args, 'image']);
  for (let turns = 0; !mockMade[0]?.started && turns < 200; turns++) await sleep(1);
  return { machine: mockMade[0], status };
}

async function ended(end: RunEnd, ...args: string[]): Promise<{ status: number; stderr: string }> {
  const { machine, status } = await start(...args);
  machine.end(end);
  const result = await status;
  expect(machine.closed).toBe(true);
  return { status: result, stderr: streams.stderr.text };
}

describe('options reach the machine', () => {
  it('as they are, and as their defaults', async () => {
    await ended({ reason: 'halted' });
    expect(mockMade[0].options).toMatchObject({
      kernel: 'image',
      format: 'auto',
      memory: 2 ** 27,
      reboot: true,
      debugExit: false,
    });
    const args = [
      '--format',
      'flat',
      '--load',
      '0x1000',
      '--entry',
      '4100',
      '--mode',
      '32',
      '--memory',
      '64M',
      '--no-reboot',
      '--debug-exit',
      '--stats',
    ];
    await ended({ reason: 'halted' }, ...args, '--backend', 'kvm');
    expect(mockMade[0].options).toMatchObject({
      ...{ format: 'flat', load: 0x1000, entry: 4100, mode: 32, memory: 2 ** 26, reboot: false, debugExit: true },
      backend: 'kvm',
    });
    await ended(
      { reason: 'halted' },
      '--initrd',
      'a',
      '--initrd',
      'b',
      '--append',
      'x y',
      '--debug-exit-port',
      '0x501',
      '--memory',
      '5000000',
    );
    expect(mockMade[0].options).toMatchObject({ initrd: ['a', 'b'], append: 'x y', debugExit: 0x501, memory: 5001216 });
  });

  it('--backend auto is the default, whatever HAX_BACKEND says', async () => {
    const before = process.env.HAX_BACKEND;
    try {
      process.env.HAX_BACKEND = 'haxm';
      await ended({ reason: 'halted' }, '--backend', 'auto');
      expect(mockMade[0].options).not.toHaveProperty('backend');
      expect(process.env.HAX_BACKEND).toBeUndefined();
    } finally {
      if (before === undefined) delete process.env.HAX_BACKEND;
      else process.env.HAX_BACKEND = before;
    }
  });

  it('its refusal is told and gives the status', async () => {
    mockRefusal = new HaxError('ERR_HAX_NO_DEVICE', '/dev/kvm is not there');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/^hax: \/dev\/kvm is not there\n.*modprobe.*\n$/);
    mockRefusal = new HaxError('ERR_HAX_INVALID_ARGUMENT', 'append is too long');
    expect(await main(['run', 'image'])).toBe(2);
    mockRefusal = new HaxError('ERR_HAX_NO_PERMISSION', '/dev/kvm may not be opened');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/ hax doctor tells what this host needs\.\n$/);
    mockRefusal = new HaxError('ERR_HAX_NO_MEMORY', 'the host has not 8796093022208 bytes for guest memory');
    expect(await main(['run', '--memory', '8T', 'image'])).toBe(1);
    expect(streams.stderr.text).toContain('hax: --memory 8T: the host has not ');
    mockRefusal = new HaxError('ERR_HAX_INVALID_ARGUMENT', 'modules: image is started as a boot sector, which takes no initrd or module');
    expect(await main(['run', '--initrd', 'x', 'image'])).toBe(2);
    expect(streams.stderr.text).toContain('hax: --initrd: image is started as ');
    mockRefusal = new TypeError('a bug');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/hax: TypeError: a bug\n +at /);
    mockRefusal = 'thrown'; // no Error at all
    expect(await main(['run', 'image'])).toBe(1);
  });
});

describe('status and message of each end', () => {
  const registers = { rip: 0x1234n } as never;
  it.each<[RunEnd, string[], number, RegExp]>([
    [{ reason: 'powered-off' }, [], 0, /^$/],
    [{ reason: 'halted' }, [], 0, /^$/],
    [{ reason: 'reset' }, ['--no-reboot'], 4, /^hax: the guest reset the machine \(--no-reboot\)\n$/],
    [{ reason: 'exit-code', status: 0x121 }, ['--debug-exit'], 0x21, /^$/],
    [{ reason: 'panicked' }, [], 3, /^hax: the guest crashed: panicked\n.*rip: 31744n/s],
    [{ reason: 'triple-fault', registers }, [], 3, /^hax: the guest crashed: triple-fault\n.*rip: 4660n/s],
    [{ reason: 'fail-entry', hardwareReason: 0x21n, registers }, [], 3, /^hax: the guest crashed: fail-entry, hardware reason 0x21\n/],
    [
      { reason: 'unhandled-exit', kind: 'unknown', rawCode: 77, registers },
      [],
      3,
      /^hax: the guest crashed: unhandled-exit unknown, number 77\n/,
    ],
    [
      { reason: 'internal-error', suberror: 1, instruction: Uint8Array.of(0x0f, 0xb8), registers },
      [],
      3,
      /^hax: the guest crashed: internal-error, suberror 1 \(an instruction .*\)\ninstruction bytes: 0f b8\n/,
    ],
    [{ reason: 'internal-error', suberror: 2, instruction: new Uint8Array(0), registers }, [], 3, /internal-error, suberror 2\n\{/],
  ])('%j', async (end, args, expected, message) => {
    const { status, stderr } = await ended(end, ...args);
    expect(status).toBe(expected);
    expect(stderr).toMatch(message);
  });

  it.each<[string, unknown, number, RegExp]>([
    [
      'of a device model',
      new HaxError('ERR_HAX_DEVICE_FAILED', 'OUT to port 0x3f8 failed'),
      1,
      /^hax: OUT to port 0x3f8 failed\nFix the device model/,
    ],
    ['of the hypervisor', new HaxError('ERR_HAX_IOCTL', 'KVM_RUN failed', { operation: 'KVM_RUN' }), 3, /^hax: KVM_RUN failed\n/],
    ['for want of a descriptor', new HaxError('ERR_HAX_IOCTL', 'no epoll', { operation: 'epoll_create1' }), 1, /^hax: no epoll\n/],
  ])('a failure %s', async (_what, error, expected, message) => {
    const { machine, status } = await start();
    machine.fail(error);
    expect(await status).toBe(expected);
    expect(streams.stderr.text).toMatch(message);
  });

  it('--exit-on and --fail-on, the first in the text', async () => {
    for (const [text, expected] of [
      ['one PASS two FAIL', 0],
      ['one FAIL two PASS', 1],
    ] as const) {
      const { machine, status } = await start('--exit-on', 'PASS', '--exit-on', 'OK', '--fail-on', 'FAIL');
      machine.print(text);
      expect(await status).toBe(expected);
    }
    expect(streams.stderr.text).toBe('hax: the guest printed "FAIL" (--fail-on)\n');
  });

  it('--timeout', async () => {
    const { status } = await start('--timeout', '0.05');
    expect(await status).toBe(124);
    expect(streams.stderr.text).toBe('hax: the guest did not end within 0.05 s (--timeout)\n');
  });

  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGQUIT', 131],
    ['SIGTERM', 143],
  ] as const)('%s; its handler is gone afterwards', async (signal, expected) => {
    const before = process.listenerCount(signal);
    const { status } = await start();
    process.emit(signal);
    expect(process.listenerCount(signal)).toBe(before + 1); // for a second one
    expect(await status).toBe(expected);
    expect([process.listenerCount(signal), streams.stderr.text]).toEqual([before, '']);
  });
});

describe('standard streams', () => {
  it('carry the console both ways', async () => {
    const { machine, status } = await start();
    streams.stdin.write('typed');
    machine.print('printed');
    await turn();
    machine.end({ reason: 'powered-off' });
    expect([await status, streams.stdout.text, mockInput.text]).toEqual([0, 'printed', 'typed']);
  });

  it('an input of /dev/null is left alone', async () => {
    mockNoInput = true;
    try {
      const { machine, status } = await start();
      machine.print('printed');
      machine.end({ reason: 'powered-off' });
      expect([await status, streams.stdout.text, streams.stdin.listenerCount('error')]).toEqual([0, 'printed', 0]);
    } finally {
      mockNoInput = false;
    }
  });

  it('an output that breaks ends the run, once', async () => {
    const { machine, status } = await start();
    machine.print('x');
    streams.stdout.destroy(Object.assign(new Error('broken'), { code: 'EPIPE' }));
    expect(await status).toBe(1);
    expect(streams.stderr.text).toBe('hax: standard output cannot be written: its reader is gone\n');
  });

  it.each([
    ['SIGTERM', 1, 900, 2000],
    ['two of them', 2, 0, 800],
  ])('an output that is stuck is not waited for after %s', async (_what, signals, atLeast, atMost) => {
    const exit = jest.spyOn(process, 'exit').mockImplementation((() => undefined) as never);
    try {
      const { machine, status } = await start();
      streams.stdout.stuck = [];
      machine.print('x');
      await turn();
      const began = performance.now();
      for (let times = 0; times < signals; times++) process.emit('SIGTERM');
      expect(await status).toBe(143);
      const took = performance.now() - began;
      expect([took > atLeast, took < atMost]).toEqual([true, true]);
      expect(exit).toHaveBeenCalledWith(143);
      expect(machine.closed).toBe(true);
    } finally {
      exit.mockRestore();
    }
  });
});

describe('a terminal', () => {
  let terminal: Terminal;
  beforeEach(() => {
    terminal = new Terminal();
    use({ ...streams, stdin: terminal });
  });

  it('is raw while the guest runs, and told how to end it', async () => {
    const listeners = process.listenerCount('exit');
    const { machine, status } = await start();
    expect(terminal.modes).toEqual([true]);
    expect(streams.stderr.text).toBe('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\r\n');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    expect([terminal.modes, terminal.destroyed, process.listenerCount('exit')]).toEqual([[true, false], true, listeners]);
  });

  it('is made raw again after a stop', async () => {
    const listeners = process.listenerCount('SIGCONT');
    const { machine, status } = await start();
    process.emit('SIGCONT');
    expect(terminal.modes).toEqual([true, false, true]);
    machine.end({ reason: 'halted' });
    await status;
    expect([terminal.modes.at(-1), process.listenerCount('SIGCONT')]).toEqual([false, listeners]);
  });

  it('Ctrl-A X ends the run, Ctrl-A with anything else sends that', async () => {
    const { status } = await start();
    for (const keys of ['a\x01', '\x01b\x01', 'c\x03', '\x01', 'xd']) {
      terminal.write(keys);
      await turn();
    }
    expect(await status).toBe(0);
    expect(mockInput.text).toBe('a\x01bc\x03');
    expect(terminal.modes).toEqual([true, false]);
  });

  it('has Ctrl-A X behind what the guest does not read, which is dropped from 1 MiB on', async () => {
    mockInput.room = 10;
    const { machine, status } = await start();
    for (let i = 0; i < 12; i++) terminal.write('x'.repeat(100_000));
    await turn();
    expect(mockInput.text).toHaveLength(10);
    mockInput.room = Infinity;
    machine.port.accept();
    await turn();
    expect(mockInput.text.length / 1e5).toBe(11);
    mockInput.room = 0;
    terminal.write('x'.repeat(100_000));
    terminal.write('\x01x');
    expect(await status).toBe(0);
  });

  it('is restored when the process exits under the run', async () => {
    const { machine, status } = await start();
    const restore = process.listeners('exit').at(-1) as () => void;
    restore();
    expect(terminal.modes).toEqual([true, false]);
    machine.end({ reason: 'halted' });
    await status;
  });
});

describe('--serial', () => {
  it('null leaves the streams alone', async () => {
    const { machine, status } = await start('--serial', 'null');
    streams.stdin.write('x');
    machine.print('x');
    machine.end({ reason: 'halted' });
    expect([await status, streams.stdout.text, mockInput.text]).toEqual([0, '', '']);
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
    for (const text of ['one', 'two']) {
      const client = createConnection(socket);
      await once(client, 'connect');
      client.write(text);
      while (!mockInput.text.endsWith(text)) await sleep(1);
      const second = createConnection(socket);
      await once(second.resume(), 'close');
      machine.print(text);
      expect(String((await once(client, 'data'))[0])).toBe(text);
      client.destroy();
      await sleep(10);
    }
    const last = createConnection(socket);
    await once(last, 'connect');
    await sleep(10);
    let seen = '';
    last.on('data', (bytes) => (seen += String(bytes)));
    machine.print('the end');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    await once(last, 'close');
    expect([seen, existsSync(socket)]).toEqual(['the end', false]);
  });

  it('unix: who is turned away, and who sends more than the guest reads, is let go', async () => {
    mockInput.room = 10;
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const socket = path.join(directory, 'crowd');
    const { machine, status } = await start('--serial', `unix:${socket}`);
    const first = createConnection(socket);
    await once(first, 'connect');
    const second = createConnection({ path: socket, allowHalfOpen: true }).resume();
    second.write('hello');
    await once(second, 'end');
    first.write('x'.repeat(300_000));
    await sleep(50);
    first.destroy();
    await sleep(50);
    const third = createConnection(socket);
    await once(third, 'connect');
    await sleep(50);
    machine.print('to the third');
    expect(String((await once(third, 'data'))[0])).toBe('to the third');
    // Its second half is the client's to close.
    second.end();
    await once(second, 'close');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    third.destroy();
    await sleep(50);
    expect(descriptors()).toBe(before);
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
    expect(await main(['run', '--serial', `unix:/tmp/${'é'.repeat(52)}`, 'image'])).toBe(2);
    expect(streams.stderr.text).toMatch(/hax: --serial unix: takes a path of 107 bytes at most, such as one in \/tmp; this one has 109\n$/);
    expect(mockMade[0]).toMatchObject({ started: false, closed: true });
  });
});

describe('--debugcon', () => {
  const write = (machine: MockMachine, text: string): unknown => machine.options.debugConsole!.output.write(text);

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
    expect(mockMade).toEqual([]);
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
    mockMade.length = 0;
    expect(await main(['run', '--stats-file', directory, 'image'])).toBe(1);
    expect(mockMade).toEqual([]);
    expect(streams.stderr.text).toMatch(/cannot be written: EISDIR/);
  });

  it('--trace is handed to the machine, and complete when the command has ended', async () => {
    const file = path.join(directory, 'trace.json');
    const { machine, status } = await start('--trace', file);
    expect(machine.options.trace).toBeInstanceOf(ExitTrace);
    machine.end({ reason: 'powered-off' });
    expect(await status).toBe(0);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual([]);
    mockRefusal = new HaxError('ERR_HAX_NO_MEMORY', 'no');
    expect(await main(['run', '--trace', file, 'image'])).toBe(1);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual([]);
  });

  it('--trace that cannot be written: no machine is made', async () => {
    expect(await main(['run', '--trace', directory, 'image'])).toBe(1);
    expect(mockMade).toEqual([]);
    expect(streams.stderr.text).toMatch(/^hax: the trace .* cannot be written: EISDIR[^\n]*\n$/);
    const { machine, status } = await start('--trace', '/dev/full');
    machine.end({ reason: 'powered-off' });
    expect(await status).toBe(1);
    expect(streams.stderr.text).toMatch(/\nhax: --trace: the trace \/dev\/full .* ENOSPC.*\n$/);
  });
});
