/** scripts/lib/lock.js: one at a time installs or builds in a clone. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

interface Lock {
  inTurn<T>(file: string, work: () => T, say: (text: string) => void): T;
}

const library = path.resolve(__dirname, '../../../scripts/lib/lock.js');
const { inTurn } = jest.requireActual<Lock>(library);
let directory: string;
const children: ChildProcess[] = [];
beforeEach(() => void (directory = mkdtempSync(path.join(tmpdir(), 'node-hax-lock-'))));
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

/** A process that holds the lock, notes down `name` with its end, and ends when its input does. */
function holder(name: string): ChildProcess {
  const [lock, log] = ['out/lock', 'log'].map((each) => JSON.stringify(path.join(directory, each)));
  const work = `() => { console.log('held'); fs.readSync(0, Buffer.alloc(1)); fs.appendFileSync(${log}, '${name}\\n'); }`;
  const script = `const fs = require('node:fs'); require(${JSON.stringify(library)}).inTurn(${lock}, ${work}, console.log);`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

async function says(child: ChildProcess, text: string): Promise<void> {
  let said = '';
  for await (const bytes of child.stdout!.iterator({ destroyOnReturn: false })) if ((said += String(bytes)).includes(text)) return;
  throw new Error(`it said ${said}`);
}

it('the second one says that it waits, and works when the first one has ended', async () => {
  const first = holder('first');
  await says(first, 'held');
  const second = holder('second');
  second.stdin!.end();
  await says(second, 'waiting for another one');
  first.stdin!.end();
  await once(second, 'close');
  expect(readFileSync(path.join(directory, 'log'), 'utf8')).toBe('first\nsecond\n');
});

it('one that is killed holds nothing', async () => {
  const first = holder('first');
  await says(first, 'held');
  first.kill('SIGKILL');
  await once(first, 'close');
  const said: string[] = [];
  expect(
    inTurn(
      path.join(directory, 'out/lock'),
      () => 'work',
      (text) => said.push(text),
    ),
  ).toBe('work');
  expect(said).toEqual([]);
});

it('where nothing can be written there is no waiting', () => {
  writeFileSync(path.join(directory, 'out'), '');
  expect(inTurn(path.join(directory, 'out/lock'), () => 'work', jest.fn())).toBe('work');
});
