import { PassThrough } from 'node:stream';
import { doctorCommand } from '../../../lib/cli/doctor';
import * as probe from '../../../lib/doctor/probe';
import { HaxError } from '../../../lib/util/errors';
import { FakeHost, type FakeHostOptions } from './fake-host';

jest.mock('../../../lib/doctor/probe');

function run(json: boolean, options: FakeHostOptions): { status: number; text: string } {
  jest.mocked(probe.thisHost).mockReturnValue(new FakeHost(options));
  const out = new PassThrough({ encoding: 'utf8' });
  const status = doctorCommand({ json }, out);
  return { status, text: out.read() as string };
}

test('text and status 0 where a VM can be created', () => {
  const { status, text } = run(false, {});
  expect(status).toBe(0);
  expect(text).toMatch(/^node-hax {3}1\.2\.3/);
});

test('text without what would drive a terminal, wherever it came from', () => {
  expect(run(false, { kvmDevice: '/dev/\x1b[31m' }).text).not.toContain('\x1b');
});

test('JSON and status 1 where none can', () => {
  const { status, text } = run(true, { failure: new HaxError('ERR_HAX_NO_DEVICE', 'none'), nodes: {} });
  expect(status).toBe(1);
  expect(text.endsWith('}\n')).toBe(true);
  expect(JSON.parse(text)).toMatchObject({ ok: false, linux: { ok: false }, kvm: { present: false } });
});
