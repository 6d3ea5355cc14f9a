import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const command = path.resolve(__dirname, '../../scripts/test-in-vm');
const LIMIT = 300_000; // two starts of two minutes each are allowed

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function runInVm(args: readonly string[], env: NodeJS.ProcessEnv = {}): Run {
  return spawnSync(process.execPath, [command, ...args], { encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
}

describe('a wrong call is refused with status 2 and one line', () => {
  test.each([
    ['no command', [], /no command given/],
    ['an unknown option', ['--bogus', 'true'], /unknown option '--bogus'/],
    ['an option without its value', ['--cpus'], /--cpus takes a value/],
    ['a time-out above two minutes', ['--timeout', '121', 'true'], /from 1 to 120, not '121'/],
    ['memory that is no number', ['--memory=much', 'true'], /--memory takes a whole number/],
    ['a share that is not there', ['--share', '/nonexistent', 'true'], /'\/nonexistent' is not a directory/],
    ['a user by name', ['--user=root', 'true'], /--user takes UID:GID/],
    ['a status file that cannot be written', ['--status-file', '/nonexistent/file', 'true'], /\/nonexistent\/file/],
  ])('%s', (_, args, reason) => {
    const { status, stdout, stderr } = runInVm(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^test-in-vm: .*\n$/);
    expect(stderr).toMatch(reason);
  });

  test('--help is no error', () => {
    const { status, stdout } = runInVm(['--help']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Usage: scripts\/test-in-vm /);
  });
});

/** Why host B cannot run here, or undefined. */
function obstacle(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'host B needs Linux on x86-64';
  const directories = (process.env.PATH ?? '').split(':');
  if (!directories.some((directory) => existsSync(path.join(directory, 'qemu-system-x86_64')))) return 'no qemu-system-x86_64 in PATH';
  if (/QEMU TCG/.test(readFileSync('/proc/cpuinfo', 'utf8'))) return 'this processor is emulated itself: a second level takes minutes';
  return undefined;
}

function children(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      return Number(fields[1]) === parent;
    } catch {
      return false; // ended meanwhile
    }
  });
}

const reason = obstacle();
if (reason) console.log(`host B is not tested: ${reason}`);

(reason ? describe.skip : describe)('host B', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'test-in-vm-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const statusFile = () => path.join(directory, 'status');
  const recorded = () => JSON.parse(readFileSync(statusFile(), 'utf8')) as Record<string, unknown>;

  /** Part of a script that waits until we say go(), in a file that both see. */
  const untilGo = 'while [ ! -e "$HAX_DIRECTORY/go" ]; do sleep 0.2; done';
  const go = () => writeFileSync(path.join(directory, 'go'), '');

  /** As runInVm(), with the directory shared; `seen` is called with all that has been printed whenever there is more. */
  async function watchInVm(
    words: readonly string[],
    seen: (stdout: string, pid: number) => void,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Run> {
    const args = [command, '--share', directory, '--status-file', statusFile(), ...words];
    const child = spawn(process.execPath, args, { env: { ...process.env, HAX_DIRECTORY: directory, ...env } });
    let stdout = '';
    let stderr = '';
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString();
      seen(stdout, child.pid!);
    });
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { status, stdout, stderr };
  }

  test(
    'passes output, status and files through, and offers a real /dev/kvm',
    () => {
      const script = `
        const { execFileSync } = require('node:child_process');
        const fs = require('node:fs');
        fs.accessSync('/dev/kvm', fs.constants.R_OK | fs.constants.W_OK);
        process.stderr.write(fs.readFileSync('/proc/modules', 'utf8').match(/^kvm_amd/m)[0] + ' ' + process.argv[1]);
        fs.writeFileSync(process.env.HAX_DIRECTORY + '/kept', process.cwd());
        fs.writeFileSync('/etc/vanishes', '');
        const line = 'x'.repeat(999) + '\\n';
        for (let i = 0; i < 2000; i++) fs.writeSync(1, line);
        process.exitCode = 7;`;
      const options = ['--share', directory, '--status-file', statusFile()];
      const run = runInVm([...options, process.execPath, '-e', script, "a 'b'\n$c"], { HAX_DIRECTORY: directory });
      const stderr = run.stderr.replace(/^test-in-vm: fetching .*\n/gm, ''); // the first time that this user runs it
      expect({ status: run.status, stderr }).toEqual({ status: 7, stderr: "kvm_amd a 'b'\n$c" });
      const digest = (text: string) => createHash('sha256').update(text).digest('hex');
      expect(digest(run.stdout)).toBe(digest(`${'x'.repeat(999)}\n`.repeat(2000)));
      expect(readFileSync(path.join(directory, 'kept'), 'utf8')).toBe(process.cwd());
      expect(existsSync('/etc/vanishes')).toBe(false);
      expect(recorded()).toMatchObject({ result: 'exited', status: 7, restarts: 0 });
    },
    LIMIT,
  );

  test(
    'a time-out is neither a pass nor a failure',
    () => {
      const run = runInVm(['--timeout', '8', '--status-file', statusFile(), 'sleep', '60']);
      expect(run).toMatchObject({ status: 120, stdout: '', stderr: 'test-in-vm: timed out after 8 s\n' });
      expect(recorded()).toMatchObject({ result: 'timeout', status: 120 });
    },
    LIMIT,
  );

  test(
    'nor is a panic of the inner kernel',
    async () => {
      // A panic leaves init no time to pass on what has been said: it comes when that is here.
      const script = `echo before; ${untilGo}; echo c > /proc/sysrq-trigger`;
      const run = await watchInVm(['sh', '-c', script], () => go());
      expect(run).toMatchObject({ status: 121, stdout: 'before\n' });
      expect(run.stderr).toMatch(/^test-in-vm: inner kernel panic: .*sysrq triggered crash\n$/);
      expect(recorded()).toMatchObject({ result: 'panic', status: 121 });
    },
    LIMIT,
  );

  test(
    'without a heartbeat it is restarted once, and says so',
    async () => {
      const freeze = (pid: number): void => {
        for (const machine of children(pid)) process.kill(machine, 'SIGSTOP');
      };
      const seen = (stdout: string, pid: number): void => {
        if ('begin\n'.startsWith(stdout)) freeze(pid);
        else go();
      };
      const { stderr, ...run } = await watchInVm(['sh', '-c', `echo begin; ${untilGo}; echo end`], seen, { HAX_HOST_B_SILENCE: '8' });
      expect(run).toEqual({ status: 0, stdout: 'begin\nbegin\nend\n' });
      expect(stderr).toMatch(/^test-in-vm: host B hung \(no heartbeat for 8 s\); restarting it once.*\n$/);
      expect(recorded()).toMatchObject({ result: 'exited', status: 0, restarts: 1 });
    },
    LIMIT,
  );
});
