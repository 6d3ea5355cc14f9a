import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { candidates, libc, loadFirst } from '../../../lib/native/locate';
import { HaxError } from '../../../lib/util/errors';

let root: string;
beforeEach(() => {
  delete process.env.HAX_ADDON; // coverage names its own
  root = mkdtempSync(path.join(tmpdir(), 'node-hax-locate-'));
  plant('binding.gyp');
});
afterEach(() => {
  rmSync(root, { recursive: true });
  delete process.env.HAX_ADDON;
  pretend(real);
});

const real = { platform: process.platform, arch: process.arch };
function pretend(values: Partial<typeof real>): void {
  for (const [name, value] of Object.entries(values)) Object.defineProperty(process, name, { value, configurable: true });
}

function plant(file: string): string {
  const full = path.join(root, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, '');
  return full;
}

const built = 'build/Release/node_hax.node';
const prebuilt = path.join(
  'prebuilds',
  `${process.platform}-${process.arch}`,
  process.platform === 'linux' ? `node-hax.${libc()!}.node` : 'node-hax.node',
);

/** Loads whatever is not in `broken`. */
function load(broken: string[] = []): string {
  return loadFirst(
    candidates(root),
    (file) => {
      if (broken.includes(file)) throw new Error(`${path.basename(file)}: invalid ELF header\nand more`);
      return file;
    },
    root,
  );
}

function failure(broken: string[] = []): HaxError {
  try {
    load(broken);
  } catch (error) {
    if (error instanceof HaxError) return error;
    throw error;
  }
  throw new Error('something loaded');
}

it('takes a local build before a prebuilt binary, and the binary where there is no build or a broken one', () => {
  const [build, binary] = [plant(built), plant(prebuilt)];
  expect(load()).toBe(build);
  expect(load([build])).toBe(binary);
  rmSync(build);
  expect(load()).toBe(binary);
});

it('looks at nothing but HAX_ADDON where it is set', () => {
  plant(built);
  process.env.HAX_ADDON = path.join(root, 'other.node');
  expect(failure().message).toContain(`tried ${root}/other.node (not there).`);
  expect(failure().message).not.toContain(built);
  expect(failure().hint).toMatch(/^Unset HAX_ADDON, or correct it/);
});

it('names platform, C library, Node, every path with its reason, and the remedy', () => {
  const build = plant(built);
  const { code, message, hint, cause } = failure([build]);
  expect(code).toBe('ERR_HAX_NO_ADDON');
  expect(message).toContain(`${process.platform}-${process.arch}, ${libc()}, Node ${process.versions.node}; tried`);
  expect(message).toContain(`${build} (node_hax.node: invalid ELF header), ${path.join(root, prebuilt)} (not there).`);
  expect(hint).toContain('npm install-scripts approve node-hax && npm rebuild node-hax');
  expect(cause).toMatchObject({ message: expect.stringContaining('invalid ELF header') });
});

it('does not send to a build where Node loads no addon at all', () => {
  plant(built);
  const refused = (): never => {
    throw Object.assign(new Error('Cannot load native addon because loading addons is disabled.'), { code: 'ERR_DLOPEN_DISABLED' });
  };
  expect(() => loadFirst(candidates(root), refused, root)).toThrow(
    expect.objectContaining({
      hint: expect.stringMatching(/^Let Node load addons: without --no-addons, and with --allow-addons/) as string,
    }),
  );
});

it.each(['EMFILE', 'ENFILE'])('does not send to a build where no file can be opened: %s', (code) => {
  const build = plant(built);
  const refused = (): never => {
    throw Object.assign(new Error(`${code}: too many open files, open '${build}'`), { code });
  };
  const hint = expect.stringMatching(/^Close files or sockets of this process, or raise the limit of open files \(ulimit -n\)/) as string;
  const message = expect.stringContaining(`${build} (${code}: too many open files`) as string;
  expect(() => loadFirst(candidates(root), refused, root)).toThrow(expect.objectContaining({ code: 'ERR_HAX_NO_ADDON', message, hint }));
});

it('tells what the installation noted down', () => {
  writeFileSync(plant('build/install-failed.txt'), 'building it failed: no make\n');
  expect(failure().message).toMatch(/ At its installation: building it failed: no make$/);
  expect(failure().hint).toMatch(/^Install a C\+\+ compiler, make and Python 3, then: npm rebuild node-hax\. See/);
});

it('sends to the bundler where one has taken the files away from their package', () => {
  rmSync(path.join(root, 'binding.gyp'));
  expect(failure().hint).toMatch(/^Have the bundler leave node-hax out \(esbuild: --external:node-hax/);
});

it('does not send to a build where there is no hypervisor to build for', () => {
  pretend({ arch: 'arm64' });
  expect(failure().hint).toMatch(/^Use node-hax on x86-64/);
});

it('asks no C library but of Linux', () => {
  pretend({ platform: 'win32' });
  expect(libc()).toBeUndefined();
  expect(candidates(root).map((each) => path.basename(each()))).toEqual(['node_hax.node', 'node-hax.node']);
});
