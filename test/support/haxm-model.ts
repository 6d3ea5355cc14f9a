/** Processes of their own on the model of the HAXM driver, each with switches of its own. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as path from 'node:path';

export const root = path.resolve(__dirname, '../..');
const withModel = path.join(root, 'scripts/with-haxm-model');
export const describeModel = existsSync('/dev/kvm') ? describe : describe.skip;
if (!existsSync('/dev/kvm')) console.log('drivers with switches are not tested: the HAXM model needs /dev/kvm');

// The library itself instead of the shell script that preloads it: ThreadSanitizer's runtime, inherited, crashes in any shell.
let preloaded: string;
beforeAll(() => {
  const { stdout } = spawnSync(withModel, ['--build'], { encoding: 'utf8', env: { ...process.env, LD_PRELOAD: undefined } });
  preloaded = [stdout.trim(), process.env.LD_PRELOAD].filter(Boolean).join(':');
});

export function onModel(words: readonly string[], env: NodeJS.ProcessEnv, [program, ...before]: readonly string[] = [process.execPath]) {
  const options = { env: { ...process.env, LD_PRELOAD: preloaded, ...env }, timeout: 200_000 };
  return spawnSync(program, [...before, ...words], { encoding: 'utf8', ...options });
}

/** A script that runs `body` with a hypervisor `h` and prints what it returns, or the code and message of the HaxError that it throws. */
export function scriptOf(body: string): string {
  return `const { Hypervisor, realMode, guestCpuid } = require(${JSON.stringify(root)});
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
}

/** What `body` returns or throws there. */
export function library(body: string, env: NodeJS.ProcessEnv): unknown {
  const { status, stdout, stderr } = onModel(['-e', scriptOf(body)], env);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}
