/** Errors on their way between threads. */
import { packError, unpackError } from '../../../lib/machine/worker-protocol';
import { HaxError } from '../../../lib/util/errors';

const sent = (thrown: unknown): unknown => unpackError(structuredClone(packError(thrown)));

it('a HaxError arrives as it was', () => {
  const cause = Object.assign(new Error('no such file'), { code: 'ENOENT', errno: -2, syscall: 'open', path: '/x' });
  const error = new HaxError('ERR_HAX_FILE', 'cannot be read', {
    operation: 'open',
    errno: 2,
    backend: 'kvm',
    hint: 'Look.',
    rip: 0x1000n,
    transcript: 'up\n',
    cause,
  });
  const copy = sent(error) as HaxError;
  expect(copy).toBeInstanceOf(HaxError);
  expect(Object.getOwnPropertyDescriptors(copy)).toEqual({
    ...Object.getOwnPropertyDescriptors(error),
    cause: expect.objectContaining({ enumerable: false }) as unknown,
  });
  expect(copy.hint).toBe('Look. See node-hax/docs/errors/ERR_HAX_FILE.md.');
  const { message, stack, ...details } = Object.getOwnPropertyDescriptors(copy.cause as object) as Record<string, PropertyDescriptor>;
  expect([message.value, stack === undefined]).toEqual(['no such file', false]);
  expect({ ...(copy.cause as object) }).toEqual({ code: 'ENOENT', errno: -2, syscall: 'open', path: '/x' });
  expect(Object.keys(details)).toEqual(['code', 'errno', 'syscall', 'path']);
});

it('another error keeps its name, and what is plain of it', () => {
  const error = Object.assign(new TypeError('wrong'), { code: 'E_MINE', size: 5n, fatal: true, call: () => 0, at: { x: 1 } });
  const copy = sent(error) as TypeError;
  expect([copy.name, Object.entries(copy)]).toEqual([
    'TypeError',
    [
      ['code', 'E_MINE'],
      ['size', 5n],
      ['fatal', true],
    ],
  ]);
  expect([copy.message, copy.stack, copy.cause]).toEqual(['wrong', error.stack, undefined]);
});

it.each([['text'], [{ code: 'X', a: 1 }], [null], [undefined], [7n]])('%p is thrown there as it was here, and is a cause', (value) => {
  expect(sent(value)).toEqual(value);
  expect((sent(new Error('x', { cause: value })) as Error).cause).toEqual(value);
});

it('what cannot be cloned arrives as an error that shows it', () => {
  expect(sent({ call: () => 0 })).toMatchObject({ name: 'Error', message: expect.stringContaining('call') as string });
  expect(sent(Symbol('here'))).toMatchObject({ message: 'Symbol(here)' });
});
