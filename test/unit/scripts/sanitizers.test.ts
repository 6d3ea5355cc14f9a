/** What scripts/sanitize makes of the log files of sanitizers: shortened from such as planted bugs left. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

interface Finding {
  title: string;
  place: string;
  file: string;
  times: number;
}

interface Reports {
  readReports(directory: string, addon: string): { findings: Finding[]; others: number };
}

const { readReports } = jest.requireActual<Reports>('../../../scripts/lib/sanitizer-reports.js');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-reports-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function read(files: Record<string, string>): { found: [title: string, place: string, times: number][]; others: number } {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(directory, name), text);
  const { findings, others } = readReports(directory, 'no addon');
  return { found: findings.map(({ title, place, times }) => [title, place, times]), others };
}

const afterFree = (frame: string, address: string) => `=================================================================
==77==ERROR: AddressSanitizer: heap-use-after-free on address ${address} at pc 0x7f01 bp 0x7f02 sp 0x7f03
READ of size 4 at ${address} thread T0
    #0 ${frame}
    #1 v8::Call <null> (node+0xc45d94)

freed by thread T0 here:
    #0 operator delete(void*) <null> (libasan.so.8.0.0+0xb94c8)
SUMMARY: AddressSanitizer: heap-use-after-free
==77==ABORTING
`;

const leak = (frame: string) => `==78==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 40 byte(s) in 1 object(s) allocated from:
    #0 operator new(unsigned long) <null> (libasan.so.8.0.0+0xb94c8)
    #1 napi_create_reference <null> (node+0xc50f19)
    #2 ${frame}

SUMMARY: AddressSanitizer: 40 byte(s) leaked in 1 allocation(s).
`;

const race = (first: string, second: string) => `==================
WARNING: ThreadSanitizer: data race (pid=79)
  Write of size 8 at 0x7b14 by thread T2:
    #0 pthread_mutex_destroy <null> (libtsan.so.2.0.0+0x42191)
    #1 ${first}
    #2 Invoke <null> (node_hax.node+0x1234)

  Previous read of size 8 at 0x7b14 by main thread:
    #0 ${second}

SUMMARY: ThreadSanitizer: data race
==================
`;

const ours = 'Close vm.cc:12 (node_hax.node+0x5854)';
const theirs = 'v8::Close <null> (node+0x1d65445)';

describe('reports of sanitizers', () => {
  it('count with a frame of ours, once however often they were made', () => {
    const { found, others } = read({
      'address.1': afterFree(ours, '0x602000'),
      'address.2': afterFree(ours, '0x603040'),
      'address.3': afterFree(theirs, '0x602000'),
      'address.4': leak(ours) + leak(theirs),
      'undefined.5': `native/core/x.cc:31:27: runtime error: shift exponent 40 is too large for 32-bit type 'int'\n    #0 ${ours}\n`,
    });
    expect(others).toBe(2);
    expect(found).toEqual([
      [expect.stringMatching(/^ERROR: AddressSanitizer: heap-use-after-free on address 0x602000/), 'Close vm.cc:12', 2],
      ['Direct leak of 40 byte(s) in 1 object(s) allocated from:', 'Close vm.cc:12', 1],
      [expect.stringMatching(/^native\/core\/x.cc:31:27: runtime error: shift exponent/), 'Close vm.cc:12', 1],
    ]);
  });

  it('of leaks do not count where process.exit() left everything lying, other reports do', () => {
    const { found, others } = read({ 'address.7': leak(ours) + afterFree(ours, '0x6'), 'exited.7': '', 'address.8': leak(ours) });
    expect([others, found.map(([title]) => title.split(' ')[0])]).toEqual([1, ['ERROR:', 'Direct']]);
  });

  it('of races count where an access is ours, not where V8 works below a call of ours', () => {
    const { found, others } = read({ 'thread.1': race(theirs, theirs) + race(theirs, ours) + race(ours, theirs) });
    expect(others).toBe(1);
    expect(found).toHaveLength(2);
  });

  it('of races about a descriptor count where we opened it', () => {
    const opened = (frame: string) =>
      race(ours, theirs).replace(
        'SUMMARY',
        `  Location is file descriptor 24 created by thread T8 at:\n    #0 open64 <null> (libtsan.so.2.0.0+0x56102)\n    #1 ${frame}\n\n` +
          `  Thread T8 (tid=80, running) created by main thread at:\n    #0 ${ours}\n\nSUMMARY`,
      );
    expect(read({ 'thread.1': opened(theirs) })).toEqual({ found: [], others: 1 });
    expect(read({ 'thread.1': opened(ours) }).found).toHaveLength(1);
  });

  it('that the sanitizer itself failed count whoever it was', () => {
    const texts = [
      '==5==FATAL: ThreadSanitizer: unexpected memory mapping 0x5 - 0x6',
      'AddressSanitizer: CHECK failed: asan_thread.cpp:1 "((0)) != (0)" (0x0, 0x0) (tid=4)',
      '==9==ERROR: LeakSanitizer: detected memory leaks\n==9==LeakSanitizer has encountered a fatal error.',
    ];
    for (const text of texts) expect([text, read({ 'x.1': text }).found.length]).toEqual([text, 1]);
  });
});
