/** Calls of KVM and of the system that fail: each is an error of ours, nothing is lost by it, and the next attempt succeeds. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import * as path from 'node:path';
import { childReport } from '../support/child';
import { describeKvm, itIf } from '../support/hosts';

/** What a script may begin with. */
const prelude = `
  const { descriptors } = require('./test/support/child-guests.js');
  const failNext = (call) => (process.env.FAIL_CALL = call);
  const outcome = (attempt) => {
    try {
      return attempt();
    } catch (error) {
      return error.code + ' ' + error.operation;
    }
  };
  const ended = (run) => run.then(({ reason }) => reason, ({ code, operation }) => code + ' ' + operation);`;

/** Requests of <linux/kvm.h>. */
const setCpuid2 = '0x4008ae90';
const getMpState = '0x8004ae98';
const getRegs = '0x8090ae81';

/** Why calls cannot be made to fail here. */
function missing(): string | undefined {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  if (!header.glibcVersionRuntime) return 'the shim has the names of glibc';
  const directories = (process.env.PATH ?? '').split(':');
  return directories.some((directory) => existsSync(path.join(directory, 'cc'))) ? undefined : 'there is no C compiler';
}

describeKvm('a call that fails', () => {
  const reason = missing();
  if (reason) return itIf(false, reason, 'all of it', () => undefined);

  let directory: string;
  let shim: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'node-hax-shim-'));
    shim = path.join(directory, 'failing_call.so');
    const source = path.join(__dirname, 'shims/failing_call.c');
    execFileSync('cc', ['-shared', '-fPIC', '-o', shim, source, '-ldl'], { env: { PATH: process.env.PATH } }); // without a sanitizer's runtime
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const withShim = (script: string, env: Record<string, string> = {}): Promise<unknown> =>
    // A sanitizer's runtime has to stay the first.
    childReport(prelude + script, { env: { ...env, LD_PRELOAD: [process.env.LD_PRELOAD, shim].filter(Boolean).join(':') } });

  it.each([
    ["mmap() of a vCPU's page", 'mmap64', 'ERR_HAX_NO_MEMORY mmap'],
    ['KVM_SET_CPUID2', setCpuid2, 'ERR_HAX_NO_MEMORY KVM_SET_CPUID2'],
  ])('leaves the number of a vCPU to the next attempt: %s', async (_, call, error) => {
    const script = `
      const { Hypervisor } = require('node-hax');
      const hypervisor = Hypervisor.open({ backend: 'kvm' });
      const before = descriptors();
      const vm = hypervisor.createVm({ irqchip: 'user' });
      failNext('${call}');
      const attempts = [1, 2, 3].map(() => outcome(() => vm.createVcpu().id));
      failNext('${call}');
      attempts.push(outcome(() => vm.createVcpu({ id: 5 }).id));
      const there = vm.vcpus.map(({ id }) => id);
      vm.close();
      report({ attempts, there, left: descriptors() - before });`;
    expect(await withShim(script)).toEqual({ attempts: [error, 0, 1, error], there: [0, 1], left: 0 });
  });

  it('leaves no descriptor of statistics', async () => {
    const script = `
      const { vm, vcpu } = make('kvm', 'halt');
      const attempt = ({ kvm }) => {
        const stats = outcome(() => kvm.getStatsFd());
        if (typeof stats !== 'string') stats.close();
        return typeof stats === 'string' ? stats : 'closed';
      };
      const before = descriptors();
      const attempts = [vm, vcpu].flatMap((each) => {
        failNext('pread64');
        return [attempt(each), attempt(each)];
      });
      report({ attempts, left: descriptors() - before });`;
    const each = ['ERR_HAX_NO_MEMORY read', 'closed'];
    expect(await withShim(script)).toEqual({ attempts: [...each, ...each], left: 0 });
  });

  it("leaves no signal handler that calls itself: sigaction() of the kick's second signal", async () => {
    const script = `
      const { Hypervisor } = require('node-hax');
      failNext('sigaction ${constants.signals.SIGURG}');
      const first = outcome(() => Hypervisor.open({ backend: 'kvm' }));
      const { vcpu } = make('kvm', 'spin');
      setTimeout(() => vcpu.stop(), 20);
      ended(vcpu.run()).then((end) => report({ first, end }));`;
    // The watcher ends slices by that signal.
    expect(await withShim(script, { HAX_PLAIN_WATCH: '1' })).toEqual({ first: 'ERR_HAX_NO_MEMORY sigaction', end: 'killed' });
  });

  it.each([false, true])('ends the run of a guest whose sleep is looked at (threaded: %s)', async (threaded) => {
    const script = `
      const { vcpu } = make('kvm', 'halt', { irqchip: 'kernel' });
      failNext('${getMpState}');
      (async () => {
        const ends = [await ended(vcpu.run({ threaded: ${threaded} }))];
        ends.push(await ended(vcpu.run({ threaded: ${threaded} })));
        report(ends);
      })();`;
    expect(await withShim(script)).toEqual(['ERR_HAX_NO_MEMORY KVM_GET_MP_STATE', 'halted']);
  });

  it.each([false, true])('does not hide what a device has thrown (threaded: %s)', async (threaded) => {
    const script = `
      const { vm, vcpu } = make('kvm', 'outForEver');
      let writes = 0;
      const write = () => {
        if (++writes !== 10) return;
        failNext('${getRegs}');
        throw new Error('ours');
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      ended(vcpu.run({ threaded: ${threaded} })).then((end) => report({ end, writes }));`;
    expect(await withShim(script)).toEqual({ end: 'ERR_HAX_DEVICE_FAILED undefined', writes: 10 });
  });
});
