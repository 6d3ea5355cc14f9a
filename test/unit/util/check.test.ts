import vm from 'node:vm';
import { reasonOf } from '../../../lib/util/check';

describe('reasonOf', () => {
  it.each<[string, unknown, string]>([
    ['an error', new Error('plain'), 'plain'],
    ['an error of another realm', vm.runInNewContext("new Error('foreign')"), 'foreign'],
    ['text', 'text', 'text'],
    ['a number', 5, '5'],
    ['nothing', undefined, 'undefined'],
    ['a symbol', Symbol('strange'), 'Symbol(strange)'],
    ['an object', { code: 5 }, '{ code: 5 }'],
    ['an object without a prototype', Object.create(null), '[Object: null prototype] {}'],
    ['one that throws when it is shown', { [Symbol.for('nodejs.util.inspect.custom')]: () => { throw new Error(); }, a: 1 }, expect.stringContaining('a: 1')], // prettier-ignore
    ['an error whose message is none', Object.assign(new Error(), { message: Symbol('odd') }), 'Symbol(odd)'],
  ])('tells of %s', (_what, thrown, reason) => {
    expect(reasonOf(thrown)).toEqual(reason);
  });
});
