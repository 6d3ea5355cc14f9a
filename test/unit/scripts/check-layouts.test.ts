import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const root = path.resolve(__dirname, '../../..');
const layout = 'lib/native/layout.ts';
const header = 'native/core/exit_page.h';

type Edit = readonly [file: typeof layout | typeof header, from: string | RegExp, to: string];

/** What the check says of the two files after some edits. */
function check(...edits: Edit[]): { status: number | null; problems: string[] } {
  const copy = mkdtempSync(path.join(tmpdir(), 'check-layouts-'));
  try {
    for (const file of [layout, header] as const) {
      let text = readFileSync(path.join(root, file), 'utf8');
      for (const [edited, from, to] of edits) {
        if (edited !== file) continue;
        expect(text).toMatch(from);
        text = text.replace(from, to);
      }
      mkdirSync(path.dirname(path.join(copy, file)), { recursive: true });
      writeFileSync(path.join(copy, file), text);
    }
    const done = spawnSync(process.execPath, [path.join(root, 'scripts/check-layouts'), copy], { encoding: 'utf8' });
    return { status: done.status, problems: done.stderr.split('\n').filter(Boolean) };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

test('the files of the tree agree', () => {
  expect(check()).toEqual({ status: 0, problems: [] });
});

test('an offset, a size and an enumerator that differ are told, and the status says so', () => {
  const { status, problems } = check(
    [layout, /\n {2}port: 196,/, '\n  port: 198,'],
    [layout, 'segmentSize = 24', 'segmentSize = 32'],
    [layout, 'Mmio = 2', 'Mmio = 20'],
    [layout, "'mmio',", "'mmio2',"],
  );
  expect(status).toBe(1);
  expect(problems).toEqual([
    'exitPage.port is 198 in layout.ts and 196 in exit_page.h',
    'ExitKind.Mmio is 20 in layout.ts and 2 in exit_page.h',
    'layout.ts lacks exitKinds.Mmio, which is 2 in exit_page.h',
    'segmentSize is 32 in layout.ts and 24 in exit_page.h',
    'exit_page.h lacks exitKinds.Mmio2, which is 2 in layout.ts',
  ]);
});

test('a member that one side lacks is told', () => {
  const { status, problems } = check(
    [header, 'uint32_t mp_state;', 'uint32_t mp_state_new;'],
    [layout, /export const maxMsrs/, 'export const colour = 1;\nexport const maxMsrs'],
  );
  expect(status).toBe(1);
  expect(problems).toEqual([
    'layout.ts exports colour, which scripts/check-layouts does not know',
    expect.stringMatching(/^layout\.ts lacks stateBlock\.mpStateNew, which is \d+ in exit_page\.h$/),
    expect.stringMatching(/^exit_page\.h lacks stateBlock\.mpState, which is \d+ in layout\.ts$/),
  ]);
});
