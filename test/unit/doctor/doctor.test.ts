import { doctor } from '../../../lib/doctor/doctor';
import type { Finding } from '../../../lib/doctor/report';
import { HaxError, type HaxErrorCode } from '../../../lib/util/errors';
import { capabilities, cpuinfo, FakeHost, type FakeHostOptions } from './fake-host';

function refused(code: HaxErrorCode, options: FakeHostOptions = {}): Finding {
  const report = doctor(new FakeHost({ failure: new HaxError(code, `told by ${code}`), ...options }));
  expect(report.ok).toBe(false);
  expect(report.linux).toEqual({ ok: false, reason: 'no VM can be created on /dev/kvm' });
  expect(report.kvm).toMatchObject({ usable: false, software: false, apiVersion: 0, features: {} });
  expect(report.findings).toHaveLength(1);
  expect(report.findings[0].severity).toBe('error');
  return report.findings[0];
}

test('a healthy host: a VM and Linux, no findings, everything closed again', () => {
  const host = new FakeHost();
  const report = doctor(host);
  expect(report).toMatchObject({
    version: '1.2.3',
    ok: true,
    linux: { ok: true, reason: "/dev/kvm uses the processor's virtualization (vmx)" },
    host: {
      platform: 'linux',
      arch: 'x64',
      kernel: '6.1.0',
      node: '20.0.0',
      processor: 'Example CPU',
      virtualization: 'vmx',
      container: null,
    },
    addon: { ok: true },
    haxm: { device: '/dev/HAX', present: false, usable: false, blockedBy: 'the module haxm is not loaded', apiVersion: 0, words: null },
    kvm: { device: '/dev/kvm', present: true, usable: true, software: false, modules: ['kvm', 'kvm_intel'], apiVersion: 12 },
    findings: [],
  });
  expect(report.kvm.features.maxVcpus).toEqual({ available: true, value: 1024 });
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  expect(host.open).toBe(0);
});

describe('software KVM', () => {
  test.each([
    ['neither vmx nor svm', { cpuinfo: cpuinfo(''), modules: ['kvm', 'kvm_pvm'] }],
    ['kvm_pvm alone, on a processor that has svm', { cpuinfo: cpuinfo('svm', 'AuthenticAMD'), modules: ['kvm', 'kvm_pvm'] }],
    ['no flags at all and no modules to be seen', { cpuinfo: '', modules: [] }],
  ])('%s', (_name, options) => {
    const report = doctor(new FakeHost(options));
    expect(report.ok).toBe(true);
    expect(report.kvm.software).toBe(true);
    expect(report.linux.ok).toBe(false);
    expect(report.linux.reason).toContain('software KVM');
    expect(report.findings).toEqual([expect.objectContaining({ severity: 'warning', code: 'software-kvm' })]);
  });

  test('not where a hardware module is loaded as well', () => {
    expect(doctor(new FakeHost({ modules: ['kvm', 'kvm_intel', 'kvm_pvm'] })).kvm.software).toBe(false);
  });
});

test('nested virtualization is told', () => {
  const report = doctor(new FakeHost({ cpuinfo: cpuinfo('svm hypervisor', 'AuthenticAMD'), modules: ['kvm', 'kvm_amd'] }));
  expect(report.host.virtualization).toBe('svm');
  expect(report.linux.ok).toBe(true);
  expect(report.findings).toEqual([expect.objectContaining({ severity: 'info', code: 'nested' })]);
});

describe('HAX_BACKEND', () => {
  const both = { '/dev/kvm': { mode: 0o660, uid: 0, gid: 104 }, '/dev/HAX': { mode: 0o660, uid: 0, gid: 105 } };

  test('that works is for information, and the other device no longer counts', () => {
    const report = doctor(new FakeHost({ backend: 'kvm', nodes: both }));
    expect(report).toMatchObject({ ok: true, linux: { ok: true, reason: expect.stringContaining('/dev/kvm') as string } });
    expect(report.findings).toEqual([
      expect.objectContaining({
        severity: 'info',
        code: 'environment',
        message: expect.stringMatching(/^HAX_BACKEND=kvm asks for /) as string,
      }),
    ]);
    const failure = new HaxError('ERR_HAX_NO_DEVICE', 'no KVM');
    const without = doctor(new FakeHost({ backend: 'kvm', nodes: { '/dev/HAX': both['/dev/HAX'] }, failure, modules: [] }));
    expect(without).toMatchObject({ ok: false, linux: { ok: false } });
    expect(without.findings.map(({ severity, code }) => [severity, code])).toEqual([
      ['error', 'module-missing'],
      ['error', 'environment'],
    ]);
  });

  test('of a device that cannot be used: no VM', () => {
    const report = doctor(new FakeHost({ backend: 'haxm' }));
    const reason = 'HAX_BACKEND=haxm asks for /dev/HAX alone, which cannot be used';
    expect(report).toMatchObject({ ok: false, linux: { ok: false, reason }, kvm: { usable: true } });
    expect(report.findings).toEqual([
      {
        severity: 'error',
        code: 'environment',
        message: `${reason}.`,
        remedy: 'Unset HAX_BACKEND.',
        page: 'node-hax/docs/errors/ERR_HAX_NO_DEVICE.md',
      },
    ]);
  });

  test.each(['foo', 'KVM', 'auto', 'null'])('%s: no VM', (backend) => {
    const report = doctor(new FakeHost({ backend }));
    expect(report).toMatchObject({ ok: false, linux: { ok: false }, kvm: { usable: true } });
    expect(report.findings).toEqual([
      expect.objectContaining({ severity: 'error', code: 'environment', remedy: 'Set HAX_BACKEND to kvm or haxm, or unset it.' }),
    ]);
  });
});

