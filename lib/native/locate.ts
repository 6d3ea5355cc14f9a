/** Where the addon may be, and what to say when it is nowhere. */
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { HaxError } from '../util/errors';

const root = path.resolve(__dirname, '../..');

/** The C library of this Node: prebuilt binaries are made for each. Undefined where there is only one. */
export function libc(): 'glibc' | 'musl' | undefined {
  if (process.platform !== 'linux') return undefined;
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** `linux-x64, glibc, Node 20.20.2` */
export function describePlatform(): string {
  return [`${process.platform}-${process.arch}`, libc(), `Node ${process.versions.node}`].filter((part) => part !== undefined).join(', ');
}

/**
 * Files in the order of looking: HAX_ADDON alone where it is set (sanitizer builds); else a local build, then a prebuilt binary, whose name
 * takes 5 ms to find out.
 */
export function candidates(directory = root): (() => string)[] {
  const asked = process.env.HAX_ADDON;
  if (asked) return [() => path.resolve(asked)];
  return [
    () => path.join(directory, 'build', 'Release', 'node_hax.node'),
    () => path.join(directory, 'prebuilds', `${process.platform}-${process.arch}`, ['node-hax', libc(), 'node'].filter(Boolean).join('.')),
  ];
}

/** What scripts/install.js left behind where it had to build and could not. */
function installationFailure(directory: string): string | undefined {
  try {
    return readFileSync(path.join(directory, 'build', 'install-failed.txt'), 'utf8').trim();
  } catch {
    return undefined;
  }
}

function installationNote(directory: string): string {
  const failure = installationFailure(directory);
  return failure === undefined ? '' : ` At its installation: ${failure}`;
}

/** What Node says of every addon under --no-addons, and under its permission model. */
const disabled = 'ERR_DLOPEN_DISABLED';

/** What to do about it; undefined for what the table says. */
function remedy(directory: string, cause: unknown): string | undefined {
  if (!isSupported()) return 'Use node-hax on x86-64, with Linux (or Windows, macOS or NetBSD with HAXM); it has no hypervisor here.';
  const code = (cause as Partial<NodeJS.ErrnoException> | undefined)?.code;
  if (code === disabled) return 'Let Node load addons: without --no-addons, and with --allow-addons where its permissions are limited.';
  if (code === 'EMFILE' || code === 'ENFILE')
    return 'Close files or sockets of this process, or raise the limit of open files (ulimit -n), and try again.';
  if (process.env.HAX_ADDON) return 'Unset HAX_ADDON, or correct it: no other file is tried while it is set.';
  // It is in the package and in a checkout: these files are in neither any more.
  if (!existsSync(path.join(directory, 'binding.gyp'))) {
    return 'Have the bundler leave node-hax out (esbuild: --external:node-hax; webpack, Rollup: `external`), and ship node_modules/node-hax beside the bundle.';
  }
  // npm has tried already, and would fail again.
  if (installationFailure(directory) !== undefined) return 'Install a C++ compiler, make and Python 3, then: npm rebuild node-hax.';
  return undefined;
}

/** Whether there is anything to build: both backends are for x86-64. */
function isSupported(): boolean {
  return process.arch === 'x64' && ['linux', 'win32', 'darwin', 'netbsd'].includes(process.platform);
}

/** Tries one file after the other until one loads; throws ERR_HAX_NO_ADDON that names each, with its reason. */
export function loadFirst<T>(files: (() => string)[], load: (file: string) => T, directory = root): T {
  const tried: string[] = [];
  const causes: unknown[] = [];
  for (const where of files) {
    const file = where();
    if (!existsSync(file)) {
      tried.push(`${file} (not there)`);
      continue;
    }
    try {
      return load(file);
    } catch (error) {
      causes.push(error);
      tried.push(`${file} (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`);
    }
  }
  const message = `the addon of node-hax did not load on ${describePlatform()}; tried ${tried.join(', ')}.${installationNote(directory)}`;
  throw new HaxError('ERR_HAX_NO_ADDON', message, { hint: remedy(directory, causes[0]), cause: causes[0] });
}
