/** `hax run` as a job: of a shell that gives the terminal to one and then to another, and of timeout(1). */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandFile, RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, Files, hexEchoSector, print } from './images';

const files = new Files();
afterAll(() => files.remove());
const hexEcho = files.write('hex-echo', hexEchoSector());

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20);
}

describeKvm('a job of an interactive shell', () => {
  const started = async (
    shell: string,
    pidFile: string,
  ): Promise<{ running: RunningCommand; pid: number; type: (text: string) => void }> => {
    const running = new RunningCommand('script', ['-qec', shell, '/dev/null'], { keepInput: true });
    const type = (text: string): void => void running.child.stdin.write(text);
    // An echo of what is typed is no output: each text that is waited for has a quote in it when it is typed.
    const job = files.write('job.sh', `echo $$ >${pidFile}\necho job''-runs\nexec ${process.execPath} ${commandFile} run ${hexEcho} "$@"`);
    type(`sh ${job} &\n`);
    await running.printed('job-runs');
    return { running, pid: Number(readFileSync(pidFile, 'utf8')), type };
  };
  const statOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8');

  // bash's fg sends no signal to a job that runs, dash's does.
  it.each(['bash --norc --noprofile -i', 'sh -i'])('of %s: what is begun with & has input after fg', async (shell) => {
    const { running, pid, type } = await started(shell, files.at('fg.pid'));
    await running.printed('no input for the guest before fg');
    await running.printed('ready');
    type('fg\n');
    await running.printed('hax: Ctrl-A X ends the machine');
    type('a');
    await running.printed('<61>');
    type('q');
    await until(() => !existsSync(`/proc/${pid}`));
    type("echo sta''tus $?; exit\n");
    await running.end();
    expect(running.stdout.toString()).toContain('status 0');
  });

  it('leaves the terminal to the shell when it is stopped, and in the background too', async () => {
    const { running, pid, type } = await started('sh -i', files.at('bg.pid'));
    const stty = (): string => execFileSync('stty', ['-F', `/proc/${pid}/fd/0`, '-a'], { encoding: 'utf8' });
    type('fg\n');
    await running.printed('hax: Ctrl-A X ends the machine');
    await until(() => stty().includes('-icanon'));
    process.kill(pid, 'SIGTSTP');
    await until(() => / T /.test(statOf(pid)));
    expect(stty()).not.toContain('-icanon');
    type('bg\n');
    await until(() => !/ T /.test(statOf(pid)));
    for (const word of ['one', 'two', 'three']) {
      type(`echo shell''-${word}\n`);
      await running.printed(`shell-${word}`);
    }
    expect(statOf(pid)).not.toMatch(/ T /);
    type('fg\n');
    await until(() => stty().includes('-icanon'));
    type('b');
    await running.printed('<62>');
    process.kill(pid, 'SIGUSR2');
    await until(() => !existsSync(`/proc/${pid}`));
    type("echo sta''tus $?; exit\n");
    await running.end();
    expect(running.stdout.toString()).toContain(`status ${128 + 12}`);
  });
});

describeKvm('in the background of its terminal', () => {
  const halts = files.write('background', bootSector(`${print('guest\r\n')}\n${ending.powerOff}`));
  const spins = files.write('background-spin', bootSector(ending.spin));

  // Without --foreground timeout makes a job of its own of the command, and waits for it as long as it is stopped. Its time is out by its own
  // timer's signal, which comes when the command has begun.
  it.each([
    ['a guest that ends', halts, false, /no input[^\n]*\n(?:[^\n]*\n)*guest\r+\nstatus 0/],
    ['one that timeout ends', spins, true, /no input[^\n]*\nstatus 124/],
  ])('runs without input: %s', async (_what, image, isOut, expected) => {
    const pid = files.at('timeout.pid');
    const timed = `echo $$ >${pid}; exec timeout -k 30 200 ${process.execPath} ${commandFile} run ${image}`;
    const script = files.write('background.sh', `sh ${files.write('timed.sh', timed)}; echo status $?`);
    const running = new RunningCommand('script', ['-qec', `sh ${script}`, '/dev/null'], { keepInput: true });
    await running.printed('no input');
    if (isOut) process.kill(Number(readFileSync(pid, 'utf8')), 'SIGALRM');
    const { stdout } = await running.end();
    expect(stdout.toString()).toMatch(expected);
  });
});
