import { EventEmitter } from 'node:events';
import fs from 'node:fs';

interface Job {
  project: string;
  device: { name: string };
  file: string;
}
interface Call {
  project: string;
  device: { name: string };
  files: string[];
}
interface HostBCalls {
  pack(jobs: Job[], table: Record<string, Record<string, number>>): Call[];
  secondsOf(runs: unknown[]): Record<string, Record<string, number>>;
}

interface Totals {
  metTimeLimits(results: unknown): boolean;
}

const { pack, secondsOf } = jest.requireActual<HostBCalls>('../../../scripts/lib/host-b-calls.js');
const { metTimeLimits } = jest.requireActual<Totals>('../../../scripts/lib/totals.js');

const kvm = { name: '' };
const haxm = { name: '-haxm' };
const job = (file: string, device = kvm, project = 'contract'): Job => ({ project, device, file: `/test/${project}/${file}` });
const filesOf = (calls: Call[]): string[][] => calls.map(({ files }) => files.map((file) => file.split('/').at(-1)!));

test('short files share a call, long and unknown ones have their own, and the longest begin', () => {
  const table = { contract: { 'a.test.ts': 15, 'b.test.ts': 55, 'c.test.ts': 40, 'd.test.ts': 10 } };
  const jobs = ['a.test.ts', 'b.test.ts', 'c.test.ts', 'd.test.ts', 'new.test.ts'].map((file) => job(file));
  expect(filesOf(pack(jobs, table))).toEqual([['new.test.ts'], ['b.test.ts'], ['c.test.ts', 'a.test.ts'], ['d.test.ts']]);
});

test('files of different projects or devices never share one', () => {
  const table = { contract: { 'a.test.ts': 1 }, 'contract-haxm': { 'a.test.ts': 1 }, boot: { 'a.test.ts': 1 } };
  expect(pack([job('a.test.ts'), job('a.test.ts', haxm), job('a.test.ts', kvm, 'boot')], table)).toHaveLength(3);
});

test('without a table each file has a call of its own', () => {
  expect(filesOf(pack([job('a.test.ts'), job('b.test.ts')], {}))).toEqual([['a.test.ts'], ['b.test.ts']]);
});

test('the table is what the runs took', () => {
  const result = (name: string, seconds: number): unknown => ({
    name: `/test/contract/${name}`,
    startTime: 1000,
    endTime: 1000 + seconds * 1000,
  });
  const runs = [
    { project: 'contract', device: kvm, results: { testResults: [result('a.test.ts', 1.2), result('b.test.ts', 3)] } },
    { project: 'contract', device: haxm, results: { testResults: [result('a.test.ts', 5)] } },
    { project: 'boot', device: kvm, results: undefined },
  ];
  expect(secondsOf(runs)).toEqual({ contract: { 'a.test.ts': 2, 'b.test.ts': 3 }, 'contract-haxm': { 'a.test.ts': 5 } });
});

test('a call is doubtful when its time limit is all that tests failed by', () => {
  const late = { status: 'failed', failureMessages: ['Error: thrown: "Exceeded timeout of 60000 ms for a test."'] };
  const wrong = { status: 'failed', failureMessages: ['expect(received).toBe(expected)'] };
  const fine = { status: 'passed', failureMessages: [] };
  const results = (...assertionResults: unknown[]): unknown => ({ testResults: [{ assertionResults }] });
  expect(metTimeLimits(results(fine, late))).toBe(true);
  expect(metTimeLimits(results(fine, late, wrong))).toBe(false);
  expect(metTimeLimits(results(fine))).toBe(false);
});

test('files are compiled once: calls that run read them while others are made', () => {
  interface Suites {
    callsOfHostB(jobs: Job[]): (() => Promise<unknown>)[];
  }
  const compile = jest.fn();
  jest.doMock('../../../scripts/lib/circus.js', () => ({ PROJECTS: ['contract'], compile }));
  const { callsOfHostB } = jest.requireActual<Suites>('../../../scripts/lib/suites.js');
  expect([callsOfHostB([]).length, compile.mock.calls.length]).toEqual([0, 0]);
  expect([callsOfHostB([job('a.test.ts')]).length, callsOfHostB([job('b.test.ts', haxm)]).length]).toEqual([1, 1]);
  expect(compile).toHaveBeenCalledTimes(1);
});

test('inside host B caches are where they are outside: the guest kernel is looked for there', () => {
  interface Machine {
    environment(variables: NodeJS.ProcessEnv): [string, string][];
  }
  const { environment } = jest.requireActual<Machine>('../../../scripts/host-b/machine.js');
  const wanted = { HOME: '/home/a', HAX_CACHE_DIR: '/c', XDG_CACHE_HOME: '/x', NODE_OPTIONS: '', CI: 'true' };
  const inside = environment({ ...wanted, NODE_CHANNEL_FD: '3', NODE_EXTRA_CA_CERTS: '/ca.pem', TERM: 'xterm', LD_PRELOAD: '/a.so' });
  expect(Object.fromEntries(inside)).toEqual(wanted);
});

test('what host B did not live through is tried again file by file, alone and with more time', async () => {
  interface Suites {
    callsOfHostB(jobs: Job[]): (() => Promise<unknown>)[];
    runAll(tasks: unknown[]): Promise<{ files: string[]; trouble?: string }[]>;
  }
  const limits: (string | undefined)[][] = [];
  const device = { name: '', label: '', before: [], env: {} };
  const spawn = (_program: string, args: string[]): unknown => {
    limits.push([args[args.indexOf('--timeout') + 1], ...args.filter((each) => /^[0-9]+$/.test(each)).slice(1)]);
    const child = Object.assign(new EventEmitter(), { stdout: new EventEmitter(), stderr: new EventEmitter() });
    setImmediate(() => child.emit('close'));
    return child;
  };
  const write = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
  let suites: Suites | undefined;
  jest.resetModules();
  jest.isolateModules(() => {
    jest.doMock('node:child_process', () => ({ spawn }));
    jest.doMock('../../../scripts/lib/prepare.js', () => ({ root: '/nowhere' }));
    jest.doMock('../../../scripts/lib/circus.js', () => ({
      PROJECTS: ['contract'],
      compile: () => undefined,
      circusCommand: (...[, , limit]: unknown[]) => [String(limit)],
    }));
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    suites = require('../../../scripts/lib/suites.js') as Suites;
  });
  jest.dontMock('node:child_process');
  const mkdir = jest.spyOn(fs, 'mkdirSync').mockReturnValue(undefined);
  const runs = await suites!.runAll(suites!.callsOfHostB([job('a.test.ts', device), job('b.test.ts', device)]));
  mkdir.mockRestore();
  write.mockRestore();
  expect(limits.slice(0, 2)).toEqual(new Array(2).fill(['120', '60000']));
  expect(limits.slice(2)).toEqual(new Array(2).fill(['120', '100000']));
  expect(runs.map(({ files, trouble }) => [files.length, trouble])).toEqual([
    [1, 'a.test.ts: without a status'],
    [1, 'b.test.ts: without a status'],
  ]);
});
