import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { thisHost } from '../../../lib/doctor/probe';
import { Hypervisor } from '../../../lib/hypervisor/hypervisor';

jest.mock('node:os', () => {
  const actual = jest.requireActual<typeof os>('node:os');
  return { ...actual, userInfo: jest.fn(actual.userInfo) };
});

let directory: string;
const variable = process.env.HAX_KVM_DEVICE;

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'doctor-'));
  delete process.env.HAX_KVM_DEVICE;
});

afterEach(() => {
  jest.restoreAllMocks();
  rmSync(directory, { recursive: true, force: true });
  delete process.env.HAX_KVM_DEVICE;
  if (variable !== undefined) process.env.HAX_KVM_DEVICE = variable;
});

test('it tells of this process and its kernel', () => {
  expect(thisHost()).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    platform: process.platform,
    arch: process.arch,
    kernel: os.release(),
    node: process.versions.node,
    kvmDevice: '/dev/kvm',
    haxmDevice: '/dev/HAX',
  });
  expect(thisHost().user()).toEqual({ name: os.userInfo().username, uid: process.getuid?.(), groups: process.getgroups?.() });
});

test('HAX_KVM_DEVICE names another device', () => {
  process.env.HAX_KVM_DEVICE = '/dev/other';
  expect(thisHost().kvmDevice).toBe('/dev/other');
});

test('HAX_BACKEND, which counts when it is not empty', () => {
  const before = process.env.HAX_BACKEND;
  try {
    process.env.HAX_BACKEND = 'haxm';
    expect(thisHost().backend).toBe('haxm');
    process.env.HAX_BACKEND = '';
    expect(thisHost().backend).toBeUndefined();
  } finally {
    if (before === undefined) delete process.env.HAX_BACKEND;
    else process.env.HAX_BACKEND = before;
  }
});

test('files and their owners, or nothing', () => {
  const file = path.join(directory, 'file');
  writeFileSync(file, 'text', { mode: 0o640 });
  expect(thisHost().read(file)).toBe('text');
  expect(thisHost().stat(file)).toEqual({ mode: 0o640, uid: process.getuid?.(), gid: expect.any(Number) });
  expect(thisHost().read(path.join(directory, 'none'))).toBeUndefined();
  expect(thisHost().stat(path.join(directory, 'none'))).toBeUndefined();
  expect(thisHost().stat(path.join(file, 'below a file'))).toBeUndefined();
});

test('a user without a name is told by number', () => {
  jest.spyOn(process, 'getuid').mockReturnValue(12345);
  jest.mocked(os.userInfo).mockImplementationOnce(() => {
    throw new Error('ENOENT: no such user');
  });
  expect(thisHost().user().name).toBe('12345');
});

test('it asks for each device by name', () => {
  const opened = { close: jest.fn() } as unknown as Hypervisor;
  const open = jest.spyOn(Hypervisor, 'open').mockReturnValue(opened);
  expect(thisHost().openKvm()).toBe(opened);
  expect(open).toHaveBeenCalledWith({ backend: 'kvm' });
  expect(thisHost().openHaxm()).toBe(opened);
  expect(open).toHaveBeenCalledWith({ backend: 'haxm' });
});
