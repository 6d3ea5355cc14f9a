/** A shell on the console, driven from a script. */
import { createHash } from 'node:crypto';
import { boot, describeLinux } from './linux';

jest.setTimeout(110_000);

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Numbered lines of 64 bytes: none longer than a terminal takes, each different. */
const text = Array.from(
  { length: 256 },
  (_, i) => `${String(i).padStart(8, '0')} ${'abcdefghijklmnopqrstuvwxyz'.repeat(3).slice(i % 26, (i % 26) + 54)}\n`,
).join('');

/** A session of its own makes the serial line its terminal: without one Ctrl-C would reach nobody. */
const shell = "mount -t devtmpfs dev /dev\nsetsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'\npoweroff -f";

describeLinux('a shell on the console', () => {
  it('answers, takes Ctrl-C, gives back intact what it was given, and powers off at its end', async () => {
    const { console, ended } = await boot(shell);
    await console.waitFor('# ');
    console.write('echo $((6 * 7)) is the answer\n');
    expect((await console.waitFor(/^(\d+) is the answer/m)).groups).toEqual(['42']);

    // The words as the command prints them are not those that the terminal echoes.
    console.write('echo as""leep; sleep 100\n');
    await console.waitFor('asleep');
    console.write('\x03');
    console.write('echo aw""ake\n');
    await console.waitFor('awake');

    console.write(`stty -echo -onlcr; echo re""ady; head -c ${text.length} >/tmp/in; md5sum </tmp/in; cat /tmp/in; echo do""ne\n`);
    await console.waitFor('ready\n');
    console.write(text);
    expect((await console.waitFor(/([0-9a-f]{32}) {2}-\n/)).groups).toEqual([md5(text)]);
    const { before } = await console.waitFor('done');
    expect([before.length, md5(before)]).toEqual([text.length, md5(text)]);

    console.write('exit\n');
    expect(await ended).toEqual({ reason: 'powered-off' });
  });
});
