/** Lives of vCPUs and machines that are interfered with at random: see test/fuzz. HAX_FUZZ_SEED and HAX_FUZZ_RUNS as in kvm-fuzz. */
import * as path from 'node:path';
import { assemble } from '../support/assemble';
import { RunningCommand } from '../support/command';
import { describeEachBackend } from '../support/hosts';

const { HAX_FUZZ_SEED, HAX_FUZZ_RUNS } = process.env;
jest.setTimeout(HAX_FUZZ_RUNS ? 4_800_000 : 300_000);

const seed = Number(HAX_FUZZ_SEED ?? 1);
/** On a busy machine they take longer than the limit. */
const least = 6;

/** Runs a fuzzer, which must end well and say nothing; what it prints. For `limit` milliseconds and `least` rounds, or HAX_FUZZ_RUNS. */
async function fuzz<Result extends object = { ends: Record<string, number>; overlaps?: number }>(
  name: string,
  input: object,
  limit: number,
): Promise<Result & { rounds: number }> {
  const all = { ...input, seed, least, runs: Number(HAX_FUZZ_RUNS ?? 60), limit: HAX_FUZZ_RUNS ? undefined : limit };
  const script = path.resolve(__dirname, '../fuzz', name);
  const { status, signal, stdout, stderr } = await new RunningCommand(process.execPath, [script], {
    input: JSON.stringify(all),
    limit: HAX_FUZZ_RUNS ? 4_700_000 : 280_000,
  }).end();
  expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: undefined, stderr: '' });
  return JSON.parse(stdout.toString()) as Result & { rounds: number };
}

describeEachBackend('random lives of vCPUs', (backend) => {
  it('all come to an end, whatever happens in them', async () => {
    const { rounds, ends, overlaps } = await fuzz('life.js', { backend: backend.name }, 5_000);
    expect({ overlaps, ran: rounds >= least }).toEqual({ overlaps: 0, ran: true });
    const known = ['halted', 'killed', 'aborted', 'ERR_HAX_DEVICE_FAILED'];
    const thrown = /^(by a timer|of a late doorbell): (ERR_HAX_CLOSED|ERR_HAX_RUNNING|a device of the test)$/;
    expect(Object.keys(ends).filter((end) => !known.includes(end) && !thrown.test(end))).toEqual([]);
  });
});

describeEachBackend(
  'accesses of vCPUs whose runs are interfered with',
  (backend) => {
    it('reach their devices once and in order, and their replies the guest', async () => {
      const source = 'mov di, dx; 1: mov dx, di; in al, dx; inc dx; out dx, al; inc bl; mov al, bl; inc dx; out dx, al; jmp 1b';
      const input = { backend: backend.name, code: Buffer.from(assemble(source, { origin: 0x1000 })).toString('base64') };
      const { rounds, accesses, lost } = await fuzz<{ accesses: number; lost: string[] }>('lossless.js', input, 3_000);
      expect({ lost, ran: rounds >= least, accessed: accesses > 100 }).toEqual({ lost: [], ran: true, accessed: true });
    });
  },
  { needs: 'guests' },
);

/** The timer's interrupt, 8, leads to a routine that prints, and the PICs let it through; then each program's own. */
const ticking = `cli; xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7000; mov word ptr [0x20], offset tick; mov word ptr [0x22], ax
  mov al, 0x11; out 0x20, al; mov al, 8; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al; mov al, 0xfe; out 0x21, al
  mov al, 0x34; out 0x43, al; xor al, al; out 0x40, al; mov al, 8; out 0x40, al`;
const routine = `tick: push ax; push dx; mov dx, 0x3f8; mov al, 'A'; out dx, al; mov al, 0x20; out 0x20, al; pop dx; pop ax; iret`;
const programs = [
  `${ticking}; sti; 1: hlt; jmp 1b; ${routine}`,
  `${ticking}; sti; mov cx, 300; 1: mov al, 10; mov dx, 0x3f8; out dx, al; out 0x80, al; loop 1b; mov al, 0xfe; out 0x64, al; 2: jmp 2b; ${routine}`,
  `mov dx, 0x3f9; mov al, 1; out dx, al; 1: mov dx, 0x3fd; in al, dx; test al, 1; jz 1b; mov dx, 0x3f8; in al, dx; out dx, al; jmp 1b`,
  `mov cx, 2000; 1: in al, 0x90; loop 1b; mov al, 3; out 0xf4, al; cli; hlt`,
  `1: jmp 1b`,
];

describeEachBackend(
  'random lives of machines',
  (backend) => {
    it.each([false, true])('all come to an end, whatever is done to them; in a worker: %s', async (inWorker) => {
      const code = programs.map((source) => Buffer.from(assemble(source, { origin: 0x7c00 })).toString('base64'));
      const { rounds, ends } = await fuzz('machines.js', { backend: backend.name, inWorker, programs: code }, 3_000);
      expect(rounds).toBeGreaterThanOrEqual(least);
      const known =
        /^(halted|killed|reset|exit-code|aborted|a listener of the test|ERR_HAX_(CLOSED|RUNNING|ENDED|TIMEOUT|DEVICE_FAILED|INVALID_ARGUMENT))$/;
      expect(Object.keys(ends).filter((end) => !known.test(end))).toEqual([]);
    });
  },
  { needs: 'guests' },
);
