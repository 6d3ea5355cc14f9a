import { doctor } from '../../../lib/doctor/doctor';
import { renderDoctor } from '../../../lib/doctor/render';
import { HaxError } from '../../../lib/util/errors';
import { cpuinfo, FakeHost } from './fake-host';

test('a healthy host', () => {
  expect(renderDoctor(doctor(new FakeHost()))).toBe(`\
node-hax   1.2.3, Node 20.0.0 on linux 6.1.0 x64
processor  Example CPU, VT-x (vmx)
addon      loaded
/dev/HAX   not there: the module haxm is not loaded
/dev/kvm   usable, API version 12, kvm + kvm_intel
  can      immediateExit, kernelIrqchip, splitIrqchip, pit, readOnlyMemory, mpState, extendedCpuid, tssAddress, identityMapAddress, ioUring
  limits   maxVcpus 1024, recommendedVcpus 2, memorySlots 32764
  lacks    tscDeadlineTimer

A VM can be created.
Linux as a guest: yes; /dev/kvm uses the processor's virtualization (vmx).
`);
});

test('a software KVM in a container, with /dev/HAX', () => {
  const text = renderDoctor(
    doctor(
      new FakeHost({
        cpuinfo: cpuinfo(''),
        modules: [],
        files: { '/.dockerenv': '' },
        nodes: { '/dev/HAX': { mode: 0, uid: 0, gid: 0 } },
        haxmFailure: new HaxError('ERR_HAX_UNSUPPORTED', '/dev/HAX cannot run guests: VT-x is missing'),
      }),
    ),
  );
  expect(text).toContain('Example CPU, neither VT-x nor SVM, in a docker container\n');
  expect(text).toContain('/dev/HAX   there, but not usable\n');
  expect(text).toContain('/dev/kvm   usable, API version 12 (software KVM)\n');
  expect(text).toMatch(/\nwarning: \/dev\/kvm is a software KVM.*\n {2}→ Small guests run/);
  expect(text).toMatch(/\nerror: .*VT-x is missing\n {2}→ Switch VT-x/);
  expect(text).toContain('Linux as a guest: no; ');
});

test('/dev/HAX first, with its words', () => {
  expect(renderDoctor(doctor(new FakeHost({ nodes: { '/dev/HAX': { mode: 0o660, uid: 0, gid: 0 } } })))).toContain(`
/dev/HAX   usable, API version 4
  words    wstatus 0x3, winfo 0x3ff: ept, fastMmio, unrestrictedGuest, ramBlocks64, setRam64, tunnelPage, ramProtection, debug, implicitRamBlock, cpuid
  can      ept, unrestrictedGuest, ramProtection
  limits   maxVms 64
  lacks    kernelIrqchip
/dev/kvm   usable`);
});

test.each([
  [{}, 'there, not tried'],
  [{ nodes: {} }, 'not there'],
])('no VM', (options, state) => {
  const failure = new HaxError('ERR_HAX_NO_ADDON', 'the addon did not load; tried a.node', { hint: 'Build it.' });
  const text = renderDoctor(doctor(new FakeHost({ failure, cpuinfo: '', ...options })));
  expect(text).toContain('processor  unknown, neither VT-x nor SVM\naddon      not loaded\n');
  expect(text).toContain(`/dev/kvm   ${state}\n`);
  expect(text).toContain(
    '\nerror: the addon did not load; tried a.node\n  → Build it. See node-hax/docs/errors/ERR_HAX_NO_ADDON.md.\n\nNo VM can be created.\n',
  );
});
