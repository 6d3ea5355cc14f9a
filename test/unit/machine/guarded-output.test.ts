import { guarded } from '../../../lib/machine/guarded-output';

it('an output that throws is told of once, and gets nothing more', () => {
  const written: number[] = [];
  const failures: unknown[] = [];
  const thrown = new Error('no more paper');
  const output = {
    write: ([byte]: Uint8Array): boolean => {
      written.push(byte);
      if (byte === 2) throw thrown;
      return false;
    },
  };
  const write = guarded(output, (cause) => failures.push(cause))!;
  const results = [1, 2, 3].map((byte) => write(Uint8Array.of(byte), () => undefined) !== false);
  expect([written, failures, results]).toEqual([[1, 2], [thrown], [false, true, true]]);
});

it('no output is none', () => {
  expect(guarded(undefined, () => undefined)).toBeUndefined();
});
