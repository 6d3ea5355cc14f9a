import { callsFast } from '../../../lib/native/addon';

const versions = (v8: string, others: object = {}): NodeJS.ProcessVersions => ({ ...process.versions, v8, ...others });

it.each(['11.3.244.8-node.38', '12.4.254.21-node.57', '13.6.233.17-node.53', '14.6.202.34-node.40'])('V8 %s of Node is known', (v8) => {
  expect(callsFast(versions(v8), {})).toBe(true);
});

it.each(['14.7.1.2-node.1', '11.3.244.8', '13.6.233.10-electron.0', '111.3.1.1-node.1', ''])('V8 %s is not', (v8) => {
  expect(callsFast(versions(v8), {})).toBe(false);
});

it('a runtime that calls itself Node is not', () => {
  expect(callsFast(versions('12.4.254.14-node.12', { bun: '1.2.0' }), {})).toBe(false);
});

it('HAX_PLAIN_CALLS switches them off', () => {
  expect(callsFast(versions('11.3.244.8-node.38'), { HAX_PLAIN_CALLS: '1' })).toBe(false);
});
