import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const supervise = path.resolve(__dirname, '../../../bench/lib/supervise.js');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-supervise-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Supervised {
  messages: unknown[];
  crashes: number;
  hangs: number;
}

/** What supervise() gives for a child, in a process group of its own; `onStart` is called with its id once the child has begun. */
async function run(child: string, options: object, onStart: (group: number) => void = () => undefined): Promise<Supervised> {
  const script = path.join(directory, 'child.js');
  writeFileSync(script, `const { rounds } = JSON.parse(process.argv[2]); console.error('begins'); ${child}`);
  // The child's errors are supervise()'s: what it begins with tells of the start.
  const source = `const child_process = require('node:child_process');
    const { fork } = child_process;
    child_process.fork = (...words) => {
      const child = fork(...words);
      child.stderr.once('data', () => console.error('begins'));
      return child;
    };
    const { supervise } = require(${JSON.stringify(supervise)});
    supervise(${JSON.stringify(script)}, {}, ${JSON.stringify(options)}).then((result) => console.log(JSON.stringify(result)));`;
  const parent = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let text = '';
  parent.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
  parent.stderr.once('data', () => onStart(-parent.pid!));
  await new Promise((resolve) => parent.on('close', resolve));
  return JSON.parse(text) as Supervised;
}

it('counts a child that says nothing any more, and one that ends too early', async () => {
  const silent = 'setInterval(() => undefined, 1000);';
  expect(await run(silent, { rounds: 1, patience: 100 })).toMatchObject({ messages: [], crashes: 0, hangs: 10 });
  expect(await run('process.exit(3);', { rounds: 1 })).toMatchObject({ messages: [], crashes: 10, hangs: 0 });
});

it('counts no time in which the machine stood still', async () => {
  const slow = `let sent = 0; const timer = setInterval(() => process.send({ rounds: 1 }, () => {
    if (++sent === rounds) { clearInterval(timer); process.disconnect(); }
  }), 500);`;
  const stop = (group: number): void => {
    process.kill(group, 'SIGSTOP');
    setTimeout(() => process.kill(group, 'SIGCONT'), 6000);
  };
  const { messages, hangs, crashes } = await run(slow, { rounds: 3, patience: 5000 }, stop);
  expect({ count: messages.length, hangs, crashes }).toEqual({ count: 3, hangs: 0, crashes: 0 });
});