test('a device that another variable keeps from being opened was not tried', () => {
  const failure = new HaxError('ERR_HAX_INVALID_ARGUMENT', "HAX_KICK_SIGNAL must be a number from 34 to 64, not '3'");
  const report = doctor(new FakeHost({ failure }));
  expect(report).toMatchObject({ ok: false, kvm: { present: true, tried: false, usable: false } });
  expect(report.findings).toEqual([
    expect.objectContaining({
      code: 'environment',
      message: expect.stringContaining('HAX_KICK_SIGNAL') as string,
      remedy: 'Correct the variable, or unset it.',
    }),
  ]);
});

describe('/dev/HAX', () => {
  const nodes = { '/dev/kvm': { mode: 0o660, uid: 0, gid: 104 }, '/dev/HAX': { mode: 0o660, uid: 0, gid: 105 } };
  const alice = { name: 'alice', uid: 1000, groups: [1000] };

  test('works: version, words and limits, and Linux on it', () => {
    const host = new FakeHost({ nodes });
    const report = doctor(host);
    expect(report.ok).toBe(true);
    expect(report.linux).toEqual({ ok: true, reason: '/dev/HAX runs it with the kernel parameters noapic nolapic' });
    expect(report.haxm).toMatchObject({ present: true, usable: true, blockedBy: '', apiVersion: 4, words: { wstatus: 3, winfo: 0x3ff } });
    expect(report.haxm.words?.bits).toEqual(expect.arrayContaining(['ept', 'unrestrictedGuest', 'cpuid']));
    expect(report.haxm.features.maxVms).toEqual({ available: true, value: 64 });
    expect(report.findings).toEqual([]);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(host.open).toBe(0);
  });

  test('is enough: what KVM lacks is for information', () => {
    const failure = new HaxError('ERR_HAX_NO_DEVICE', 'no KVM');
    const report = doctor(new FakeHost({ nodes: { '/dev/HAX': nodes['/dev/HAX'] }, failure, modules: [] }));
    expect(report.ok).toBe(true);
    expect(report.findings).toEqual([expect.objectContaining({ severity: 'info', code: 'module-missing' })]);
  });

  test.each([
    ['another system', { platform: 'netbsd' }, 'there is no /dev/HAX'],
    ['a module without its node', { modules: ['haxm'] }, 'the module haxm is loaded, but its node is not there'],
    ['an AMD processor', { cpuinfo: cpuinfo('svm', 'AuthenticAMD') }, 'HAXM needs an Intel processor with VT-x'],
    ['no VT-x', { cpuinfo: cpuinfo('') }, 'the processor shows no VT-x'],
    ['no module', {}, 'the module haxm is not loaded'],
  ])('is not there: %s', (_name, options: FakeHostOptions, why) => {
    expect(doctor(new FakeHost(options)).haxm).toMatchObject({ present: false, usable: false, blockedBy: why });
  });

  test.each([
    ['ERR_HAX_UNSUPPORTED', 'haxm-blocked', 'VT-x and NX'],
    ['ERR_HAX_NO_DEVICE', 'haxm-blocked', 'modprobe haxm'],
    ['ERR_HAX_API_VERSION', 'api-version', 'HAXM 7.8.0'],
    ['ERR_HAX_IOCTL', 'open-failed', 'errno'],
    ['ERR_HAX_NO_ADDON', 'addon-missing', 'rebuild'],
  ] as const)('is there and %s: %s', (code, expected, remedy) => {
    const report = doctor(new FakeHost({ nodes, haxmFailure: new HaxError(code, `told by ${code}`) }));
    expect(report.haxm).toMatchObject({ present: true, usable: false, blockedBy: `told by ${code}` });
    expect(report.findings).toEqual([expect.objectContaining({ severity: 'error', code: expected, message: `told by ${code}` })]);
    expect(report.findings[0].remedy).toContain(remedy);
  });

  test('may be opened by the group haxm', () => {
    const haxmFailure = new HaxError('ERR_HAX_NO_PERMISSION', 'no');
    const files = { '/etc/group': 'kvm:x:104:alice\nhaxm:x:105:bob\n' };
    const of = (options: FakeHostOptions): string =>
      doctor(new FakeHost({ nodes, user: alice, haxmFailure, files, ...options })).findings[0].remedy;
    expect(of({})).toBe('As root: usermod -aG haxm alice; then log in again.');
    const rootOnly = { ...nodes, '/dev/HAX': { mode: 0o600, uid: 0, gid: 0 } };
    const container = { user: { name: 'root', uid: 0, groups: [0] }, files: { ...files, '/.dockerenv': '' } };
    expect(of(container)).toContain("Start it with the host's /dev:");
    expect(of({ nodes: rootOnly })).toContain('groupadd -f haxm; chgrp haxm /dev/HAX; chmod 660 /dev/HAX; usermod -aG haxm alice');
  });

  test('makes no VM: who owns VT-x, or what the processor lacks', () => {
    const busy = new HaxError('ERR_HAX_NO_MEMORY', 'HAX_IOCTL_CREATE_VM failed');
    const of = (options: FakeHostOptions): string => doctor(new FakeHost({ nodes, haxmRefusal: busy, ...options })).findings[0].remedy;
    expect(of({})).toContain('modprobe -r kvm_intel');
    expect(of({ modules: ['haxm', 'vboxdrv'] })).toContain('modprobe -r vboxdrv');
    expect(of({ modules: ['haxm'] })).toContain('dmesg');
    expect(of({ haxmRefusal: new HaxError('ERR_HAX_UNSUPPORTED', 'no EPT') })).toContain('another host');
    const host = new FakeHost({ nodes, haxmRefusal: busy });
    expect(doctor(host).haxm).toMatchObject({ usable: false, apiVersion: 4 });
    expect(host.open).toBe(0);
  });

  test('makes VMs whose vCPUs cannot be loaded: who owns VT-x', () => {
    const host = new FakeHost({ nodes, haxmVcpuRefusal: new HaxError('ERR_HAX_IOCTL', 'HAX_VCPU_SET_REGS failed') });
    const { haxm, findings } = doctor(host);
    expect([haxm.usable, haxm.blockedBy]).toEqual([false, '/dev/HAX opens, but makes no VM that runs: HAX_VCPU_SET_REGS failed']);
    expect(findings[0]).toMatchObject({ code: 'haxm-refused', remedy: expect.stringContaining('modprobe -r kvm_intel') as string });
    expect(host.open).toBe(0);
  });

  test('a mistake of ours is not dressed up as a finding', () => {
    expect(() => doctor(new FakeHost({ nodes, haxmFailure: new TypeError('ours') }))).toThrow(TypeError);
    expect(() => doctor(new FakeHost({ nodes, haxmRefusal: new TypeError('ours') }))).toThrow(TypeError);
  });
});

