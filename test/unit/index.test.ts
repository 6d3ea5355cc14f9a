/** What the package exports, as docs/api.txt has it (`scripts/check-api` keeps that in step with the declarations). */
import { readFileSync } from 'node:fs';
import * as path from 'node:path';

const api = readFileSync(path.join(__dirname, '../../docs/api.txt'), 'utf8');
const exported = new Set(Array.from(api.matchAll(/^## (\w+)$/gm), ([, name]) => name));

/** Programs that emit declarations of their own (`declaration: true`) have to name these types, and cannot reach into the package for them. */
test.each([
  ['what devices save', /\bsave\(\): (\w+);/g],
  ['options', /\boptions\??: (\w+Options)\b/g],
])('the types of %s have names', (_what, pattern) => {
  const types = Array.from(api.matchAll(pattern), ([, name]) => name).filter((name) => name !== 'State'); // that of Device<State>
  expect(types.length).toBeGreaterThan(10);
  expect(types.filter((name) => !exported.has(name))).toEqual([]);
});

/** With `exactOptionalPropertyTypes` a program could not hand on an option of its own that may be missing: `launch({ kernel, signal })`. */
test.each([
  'MachineOptions',
  'WorkerMachineOptions',
  'OpenOptions',
  'CreateVmOptions',
  'CreateVcpuOptions',
  'MapMemoryOptions',
  'RunOptions',
  'WaitOptions',
  'VcpuStateInit',
  'IoHandler',
  'IrqfdOptions',
  'IoeventfdOptions',
  'CoalescedZone',
  'HaxmDebugOptions',
  'MemlimitOptions',
  'SetRamOptions',
])('an option of %s may be undefined', (name) => {
  const [, body] = new RegExp(`^export interface ${name}\\b.*\\{\n([^]*?)^\\}`, 'm').exec(api)!;
  const optional = body.split('\n').filter((line) => /^ {4}(?:readonly )?\w+\?: .*;$/.test(line));
  expect(optional).not.toEqual([]);
  expect(optional.filter((line) => !/(?: \| undefined|: unknown);$/.test(line))).toEqual([]);
});
