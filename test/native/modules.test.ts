import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { childReport, runChild } from '../support/child';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-modules-'));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the package', () => {
  it('gives the same classes to import and to require', async () => {
    const script = `
      const required = require('node-hax');
      import('node-hax').then((imported) => {
        const names = Object.keys(required).sort();
        const hypervisor = imported.Hypervisor.open({ backend: 'null' });
        report({
          names,
          different: names.filter((name) => required[name] !== imported[name]),
          missing: Object.keys(imported).filter((name) => name !== 'default' && !/^(__esModule|module.exports)$/.test(name) && !(name in required)),
          default: imported.default === required,
          instance: hypervisor instanceof required.Hypervisor,
        });
        hypervisor.close();
      });`;
    const result = await childReport<{ names: string[] }>(script);
    expect(result).toMatchObject({ different: [], missing: [], default: true, instance: true });
    expect(result.names).toEqual(expect.arrayContaining(['HaxError', 'Hypervisor', 'VirtualMachine', 'Vcpu', 'launch']));
  });

  it('loads its addon once descriptors are free again, and says until then that there were none', async () => {
    const script = `
      const { closeSync, openSync } = require('node:fs');
      const { Hypervisor } = require('node-hax');
      const taken = [];
      try { for (;;) taken.push(openSync('/dev/null')); } catch {}
      const attempt = () => {
        try {
          Hypervisor.open({ backend: 'null' }).close();
          return {};
        } catch ({ code, cause }) {
          return { code, cause: cause.code };
        }
      };
      const first = attempt();
      for (const fd of taken) closeSync(fd);
      report([first, attempt()]);`;
    expect(await childReport(script)).toEqual([{ code: 'ERR_HAX_NO_ADDON', cause: 'EMFILE' }, {}]);
  });

  it('can be imported by name in a module', () => {
    const script = `import { Hypervisor, HaxError, realMode } from 'node-hax';
      const hypervisor = Hypervisor.open({ backend: 'null' }); hypervisor.close();
      try { hypervisor.createVm(); } catch (error) { console.log(error instanceof HaxError, error.code, typeof realMode); }`;
    const root = path.resolve(__dirname, '../..');
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['true ERR_HAX_CLOSED function\n', '']);
  });

  it('loads no addon before it is used, and names the files tried when there is none', async () => {
    const script = `
      const { HaxError } = require('node-hax');
      const loaded = () => Object.keys(require.cache).concat(process.report.getReport().sharedObjects).filter((file) => /node_hax/.test(file)).length;
      const before = loaded();
      const { Hypervisor } = require('node-hax');
      try { Hypervisor.open(); } catch (error) {
        report({ before, code: error.code, message: error.message, cause: String(error.cause?.message), instance: error instanceof HaxError });
      }`;
    const missing = path.join(directory, 'missing.node');
    const absent = await childReport<{ message: string }>(script, { env: { HAX_ADDON: missing } });
    expect(absent).toMatchObject({ before: 0, code: 'ERR_HAX_NO_ADDON', instance: true });
    expect(absent.message).toContain(`${missing} (not there)`);
    const broken = path.join(directory, 'broken.node');
    writeFileSync(broken, 'no ELF file');
    const damaged = await childReport<{ message: string; cause: string }>(script, { env: { HAX_ADDON: broken } });
    expect(damaged).toMatchObject({ before: 0, code: 'ERR_HAX_NO_ADDON' });
    expect(damaged.message).toContain(broken);
    expect(damaged.message).not.toContain('not there');
    expect(damaged.cause).not.toBe('undefined');
  });

  it('may be loaded twice in one process', async () => {
    const script = `
      const first = require('node-hax');
      for (const file of Object.keys(require.cache)) if (/\\/dist\\//.test(file)) delete require.cache[file];
      const second = require('node-hax');
      const made = make('null', 'out');
      const hypervisor = second.Hypervisor.open({ backend: 'null' });
      const vcpu = hypervisor.createVm({ irqchip: 'user' }).createVcpu();
      let code;
      try { vcpu.setState({ rax: -1 }); } catch (error) { code = error.code; report({ different: first.HaxError !== second.HaxError, recognised: error instanceof first.HaxError }); }
      made.vcpu.enter();
      vcpu.enter();
      hypervisor.close();
      made.hypervisor.close();`;
    expect(await childReport(script)).toEqual({ different: true, recognised: true });
  });

  it('serves the threads of each of two copies', async () => {
    const script = `
      const copies = [require('node-hax')];
      for (const file of Object.keys(require.cache)) if (/\\/dist\\//.test(file)) delete require.cache[file];
      copies.push(require('node-hax'));
      const ends = copies.map(async ({ Hypervisor }) => {
        const hypervisor = Hypervisor.open({ backend: 'null' });
        const vm = hypervisor.createVm({ irqchip: 'user' });
        const vcpu = vm.createVcpu();
        vcpu.setState({ rdx: 0x10, rcx: 500 });
        let writes = 0;
        vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void writes++ });
        const { reason } = await vcpu.run({ threaded: true });
        hypervisor.close();
        return { reason, writes };
      });
      setTimeout(() => process.exit(2), 50_000).unref();
      Promise.all(ends).then(report);`;
    const all = { reason: 'halted', writes: 500 };
    expect(await childReport(script)).toEqual([all, all]);
  });

  it('does not mind being ended while it loads', async () => {
    const { status } = await runChild(`require('node-hax').Hypervisor.open({ backend: 'null' }); process.exit(4)`);
    expect(status).toBe(4);
  });
});