test('Linux needs the interrupt controller in the kernel', () => {
  const { features } = capabilities;
  const without = { ...capabilities, features: { ...features, kernelIrqchip: { available: false, value: 0, reason: 'none' } } };
  const report = doctor(new FakeHost({ capabilities: without }));
  expect(report.ok).toBe(true);
  expect(report.linux).toEqual({ ok: false, reason: '/dev/kvm has no interrupt controller in the kernel' });
});

describe('no device', () => {
  const missing = (options: FakeHostOptions): Finding => refused('ERR_HAX_NO_DEVICE', { nodes: {}, ...options });

  test('another platform', () => {
    expect(missing({ platform: 'darwin', modules: [], cpuinfo: '' })).toMatchObject({
      code: 'platform',
      message: expect.stringContaining('darwin'),
    });
  });

  test.each([
    ['docker', { '/.dockerenv': '' }],
    ['podman', { '/run/.containerenv': '' }],
    ['lxc', { '/run/systemd/container': 'lxc\n' }],
    ['kubepods', { '/proc/1/cgroup': '0::/kubepods/besteffort/x' }],
  ])('a %s container without it', (kind, files) => {
    const finding = missing({ files });
    expect(finding).toMatchObject({ code: 'container', message: expect.stringContaining(`this ${kind} container`) });
    expect(finding.remedy).toContain('--device /dev/kvm');
  });

  test('no VT-x and no SVM', () => {
    const finding = missing({ modules: ['kvm'], cpuinfo: cpuinfo('') });
    expect(finding.code).toBe('no-virtualization');
    expect(finding.remedy).toContain('firmware');
  });

  test.each([
    ['GenuineIntel', 'vmx', 'kvm_intel'],
    ['AuthenticAMD', 'svm', 'kvm_amd'],
    ['HygonGenuine', 'svm', 'kvm_amd'],
  ])('module not loaded on %s', (vendor, flag, module) => {
    const finding = missing({ modules: [], cpuinfo: cpuinfo(flag, vendor) });
    expect(finding.code).toBe('module-missing');
    expect(finding.remedy).toContain(`modprobe ${module}`);
  });

  test('modules loaded, node missing', () => {
    const finding = missing({});
    expect(finding.code).toBe('device-node');
    expect(finding.remedy).toContain('mknod -m 660 /dev/kvm c 10 232');
  });
});

