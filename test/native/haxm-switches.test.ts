/** Drivers that are older, smaller or fail: the model's switches, and what `hax doctor` and the library make of each. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { commandFile } from '../support/command';

const root = path.resolve(__dirname, '../..');
const withModel = path.join(root, 'scripts/with-haxm-model');
const describeModel = existsSync('/dev/kvm') ? describe : describe.skip;
if (!existsSync('/dev/kvm')) console.log('drivers with switches are not tested: the HAXM model needs /dev/kvm');

function onModel(words: readonly string[], env: NodeJS.ProcessEnv) {
  return spawnSync(withModel, [process.execPath, ...words], { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 60_000 });
}

interface Report {
  haxm: { usable: boolean; present: boolean; blockedBy: string; apiVersion: number; words: { winfo: number } | null };
  findings: { code: string; message: string; remedy: string }[];
}

function doctor(env: NodeJS.ProcessEnv): Report {
  return JSON.parse(onModel([commandFile, 'doctor', '--json'], env).stdout) as Report;
}

/** Runs `body` with a hypervisor `h`; what it returns, or the code and message of the HaxError that it throws. */
function library(body: string, env: NodeJS.ProcessEnv): unknown {
  const script = `const { Hypervisor, realMode, guestCpuid } = require(${JSON.stringify(root)});
    const guest = (h, bytes) => {
      const vm = h.createVm({ irqchip: 'user' });
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      vm.memory.write(0x1000, Uint8Array.from(bytes));
      const vcpu = vm.createVcpu();
      vcpu.setState(realMode({ ip: 0x1000 }));
      return { vm, vcpu };
    };
    const main = () => { const h = Hypervisor.open({ backend: 'haxm' }); try { ${body} } finally { h.close(); } };
    let result;
    try { result = main(); } catch (e) { result = e.code ? { code: e.code, message: e.message } : { thrown: String(e) }; }
    console.log(JSON.stringify(result, (_, value) => typeof value === 'bigint' ? Number(value) : value));`;
  const { status, stdout, stderr } = onModel(['-e', script], env);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

const anything = expect.anything() as unknown;
const containing = (text: string): unknown => expect.stringContaining(text);

describeModel('hax doctor tells', () => {
  test('a driver that works', () => {
    const { haxm, findings } = doctor({});
    expect(haxm).toMatchObject({ present: true, usable: true, blockedBy: '', apiVersion: 4, words: { winfo: 0x3ff } });
    expect(findings.filter(({ code }) => code.startsWith('haxm'))).toEqual([]);
  });

  test.each<[string, NodeJS.ProcessEnv, string, string]>([
    ['no VT-x', { HAXM_MODEL_NO_VT: '1' }, 'haxm-blocked', 'VT-x is missing, switched off in the firmware, or owned by another hypervisor'],
    ['no NX', { HAXM_MODEL_NO_NX: '1' }, 'haxm-blocked', 'NX (execute disable) is missing or switched off'],
    ['no EPT', { HAXM_MODEL_CAPS: '0x3fe' }, 'haxm-refused', 'lacks extended page tables'],
    ['API version 3', { HAXM_MODEL_API: '3' }, 'api-version', 'speaks HAXM API versions 1 to 3, node-hax needs 4'],
    ['no room for a VM', { HAXM_MODEL_MAX_VMS: '0' }, 'haxm-refused', 'makes no VM'],
    ['a driver whose objects are gone', { HAXM_MODEL_FAIL: 'CREATE_VM:ENODEV' }, 'haxm-refused', 'makes no VM'],
    ['a device without its driver', { HAXM_MODEL_OPEN: 'ENODEV' }, 'haxm-blocked', 'is not there'],
  ])('%s', (_, env, code, message) => {
    const { haxm, findings } = doctor(env);
    expect(haxm).toMatchObject({ present: true, usable: false, blockedBy: containing(message) });
    const remedy: unknown = expect.stringMatching(/\S/);
    expect(findings).toContainEqual(expect.objectContaining({ code, message: containing(message), remedy }));
  });

  test('no driver at all, which is nothing to put right', () => {
    const { haxm, findings } = doctor({ HAXM_MODEL_OPEN: 'ENOENT' });
    expect(haxm).toMatchObject({ present: false, usable: false, blockedBy: anything });
    expect(findings.filter(({ code }) => code.startsWith('haxm'))).toEqual([]);
  });
});

describeModel('the library', () => {
  // out 0x10, al; hlt
  const guest = '[0xe6, 0x10, 0xf4]';

  test('runs guests with registers of 520 bytes', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.setState({ rax: 0x41, rbx: 7 });
      const kinds = [vcpu.enter().kind, vcpu.enter().kind]; const s = vcpu.getState();
      const raw = vcpu.haxm.getRegs(); vcpu.haxm.setRegs({ ...raw, rcx: 9n });
      return [kinds, s.rbx, raw.dr7, vcpu.haxm.getRegs().rcx];`;
    expect(library(body, { HAXM_MODEL_REGS: '520' })).toEqual([['io', 'hlt'], 7, 0x400, 9]);
  });

  test('says what a guest in real mode lacks', () => {
    const body = `const { vcpu } = guest(h, ${guest}); const { kind } = vcpu.enter();
      return [kind, h.capabilities.features.unrestrictedGuest.reason];`;
    expect(library(body, { HAXM_MODEL_NO_UG: '1' })).toEqual(['fail-entry', containing('real mode cannot be run')]);
  });

  test('tells the quota, or that there is none', () => {
    const body = 'return h.capabilities.features.memoryQuota;';
    expect(library(body, { HAXM_MODEL_QUOTA_MB: '512' })).toEqual({ available: true, value: 512 << 20 });
    expect(library(body, { HAXM_MODEL_QUOTA_MB: '0' })).toMatchObject({ available: false, reason: 'no quota is set' });
  });

  test('reports what a vanished vCPU answers', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.enter(); return vcpu.enter();`;
    expect(library(body, { HAXM_MODEL_FAIL: 'RUN:ENODEV:2' })).toMatchObject({ code: 'ERR_HAX_IOCTL', message: containing('RUN') });
  });

  test('reports RUN that could not resume an instruction as a shutdown, once', () => {
    const body = `const { vcpu } = guest(h, ${guest}); vcpu.enter(); const { kind } = vcpu.enter();
      try { vcpu.enter(); } catch (e) { return [kind, e.code]; }`;
    expect(library(body, { HAXM_MODEL_FAIL: 'RUN:+1:2' })).toEqual(['shutdown', 'ERR_HAX_CLOSED']);
  });

  test('leaves nothing mapped when the driver refuses memory', () => {
    const body = `const vm = h.createVm({ irqchip: 'user' }); let code;
      try { vm.mapMemory({ gpa: 0, size: 0x1000 }); } catch (e) { code = e.code; }
      return [code, vm.memory.regions.length];`;
    expect(library(body, { HAXM_MODEL_FAIL: 'SET_RAM2:ENOMEM:1' })).toEqual(['ERR_HAX_NO_MEMORY', 0]);
  });

  test('makes no CPUID call on a processor with SMAP, and the calls where they are said to work', () => {
    if (/ smap /.test(readFileSync('/proc/cpuinfo', 'latin1'))) {
      const body = `const { vcpu } = guest(h, ${guest}); return vcpu.haxm.getCpuid().length;`;
      expect(library(body, { HAXM_MODEL_SMAP: '1' })).toEqual({ code: 'ERR_HAX_UNSUPPORTED', message: containing('SMAP') });
    }
    const calls = `const { vcpu } = guest(h, [0x66, 0xb8, 2, 0, 0, 0x80, 0x0f, 0xa2, 0xf4]);
      const list = vcpu.haxm.getCpuid(); const name = list.find((e) => e.function === 0x80000002);
      vcpu.haxm.setCpuid([{ ...name, eax: 0x64636261 }]);
      const { kind } = vcpu.enter();
      return [list.length, kind, vcpu.getState().rax, vcpu.haxm.getCpuid().find((e) => e.function === 0x80000002).eax];`;
    expect(library(calls, { HAX_HAXM_CPUID: '1' })).toEqual([18, 'hlt', 0x64636261, 0x64636261]);
  });
});
