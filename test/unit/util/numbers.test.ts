import fc from 'fast-check';
import { checkInteger, hex, parseSize } from '../../../lib/util/numbers';

const invalid = (message: string): Error =>
  expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT', message: expect.stringContaining(message) as string }) as Error;

describe('hex', () => {
  it.each([
    [0, '0x0'],
    [255, '0xff'],
    [-16, '-0x10'],
    [2 ** 53 - 1, '0x1fffffffffffff'],
    [0xdeadbeefcafef00dn, '0xdeadbeefcafef00d'],
    [-1n, '-0x1'],
  ])('%p is %p', (value, text) => {
    expect(hex(value)).toBe(text);
  });

  it('can be read back', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (value) => Number(hex(value)) === value));
  });
});

describe('parseSize', () => {
  it.each([
    [1, 1],
    [65536, 65536],
    ['4096', 4096],
    ['64K', 65536],
    ['64k', 65536],
    ['256M', 2 ** 28],
    ['256 MiB', 2 ** 28],
    ['256MB', 2 ** 28],
    ['1G', 2 ** 30],
    ['1.5G', 1.5 * 2 ** 30],
    ['2T', 2 ** 41],
    ['0x1000', 4096],
    ['0x10K', 16384],
    [' 512B ', 512],
    [2 ** 53 - 1, 2 ** 53 - 1],
  ])('%p is %p bytes', (value, bytes) => {
    expect(parseSize(value, 'memory')).toBe(bytes);
  });

  it.each([
    0,
    -1,
    0.5,
    NaN,
    Infinity,
    '',
    'M',
    '-1M',
    '1X',
    '1MM',
    '0.0001K',
    '1e9',
    null as unknown as number,
    undefined as unknown as string,
    {} as unknown as string,
  ])('refuses %p, naming the argument', (value) => {
    expect(() => parseSize(value, 'memory')).toThrow(invalid('memory must be a positive whole number of bytes'));
  });

  it.each([2 ** 53, '9007199254740992', '99999999T'])('%p is too much', (value) => {
    expect(() => parseSize(value, 'memory')).toThrow(invalid('memory is more than any processor can address'));
  });
});

describe('checkInteger', () => {
  it('gives back what is in range, ends included', () => {
    expect([checkInteger(0, 'x', 0, 7), checkInteger(7, 'x', 0, 7), checkInteger(-3, 'x', -3, -3)]).toEqual([0, 7, -3]);
  });

  it.each([-1, 8, 1.5, NaN, '3', null, undefined, {}, 3n])('refuses %p', (value) => {
    expect(() => checkInteger(value, 'pin', 0, 7)).toThrow(invalid('pin must be a whole number from 0 to 7'));
  });

  it('shows large limits in hexadecimal and what was given', () => {
    expect(() => checkInteger('many', 'gpa', 0, 0xfffff)).toThrow(invalid('gpa must be a whole number from 0 to 0xfffff, not "many"'));
  });
});
