/** What test/support/probe.js finds out about a host, which all later runs believe. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { describeKvm } from '../support/hosts';
import { guestImage, ramSize, type GuestImage } from '../support/guests';

describeKvm('probing a host', () => {
  function startProbe(guests: Record<string, GuestImage>): { child: ChildProcess; result: Promise<unknown> } {
    const child = spawn(process.execPath, [path.join(__dirname, '../support/probe.js')], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    const encode = ({ memory, state }: GuestImage): object => ({
      memory: memory.map(({ gpa, bytes }) => ({ gpa, bytes: Buffer.from(bytes).toString('base64') })),
      state,
      ramSize,
    });
    const encoded = Object.fromEntries(Object.entries(guests).map(([name, guest]) => [name, encode(guest)]));
    child.stdin.end(JSON.stringify({ backend: 'kvm', guests: encoded }));
    return { child, result: new Promise((resolve) => child.on('close', () => resolve(JSON.parse(text)))) };
  }

  /** Hundredths of a second of processor time that a process has had (proc(5), utime and stime). */
  const timeOf = (pid: number): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };

  it('a guest that the machine gave no time is not one that never ends', async () => {
    const work = guestImage('flat32', 'mov ecx, 2000000; 1: dec ecx; jnz 1b; mov al, 0x59; out 0xe9, al; hlt');
    const { child, result } = startProbe({ work });
    // On an emulator the guest is at work then, for a second, and rests for longer than that; a fast processor may be done with it.
    while (child.exitCode === null && timeOf(child.pid!) < 40) await new Promise((resolve) => setTimeout(resolve, 10));
    if (child.kill('SIGSTOP')) await new Promise((resolve) => setTimeout(resolve, 5000));
    child.kill('SIGCONT');
    expect(await result).toMatchObject({ outcomes: { work: { end: 'halted', written: 'Y' } } });
  });

  it('one that never ends is stopped', async () => {
    const { result } = startProbe({ spin: guestImage('real', '1: jmp 1b') });
    expect(await result).toMatchObject({ outcomes: { spin: { end: 'killed', written: '' } } });
  });
});
