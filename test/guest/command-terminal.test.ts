/** `hax run` on a terminal: script(1) makes one, and tells the terminal's mode before and after. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandFile, RunningCommand, type Finished } from '../support/command';
import { describeKvm, itIf } from '../support/hosts';
import { bootSector, ending, Files, hexEchoSector, place } from './images';

const files = new Files();
afterAll(() => files.remove());

const hexEcho = files.write('hex-echo', hexEchoSector());

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20);
}

/** 78 letters A to the port dx. */
const line = `mov al, 65\n mov cx, 78\n 3: out dx, al\n dec cx\n jnz 3b\n mov al, 10\n out dx, al`;

let count = 0;

class Terminal {
  readonly #running: RunningCommand;
  readonly #name = `terminal-${count++}`;

  constructor(args: readonly string[], redirection = '') {
    const hax = [process.execPath, commandFile, ...args].map((word) => `'${word}'`).join(' ');
    const mode = "stty -a | tr -d '\\n' | md5sum";
    const name = files.at(this.#name);
    const script = files.write(
      `${this.#name}.sh`,
      // The inner shell outlives the terminal's end, to keep the status.
      `echo "before $(${mode})"\n(trap : HUP; (sh -c 'echo $PPID' >${name}.pid; exec ${hax} ${redirection}); echo $? >${name}.status)\necho "after $(${mode})"\n`,
    );
    this.#running = new RunningCommand('script', ['-qec', `sh ${script}`, '/dev/null'], { keepInput: true });
  }

  /** The exit status, once there is one. */
  get status(): number | undefined {
    const file = files.at(`${this.#name}.status`);
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    return text === '' ? undefined : Number(text);
  }

  get text(): string {
    return this.#running.stdout.toString();
  }

  type(text: string): void {
    this.#running.child.stdin.write(text);
  }

  printed(text: string): Promise<void> {
    return this.#running.printed(text);
  }

  get pid(): number {
    return Number(readFileSync(files.at(`${this.#name}.pid`), 'utf8'));
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** Its window is closed: what held the other side is gone. */
  hangUp(): void {
    this.#running.child.kill('SIGKILL');
  }

  /** What stty(1) says about it now. */
  stty(...args: string[]): string {
    return execFileSync('stty', ['-F', `/proc/${this.pid}/fd/0`, ...args], { encoding: 'utf8' });
  }

  /** Nobody reads it any more. */
  async stall(): Promise<void> {
    await this.printed('hax: Ctrl-A X');
    this.#running.child.kill('SIGSTOP');
  }

  resume(): void {
    this.#running.child.kill('SIGCONT');
  }

  /** The exit status, once the terminal's mode has been found restored. */
  async end(): Promise<{ status: number | undefined; text: string; finished: Finished }> {
    await this.printed('after ');
    this.#running.child.stdin.end();
    const finished = await this.#running.end();
    const { text } = this;
    const [before, after] = ['before', 'after'].map((name) => new RegExp(`${name} ([0-9a-f]{32})`).exec(text)?.[1]);
    expect(before).toMatch(/^[0-9a-f]{32}$/);
    expect(after).toBe(before);
    return { status: this.status, text, finished };
  }
}

const there = existsSync('/usr/bin/script');
const itOnTerminal = (name: string, test: () => Promise<void>): void => itIf(there, 'script(1) is not installed', name, test);

describeKvm('a terminal', () => {
  itOnTerminal('is raw: keys reach the guest one by one, Ctrl-C as 03, nothing is echoed twice', async () => {
    const terminal = new Terminal(['run', hexEcho]);
    await terminal.printed('ready');
    for (const key of ['a', '\x03', '\x1a', '\r', '\x04', '\x1b']) {
      terminal.type(key);
      await terminal.printed(`<${Buffer.from(key).toString('hex')}>`);
    }
    terminal.type('q');
    const { status, text } = await terminal.end();
    expect(status).toBe(0);
    expect(text).toContain('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A');
    // Node's raw mode still puts a carriage return before a line feed.
    expect(text).toContain('ready\r\r\n<61><03><1a><0d><04><1b>');
  });

  itOnTerminal('Ctrl-A X ends with status 0, Ctrl-A Ctrl-A sends Ctrl-A', async () => {
    for (const x of ['x', 'X']) {
      const terminal = new Terminal(['run', hexEcho]);
      await terminal.printed('ready');
      terminal.type('\x01\x01b');
      await terminal.printed('<01><62>');
      terminal.type(`\x01${x}`);
      const { status, text } = await terminal.end();
      expect(status).toBe(0);
      expect(text).toMatch(/<01><62>(\r\n)?hax: ended by Ctrl-A X\r/);
    }
  });

  itOnTerminal('Ctrl-A X in two reads ends it too', async () => {
    const terminal = new Terminal(['run', hexEcho]);
    await terminal.printed('ready');
    terminal.type('\x01');
    await sleep(100);
    terminal.type('x');
    expect(await terminal.end()).toMatchObject({ status: 0 });
  });

  itOnTerminal('its mode is restored when the guest panics, resets, or is out of time, and by signals', async () => {
    const twice = async (terminal: Terminal): Promise<void> => {
      terminal.signal('SIGTERM');
      await sleep(1);
      try {
        terminal.signal('SIGTERM');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // the first one has ended it already
      }
    };
    const ends: [args: string[], act: (terminal: Terminal) => void | Promise<void>, status: number][] = [
      [[], (terminal) => terminal.type('p'), 3],
      [['--no-reboot'], (terminal) => terminal.type('r'), 4],
      [['--timeout', '0.5'], () => undefined, 124],
      [['--fail-on', '<61>'], (terminal) => terminal.type('a'), 1],
      [[], (terminal) => terminal.signal('SIGTERM'), 143],
      [[], (terminal) => terminal.signal('SIGINT'), 130],
      [[], (terminal) => terminal.signal('SIGHUP'), 129],
      [[], (terminal) => terminal.signal('SIGQUIT'), 131],
      [[], (terminal) => terminal.signal('SIGUSR2'), 128 + 12],
      [[], (terminal) => terminal.signal('SIGALRM'), 128 + 14],
      [[], (terminal) => terminal.signal('SIGXCPU'), 128 + 24],
      [[], twice, 143],
    ];
    for (const [args, act, expected] of ends) {
      const terminal = new Terminal(['run', hexEcho, ...args]);
      // One whose time is out soon may have no time to print.
      await terminal.printed(args.includes('--timeout') ? 'hax: Ctrl-A X' : 'ready');
      await act(terminal);
      expect((await terminal.end()).status).toBe(expected);
    }
  });

  itOnTerminal('that nobody reads keeps neither --timeout nor SIGTERM from ending the run', async () => {
    const chatter = files.write('chatter', bootSector(`mov dx, ${place.com1}\n 2: ${line}\n jmp 2b`));
    const timed = new Terminal(['run', chatter, '--timeout', '3']);
    const stopped = new Terminal(['run', chatter]);
    await Promise.all([timed.stall(), stopped.stall()]);
    await sleep(3000);
    stopped.signal('SIGTERM');
    const both = (): (number | undefined)[] => [timed.status, stopped.status];
    for (let tries = 0; both().includes(undefined) && tries < 400; tries++) await sleep(50);
    for (const terminal of [timed, stopped]) terminal.resume();
    expect(both()).toEqual([124, 143]);
    await Promise.all([timed.end(), stopped.end()]);
  });

  itOnTerminal('Ctrl-A X ends a run whose output nobody takes', async () => {
    const chatter = files.write('chatter-pipe', bootSector(`mov dx, ${place.com1}\n 2: ${line}\n jmp 2b`));
    execFileSync('mkfifo', [files.at('unread')]);
    const terminal = new Terminal(['run', chatter], `1<>${files.at('unread')}`);
    await terminal.printed('hax: Ctrl-A X');
    await until(() => terminal.stty('-a').includes('-icanon'));
    await sleep(500);
    terminal.type('\x01x');
    expect((await terminal.end()).status).toBe(0);
  });

  itOnTerminal('that is slow has all that the guest and the command print', async () => {
    const lines = 1200; // more than a terminal takes, less than what holds the guest back
    const image = files.write(
      'debug-flood',
      bootSector(`mov bx, ${lines}\n mov dx, ${place.debugConsole}\n 2: ${line}\n dec bx\n jnz 2b\n ${ending.panic}`),
    );
    const terminal = new Terminal(['run', image, '--debugcon', '0xe9']);
    await terminal.stall();
    await sleep(2500);
    terminal.resume();
    const { status, text } = await terminal.end();
    expect([status, text.split('A'.repeat(78)).length - 1]).toEqual([3, lines]);
    expect(text).toMatch(/hax: the guest crashed: panicked[^]*rip/);
  });

  itOnTerminal('that is closed ends the run with 129, whatever the guest does', async () => {
    const silent = files.write('silent', bootSector(ending.spin));
    const chatty = files.write('chatty', bootSector(`mov dx, ${place.com1}\n 2: ${line}\n jmp 2b`));
    for (const [image, shown] of [
      [silent, 'hax: Ctrl-A X'],
      [chatty, 'AAA'],
    ]) {
      const terminal = new Terminal(['run', image]);
      await terminal.printed(shown);
      await until(() => terminal.stty('-a').includes('-icanon'));
      terminal.hangUp();
      await until(() => terminal.status !== undefined);
      expect(terminal.status).toBe(129);
    }
  });

  itOnTerminal('is raw again when the command goes on after a stop', async () => {
    const terminal = new Terminal(['run', hexEcho]);
    await terminal.printed('ready');
    terminal.signal('SIGSTOP');
    await until(() => / T /.test(readFileSync(`/proc/${terminal.pid}/stat`, 'utf8')));
    terminal.stty('sane'); // as a shell does
    expect(terminal.stty('-a')).not.toContain('-icanon');
    terminal.signal('SIGCONT');
    await until(() => terminal.stty('-a').includes('-icanon'));
    terminal.type('q');
    expect(await terminal.end()).toMatchObject({ status: 0 });
  });

  itOnTerminal('its mode is left alone when there is nothing to boot', async () => {
    const terminal = new Terminal(['run', files.at('absent')]);
    const { status, text } = await terminal.end();
    expect(status).toBe(1);
    expect(text).toContain('absent does not exist\r\n');
  });
});
