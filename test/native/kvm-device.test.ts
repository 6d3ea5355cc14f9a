import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import * as path from 'node:path';
import { childReport, type ChildOptions } from '../support/child';
import { describeKvm, itIf } from '../support/hosts';
import { kindsOfOneThread } from '../support/sanitized';

interface Refusal {
  code: string;
  message: string;
  operation: string;
  errno?: number;
  hint: string;
}

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-device-'));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What opening the device of `options.env` is refused with. */
function refusal(options: ChildOptions, before = ''): Promise<Refusal> {
  return childReport<Refusal>(
    `const { Hypervisor } = require('node-hax');
     ${before}
     try { Hypervisor.open({ backend: 'kvm' }); report({}); } catch ({ code, message, operation, errno, hint }) { report({ code, message, operation, errno, hint }); }`,
    options,
  );
}

/** A library to preload that answers some of KVM's calls instead of the kernel. */
function answering(cases: string): ChildOptions {
  const source = path.join(directory, `answer-${Math.random().toString(36).slice(2)}.c`);
  const library = `${source}.so`;
  writeFileSync(
    source,
    `#define _GNU_SOURCE
     #include <dlfcn.h>
     #include <errno.h>
     #include <linux/kvm.h>
     #include <stdarg.h>
     #include <string.h>
     #include <sys/mman.h>
     #include <unistd.h>
     int ioctl(int fd, unsigned long request, ...) {
       va_list list;
       va_start(list, request);
       void *argument = va_arg(list, void *);
       va_end(list);
       long value = (long)argument;
       (void)value;
       ${cases}
       int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
       return real(fd, request, argument);
     }\n`,
  );
  // The compiler is nobody's to look at, and takes seconds with a sanitizer's runtime in it.
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'], { env: { ...process.env, LD_PRELOAD: undefined } });
  // After what is preloaded already: a sanitizer's runtime comes first.
  return { env: { LD_PRELOAD: [process.env.LD_PRELOAD, library].filter(Boolean).join(':') } };
}

describe('a KVM device', () => {
  it('that is not there', async () => {
    const { code, message, operation, errno, hint } = await refusal({ env: { HAX_KVM_DEVICE: path.join(directory, 'none') } });
    expect([code, operation, errno]).toEqual(['ERR_HAX_NO_DEVICE', 'open', constants.errno.ENOENT]);
    expect(message).toContain(path.join(directory, 'none'));
    expect(hint).toMatch(/modprobe/);
  });

  it.each(['/dev/null', '/dev/zero'])('that is %s', async (device) => {
    const { code, message, operation, errno } = await refusal({ env: { HAX_KVM_DEVICE: device } });
    expect([code, operation, errno]).toEqual(['ERR_HAX_API_VERSION', 'KVM_GET_API_VERSION', constants.errno.ENOTTY]);
    expect(message).toContain(`${device} is not a KVM device`);
  });

  it('that is a file, a directory, or cannot be reached', async () => {
    const file = path.join(directory, 'file');
    writeFileSync(file, '');
    expect((await refusal({ env: { HAX_KVM_DEVICE: file } })).code).toBe('ERR_HAX_API_VERSION');
    expect((await refusal({ env: { HAX_KVM_DEVICE: directory } })).code).toBe('ERR_HAX_IOCTL');
    expect((await refusal({ env: { HAX_KVM_DEVICE: path.join(file, 'below') } })).code).toBe('ERR_HAX_IOCTL');
  });

  it('that this user may not open', async () => {
    const file = path.join(directory, 'forbidden');
    writeFileSync(file, '', { mode: 0 });
    chmodSync(file, 0);
    // Root may open anything; another user may not.
    const before = `require('node-hax').Hypervisor.open({ backend: 'null' }).close();
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }`;
    const { code, message, operation, errno, hint } = await refusal({ env: { HAX_KVM_DEVICE: file } }, before);
    expect([code, operation, errno]).toEqual(['ERR_HAX_NO_PERMISSION', 'open', constants.errno.EACCES]);
    expect(message).toContain(file);
    expect(hint).toMatch(/group/);
  });

  // A sanitizer's report is written at the end, by the user that the process has then.
  const canChangeUser = process.getuid?.() === 0 && process.env.HAX_SANITIZER === undefined;
  itIf(canChangeUser, 'only root, without a sanitizer, can change the user', 'whose VMs get no thread of their own', async () => {
    // Newer kernels make one at a VM's first KVM_RUN, which says EAGAIN then, each time; for others there is nothing to refuse.
    const script = `
      const { vcpu } = make('kvm', 'halt');
      void make('null', 'halt').vcpu.run(); // which makes the threads that a run of ours needs
      process.setgroups([]); process.setgid(54321); process.setuid(54321);
      require('node:child_process').execFileSync('prlimit', ['--nproc=1:1', '--pid', String(process.pid)], { env: { PATH: process.env.PATH } });
      vcpu.run().then(({ reason }) => report({ reason }), ({ code, operation, errno }) => report({ code, operation, errno }));`;
    const outcome = await childReport<{ reason?: string }>(script, { limit: 200_000 });
    if (outcome.reason !== 'halted')
      expect(outcome).toEqual({ code: 'ERR_HAX_IOCTL', operation: 'KVM_RUN', errno: constants.errno.EAGAIN });
  });

  it('is found by default only when nothing else is, and never replaced when it was asked for', async () => {
    const script = `const { Hypervisor } = require('node-hax');
      try { Hypervisor.open(); report({}); } catch ({ code, message }) { report({ code, message }); }`;
    const nowhere = path.join(directory, 'none');
    const env = { HAX_KVM_DEVICE: nowhere, HAX_HAXM_DEVICE: nowhere, HAX_DEVICE: nowhere };
    const { code, message } = await childReport<Refusal>(script, { env });
    expect(code).toBe('ERR_HAX_NO_DEVICE');
    expect(message).toContain(nowhere);
    // There, but unusable: an error, not a reason to look further.
    expect((await childReport<Refusal>(script, { env: { ...env, HAX_KVM_DEVICE: '/dev/null' } })).code).toBe('ERR_HAX_API_VERSION');
    expect((await childReport<Refusal>(script, { env: { HAX_BACKEND: 'kvm', HAX_KVM_DEVICE: nowhere } })).code).toBe('ERR_HAX_NO_DEVICE');
  });
});

