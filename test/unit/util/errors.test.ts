import { readFileSync } from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import * as errors from '../../../lib/util/errors';

const { errorTable, HaxError, invalidArgument } = errors;

/** Another copy of the module: a duplicate install. */
function copy(): typeof errors {
  let other: typeof errors | undefined;
  jest.isolateModules(() => {
    other = jest.requireActual<typeof errors>('../../../lib/util/errors');
  });
  return other!;
}

describe('HaxError', () => {
  it('is an Error with a code, a hint and what failed', () => {
    const cause = new Error('why');
    const error = new HaxError('ERR_HAX_IOCTL', 'it failed', { operation: 'KVM_RUN', errno: 22, backend: 'kvm', cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'HaxError',
      code: 'ERR_HAX_IOCTL',
      message: 'it failed',
      operation: 'KVM_RUN',
      errno: 22,
      backend: 'kvm',
    });
    expect([error.cause, error.hint]).toEqual([cause, `${errorTable.ERR_HAX_IOCTL} See node-hax/docs/errors/ERR_HAX_IOCTL.md.`]);
    expect(String(error)).toBe('HaxError: it failed');
    expect(error.stack).toContain('errors.test');
  });

  it('prefers the hint of the throw site', () => {
    expect(new HaxError('ERR_HAX_FILE', 'no', { hint: 'look elsewhere.' }).hint).toBe(
      'look elsewhere. See node-hax/docs/errors/ERR_HAX_FILE.md.',
    );
  });

  it('has no cause unless one is given', () => {
    expect('cause' in new HaxError('ERR_HAX_FILE', 'no')).toBe(false);
  });

  it('is not shown with its brand', () => {
    expect(Object.getOwnPropertySymbols(new HaxError('ERR_HAX_FILE', 'no')).map(String)).toEqual(['Symbol(node-hax.HaxError)']);
    expect(JSON.stringify(new HaxError('ERR_HAX_FILE', 'no'))).not.toContain('Symbol');
  });

  it('recognises errors of a duplicate install', () => {
    const other = copy();
    expect(other.HaxError).not.toBe(HaxError);
    const theirs = new other.HaxError('ERR_HAX_CLOSED', 'closed');
    expect(theirs instanceof HaxError).toBe(true);
    expect(new HaxError('ERR_HAX_CLOSED', 'closed') instanceof other.HaxError).toBe(true);
  });

  it('recognises errors of another realm', () => {
    const file = path.join(__dirname, '../../../lib/util/errors.ts');
    const { transformSync } = jest.requireActual<typeof import('@swc/core')>('@swc/core');
    const { code } = transformSync(readFileSync(file, 'utf8'), {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    });
    const theirs = vm.runInNewContext(`const exports = {}; ${code}; new exports.HaxError('ERR_HAX_CLOSED', 'closed')`) as errors.HaxError;
    expect(theirs instanceof Error).toBe(false);
    expect(theirs instanceof HaxError).toBe(true);
    expect(theirs.hint).toContain(errorTable.ERR_HAX_CLOSED);
  });

  it.each([undefined, null, 'text', 5, {}, new Error('plain'), { code: 'ERR_HAX_CLOSED' }])(
    'does not take %p for one of its own',
    (value) => {
      expect(value instanceof HaxError).toBe(false);
    },
  );
});

describe('the table of errors', () => {
  it.each(Object.entries(errorTable))('%s says what to do', (code, hint) => {
    expect(code).toMatch(/^ERR_HAX_[A-Z_]+$/);
    expect(hint).toMatch(/^[A-Z].*\.$/);
  });

  it('is in alphabetical order', () => {
    expect(Object.keys(errorTable)).toEqual(Object.keys(errorTable).sort());
  });
});

describe('invalidArgument', () => {
  it('makes ERR_HAX_INVALID_ARGUMENT', () => {
    expect(invalidArgument('size must be positive')).toMatchObject({ code: 'ERR_HAX_INVALID_ARGUMENT', message: 'size must be positive' });
  });
});