describe('no permission', () => {
  const alice = { name: 'alice', uid: 1000, groups: [1000] };
  const files = { '/etc/group': 'root:x:0:\nkvm:x:104:bob\nusers:x:100:alice\n' };
  const node = (mode: number, gid: number): FakeHostOptions['nodes'] => ({ '/dev/kvm': { mode, uid: 0, gid } });

  test('the owning group and the exact command', () => {
    expect(refused('ERR_HAX_NO_PERMISSION', { user: alice, files })).toEqual({
      severity: 'error',
      code: 'no-permission',
      message: 'alice may not open /dev/kvm: /dev/kvm belongs to group kvm with mode 0660, and alice is not in it.',
      remedy: 'As root: usermod -aG kvm alice; then log in again.',
      page: 'node-hax/docs/errors/ERR_HAX_NO_PERMISSION.md',
    });
  });

  test('joined, but not logged in again', () => {
    const joined = { '/etc/group': 'kvm:x:104:bob,alice\n' };
    expect(refused('ERR_HAX_NO_PERMISSION', { user: alice, files: joined }).remedy).toBe('Log in again, or run: newgrp kvm');
  });

  test.each([
    ['a device for root alone', node(0o600, 0)],
    ['a group that may only read', node(0o640, 104)],
    ['a group without a name', node(0o660, 777)],
    ['the group root', node(0o660, 0)],
  ])('%s', (_name, nodes) => {
    const finding = refused('ERR_HAX_NO_PERMISSION', { user: alice, files, nodes });
    expect(finding.message).toContain('gives no group of ordinary users access');
    expect(finding.remedy).toContain('chgrp kvm /dev/kvm; chmod 660 /dev/kvm; usermod -aG kvm alice');
  });

  test('/etc/group cannot be read', () => {
    expect(refused('ERR_HAX_NO_PERMISSION', { user: alice }).message).toContain('belongs to group 104');
  });

  test('root is refused, in a container and outside', () => {
    expect(refused('ERR_HAX_NO_PERMISSION').remedy).toContain('cgroup');
    expect(refused('ERR_HAX_NO_PERMISSION', { files: { '/.dockerenv': '' } }).remedy).toContain('docker run --device /dev/kvm');
  });
});

test.each([
  ['ERR_HAX_NO_ADDON', 'addon-missing'],
  ['ERR_HAX_API_VERSION', 'api-version'],
  ['ERR_HAX_UNSUPPORTED', 'kernel-too-old'],
  ['ERR_HAX_IOCTL', 'open-failed'],
  ['ERR_HAX_INVALID_ARGUMENT', 'environment'],
] as const)('%s becomes %s with its own words', (code, expected) => {
  const finding = refused(code);
  expect(finding).toMatchObject({ code: expected, message: `told by ${code}`, page: `node-hax/docs/errors/${code}.md` });
  expect(finding.remedy).not.toBe('');
});

test('an addon that is missing is told as such', () => {
  expect(doctor(new FakeHost({ failure: new HaxError('ERR_HAX_NO_ADDON', 'tried a, b') })).addon).toEqual({ ok: false });
});

test('a device that makes no VM', () => {
  const host = new FakeHost({ refusal: new HaxError('ERR_HAX_IOCTL', 'KVM_CREATE_VM: busy') });
  const report = doctor(host);
  expect(report.ok).toBe(false);
  expect(report.kvm).toMatchObject({ usable: false, apiVersion: 12 });
  expect(report.findings).toEqual([
    expect.objectContaining({ code: 'vm-refused', message: '/dev/kvm opens, but makes no VM: KVM_CREATE_VM: busy' }),
  ]);
  expect(host.open).toBe(0);
});

test('a mistake of ours is not dressed up as a finding', () => {
  expect(() => doctor(new FakeHost({ failure: new TypeError('ours') }))).toThrow(TypeError);
  expect(() => doctor(new FakeHost({ refusal: new TypeError('ours') }))).toThrow(TypeError);
});