describeKvm('a KVM of another kind', () => {
  it('whose version is not 12 is refused with both numbers', async () => {
    const { code, message, operation } = await refusal(answering('if (request == KVM_GET_API_VERSION) return 11;'));
    expect([code, operation]).toEqual(['ERR_HAX_API_VERSION', 'KVM_GET_API_VERSION']);
    expect(message).toMatch(/\b11\b.*\b12\b/);
  });

  it.each(kindsOfOneThread(['KVM_CAP_IMMEDIATE_EXIT', 'KVM_CAP_USER_MEMORY', 'KVM_CAP_EXT_CPUID']))(
    'without %s is refused',
    async (name) => {
      const { code, message, operation } = await refusal(answering(`if (request == KVM_CHECK_EXTENSION && value == ${name}) return 0;`));
      expect([code, operation]).toEqual(['ERR_HAX_UNSUPPORTED', 'KVM_CHECK_EXTENSION']);
      expect(message).toMatch(/lacks/);
    },
  );

  it('without other capabilities says so in its record and does without', async () => {
    const options = answering(`
      if (request == KVM_CHECK_EXTENSION && (value == KVM_CAP_IRQCHIP || value == KVM_CAP_PIT2 || value == KVM_CAP_READONLY_MEM)) return 0;
      if (request == KVM_CHECK_EXTENSION && value == KVM_CAP_MP_STATE) { errno = EINVAL; return -1; }`);
    const script = `
      const { hypervisor, vcpu, vm } = make('kvm', 'out');
      const { features } = hypervisor.capabilities;
      const codes = [];
      for (const use of [() => hypervisor.createVm({ irqchip: 'kernel' }), () => vm.mapMemory({ gpa: 0x100000, size: 4096, readOnly: true })]) {
        try { use(); codes.push('none'); } catch ({ code, message }) { codes.push(code); }
      }
      const absent = Object.entries(features).filter(([, { available }]) => !available).map(([name, { value, reason }]) => [name, value, typeof reason]);
      vcpu.run().then(({ reason }) => report({ absent: absent.map(([name]) => name), whole: absent.every(([, value, type]) => value === 0 && type === 'string'), codes, reason }));`;
    const { absent, ...rest } = await childReport<{ absent: string[] }>(script, options);
    expect(absent).toEqual(expect.arrayContaining(['kernelIrqchip', 'pit', 'readOnlyMemory', 'mpState']));
    expect(rest).toEqual({ whole: true, codes: ['ERR_HAX_UNSUPPORTED', 'ERR_HAX_UNSUPPORTED'], reason: 'halted' });
  });

  const refused: [string, string, string][] = [
    ['KVM_CREATE_VM', 'hypervisor.createVm({ irqchip: "user" })', 'KVM_CREATE_VM'],
    ['KVM_CREATE_VCPU', 'vm.createVcpu()', 'KVM_CREATE_VCPU'],
    ['KVM_SET_USER_MEMORY_REGION', 'vm.mapMemory({ gpa: 0x100000, size: 4096 })', 'KVM_SET_USER_MEMORY_REGION'],
    ['KVM_CREATE_IRQCHIP', 'hypervisor.createVm({ irqchip: "kernel" })', 'KVM_CREATE_IRQCHIP'],
    ['KVM_CREATE_PIT2', 'hypervisor.createVm({ irqchip: "kernel" })', 'KVM_CREATE_PIT2'],
    ['KVM_GET_REGS', 'vcpu.getState()', 'KVM_GET_REGS'],
    ['KVM_SET_SREGS', 'vcpu.setState({})', 'KVM_SET_SREGS'],
    ['KVM_RUN', 'vcpu.enter()', 'KVM_RUN'],
  ];
  it.each(kindsOfOneThread(refused))('that refuses %s gives an error that names it, and nothing leaks', async (request, use, operation) => {
    const refuse = path.join(directory, `refuse-${request}`);
    const options = answering(`if (request == ${request} && access("${refuse}", F_OK) == 0) { errno = EPERM; return -1; }`);
    const script = `
      const { writeFileSync } = require('node:fs');
      const { descriptors } = require('./test/support/child-guests.js');
      const { hypervisor, vcpu, vm } = make('kvm', 'out');
      const attempt = () => { try { ${use}; return 'none'; } catch ({ code, operation, errno }) { return [code, operation, errno]; } };
      writeFileSync('${refuse}', '');
      const results = [attempt()];
      const before = descriptors();
      for (let i = 0; i < 4; i++) results.push(attempt());
      report({ results, leaked: descriptors() - before });
      hypervisor.close();`;
    const error = ['ERR_HAX_IOCTL', operation, constants.errno.EPERM];
    expect(await childReport(script, options)).toEqual({ results: new Array(5).fill(error), leaked: 0 });
  });

  it.each([
    ['inline', {}, {}],
    ['inline, by Node-API', {}, { HAX_PLAIN_CALLS: '1' }],
    ['on a thread', { threaded: true }, {}],
  ])('that refuses KVM_RUN in the middle of a run, %s: its error, and the next run goes on', async (_, mode, env) => {
    // The 20,000th entry: run() has long been called by compiled code.
    const options = answering(`
      static int entries;
      if (request == KVM_RUN && ++entries == 20000) { errno = EPERM; return -1; }`);
    const script = `const { vcpu, vm } = make('kvm', 'outForEver');
      let writes = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++writes === 20100) vcpu.stop(); } });
      const mode = ${JSON.stringify(mode)};
      vcpu.run(mode).catch(({ code, operation, errno }) => vcpu.run(mode).then(({ reason }) => report({ code, operation, errno, reason, writes })));`;
    const seen = await childReport(script, { env: { ...options.env, ...env } });
    expect(seen).toEqual({ code: 'ERR_HAX_IOCTL', operation: 'KVM_RUN', errno: constants.errno.EPERM, reason: 'killed', writes: 20100 });
  });

  it('that fails an entry with a memory fault: an exit all the same, which a program may serve', async () => {
    // KVM_EXIT_MEMORY_FAULT, 39, with flags, address and size at the start of the union (api.rst chapter 5); the second entry is a real one.
    const options = answering(`
      static int entries;
      if (request == KVM_RUN && entries++ == 0) {
        struct kvm_run *run = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        unsigned long long fault[] = {8, 0x123456000, 0x2000};
        run->exit_reason = 39;
        memcpy(&run->hw, fault, sizeof fault);
        munmap(run, 4096);
        errno = EFAULT;
        return -1;
      }`);
    const exit = { kind: 'memory-fault', address: 0x123456000, size: '8192', flags: '8' };
    const served = `const { vcpu } = make('kvm', 'out');
      const seen = [];
      vcpu.onExit('memory-fault', (exit) => void seen.push(exit.toJSON()));
      vcpu.run().then(({ reason }) => report({ seen, reason }));`;
    expect(await childReport(served, options)).toEqual({ seen: [exit], reason: 'halted' });
    const unserved = `const { vcpu } = make('kvm', 'out');
      vcpu.run().then(({ reason, kind, rawCode }) => report({ reason, kind, rawCode }));`;
    expect(await childReport(unserved, options)).toEqual({ reason: 'unhandled-exit', kind: 'memory-fault', rawCode: 39 });
  });
});
