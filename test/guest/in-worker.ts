/** Machines in workers, with setup modules that a test writes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchInWorker, type WorkerMachine, type WorkerMachineOptions } from 'node-hax';
import { assemble } from '../support/assemble';
import { itIf } from '../support/hosts';

const load = 0x1000;

/** 32-bit code for `flat`. */
export const code = (source: string): Uint8Array => assemble(source, { bits: 32, origin: load });
export const print = (text: string): string => [...text].map((c) => `mov dx, 0x3f8; mov al, ${c.charCodeAt(0)}; out dx, al`).join('; ');
/** Ends with exit code 1. */
export const exit = 'mov al, 0; out 0xf4, al; 9: jmp 9b';
export const spin = code(`${print('up\n')}; 3: jmp 3b`);
/** Sends back what it receives, one more in each byte, until a dot. */
export const echo = code(`${print('up\n')}; 1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b; mov dx, 0x3f8; in al, dx; cmp al, '.'; je 2f
  inc al; out dx, al; jmp 1b; 2: ${exit}`);
/** What images made of code() need. */
export const flat = { format: 'flat', load, mode: 32, memory: '1M', debugExit: true } as const;

export interface InWorker {
  boot: (kernel: WorkerMachineOptions['kernel'], options?: Partial<WorkerMachineOptions>) => Promise<WorkerMachine>;
  /** Closes it after the test. */
  keep: <M extends WorkerMachine>(machine: M) => M;
  /** A file of that name; its path. */
  module: (name: string, source: string | Uint8Array) => string;
  /** A setup module with a device at port 0x500 that does this at a write. */
  device: (write: string) => string;
}

/** For one group of tests: what it makes is gone after them. */
export function inWorker(): InWorker {
  const machines: WorkerMachine[] = [];
  const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-'));
  let devices = 0;
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.close();
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const keep = <M extends WorkerMachine>(machine: M): M => {
    machines.push(machine);
    return machine;
  };
  const module = (name: string, source: string | Uint8Array): string => {
    const file = path.join(directory, name);
    writeFileSync(file, source);
    return file;
  };
  return {
    boot: async (kernel, options) => keep(await launchInWorker({ kernel, ...flat, ...options })),
    keep,
    module,
    device: (write) =>
      module(
        `device-${++devices}.cjs`,
        `module.exports = ({ vm }) => vm.ports.add({ at: 0x500, length: 1 }, { read: () => 0, write() { ${write} } });`,
      ),
  };
}

/** A test with a worker, which loads the built package. */
export function testInWorker(name: string, body: () => Promise<void>): void {
  itIf(process.env.HAX_TEST_SOURCE !== '1', 'workers cannot load TypeScript', name, body);
}

/** Until the condition holds; the test's time-out is the limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5);
}
