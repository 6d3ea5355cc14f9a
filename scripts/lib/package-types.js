'use strict';

// The package's types as the tools for it and TypeScript under several settings see them.

const fs = require('node:fs');
const path = require('node:path');
const { run } = require('./bare-machine.js');
const { root } = require('./prebuilds.js');

const tool = (name) => path.join(root, 'node_modules', name);

const SETTINGS = [
  ['commonjs.cts', { module: 'node16' }],
  ['module.mts', { module: 'node16' }],
  ['module.mts', { module: 'nodenext' }],
  ['commonjs.cts', { module: 'nodenext' }],
  ['module.mts', { module: 'node20' }],
  ['module.ts', { module: 'esnext', moduleResolution: 'bundler' }],
  ['module.ts', { module: 'preserve', moduleResolution: 'bundler', verbatimModuleSyntax: true, exactOptionalPropertyTypes: true }],
];

// The same in each: values, types, the second entry.
const SOURCE = `
import { HaxError, Hypervisor, launch, realMode, type IoHandler, type Machine, type RunEnd, type Vcpu } from 'node-hax';
import { autoClose } from 'node-hax/testing';
export const port: IoHandler = { read: (offset, width) => offset + width, write: () => undefined };
export async function start(signal: AbortSignal): Promise<RunEnd> {
  const machine: Machine = await launch({ kernel: 'vmlinuz', memory: '256M', signal });
  await machine.console.waitFor(/login: /, { timeout: 30_000 });
  return await machine.ended;
}
export function tell(error: unknown): string | undefined {
  return error instanceof HaxError && error.code === 'ERR_HAX_NO_DEVICE' ? error.hint : undefined;
}
export function change(vcpu: Vcpu, rax?: bigint, base?: bigint, fpu?: Uint8Array): void {
  vcpu.setState({ rax, cs: { base }, gdt: { base } });
  vcpu.setParts({ general: { rax }, fpu });
}
export const rip = realMode({ ip: 0x1000 }).rip;
export const close = autoClose((hook) => void hook());
export function open(): Hypervisor {
  const hypervisor = close(Hypervisor.open());
  hypervisor.createVm({ irqchip: 'user' }).ports.add({ at: 0xe9, length: 1 }, port);
  // @ts-expect-error: no such interrupt controller
  hypervisor.createVm({ irqchip: 'none of these' });
  return hypervisor;
}
`;

function compile(directory, file, options) {
  // Declarations are checked, the package's among them, but not those that TypeScript itself brings.
  const checks = { strict: true, noEmit: true, skipLibCheck: false, skipDefaultLibCheck: true };
  const config = { compilerOptions: { target: 'es2023', types: ['node'], ...checks, ...options }, files: [file] };
  fs.writeFileSync(path.join(directory, file), SOURCE);
  fs.writeFileSync(path.join(directory, 'tsconfig.json'), JSON.stringify(config));
  const done = run(process.execPath, [tool('typescript/bin/tsc'), '-p', directory], {});
  if (done.status !== 0) throw new Error(`TypeScript with ${JSON.stringify(options)}: ${done.stdout}`);
}

function checkTypes(tarball, directory, say) {
  const attw = run(process.execPath, [tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--no-color', '--no-emoji'], {});
  if (attw.status !== 0) throw new Error(`attw: ${attw.stdout}${attw.stderr}`);
  const publint = run(process.execPath, [tool('publint/src/cli.js'), tarball, '--strict'], {});
  if (publint.status !== 0) throw new Error(`publint: ${publint.stdout}${publint.stderr}`);

  // The package unpacked where TypeScript looks for it, beside the types of Node's interface.
  const modules = path.join(directory, 'node_modules');
  fs.mkdirSync(path.join(modules, 'node-hax'), { recursive: true });
  fs.mkdirSync(path.join(modules, '@types'));
  run('tar', ['-xzf', tarball, '-C', path.join(modules, 'node-hax'), '--strip-components=1'], {});
  fs.symlinkSync(tool('@types/node'), path.join(modules, '@types/node'));
  // Without one of its own the folder is in this repository's package, whose name leads to dist/ and not to what was unpacked.
  fs.writeFileSync(path.join(directory, 'package.json'), '{ "name": "stranger", "private": true }\n');
  for (const [file, options] of SETTINGS) compile(directory, file, options);
  say(`types: attw and publint have nothing to say; TypeScript is content under ${SETTINGS.length} settings`);
}

module.exports = { checkTypes };
