/** Debian's kernel, initial RAM disks around busybox, and whether this host can boot them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { doctor, launch, type Machine, type MachineOptions } from 'node-hax';

/** Where scripts/fetch-kernel puts it. */
function kernelDirectory(): string {
  const { HAX_CACHE_DIR, XDG_CACHE_HOME, HOME } = process.env;
  return path.join(HAX_CACHE_DIR || path.join(XDG_CACHE_HOME || path.join(HOME || homedir(), '.cache'), 'node-hax'), 'guest-kernel');
}

function findKernel(): string | undefined {
  if (process.env.HAX_TEST_KERNEL) return process.env.HAX_TEST_KERNEL;
  const directory = kernelDirectory();
  const name = existsSync(directory) && readdirSync(directory).find((each) => each.startsWith('vmlinuz-'));
  return name ? path.join(directory, name) : undefined;
}

function findBusybox(): string | undefined {
  return ['/bin/busybox', '/usr/bin/busybox'].find((file) => existsSync(file));
}

/** Why Linux cannot be booted here; undefined when it can. */
function obstacle(): string | undefined {
  const { linux } = doctor();
  if (!linux.ok) return linux.reason;
  if (!findKernel()) return "Debian's kernel is not here: run scripts/fetch-kernel first";
  if (!findBusybox()) return 'busybox is not installed';
  return undefined;
}

/** Registers tests that boot Linux, or one skipped test that says why not. HAX_REQUIRE_LINUX=1 makes that a failure. */
export function describeLinux(title: string, body: () => void): void {
  const reason = obstacle();
  describe(title, () => {
    if (!reason) return body();
    if (process.env.HAX_REQUIRE_LINUX === '1') {
      it('all of it', () => {
        throw new Error(`HAX_REQUIRE_LINUX=1, but Linux cannot be booted: ${reason}`);
      });
    } else {
      it.skip(`all of it [skipped: ${reason}]`, () => undefined);
    }
  });
}

export const kernel = (): string => findKernel()!;

/** A module of the kernel, if it was kept. */
export function kernelModule(name: string): Buffer | undefined {
  const file = path.join(path.dirname(kernel()), name);
  return existsSync(file) ? readFileSync(file) : undefined;
}

const directory = 0o040755;
const executable = 0o100755;
const link = 0o120777;

/** One member of an archive in cpio's "new ASCII" format (cpio(5)): a header of hexadecimal numbers, name and contents padded to 4. */
function member(name: string, mode: number, contents: Uint8Array = new Uint8Array(0)): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, contents.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  const padded = (length: number): Buffer => Buffer.alloc(-length & 3);
  return Buffer.concat([Buffer.from(header), padded(header.length), contents, padded(contents.length)]);
}

const applets = [
  'sh',
  'cat',
  'dd',
  'echo',
  'head',
  'insmod',
  'md5sum',
  'mount',
  'nproc',
  'poweroff',
  'reboot',
  'seq',
  'setsid',
  'sleep',
  'stty',
  'taskset',
  'tr',
  'uname',
  'wc',
];

/** An initial RAM disk whose /init is `script`, with busybox and the files given. */
export function initrd(script: string, files: Record<string, Uint8Array> = {}): Buffer {
  return Buffer.concat([
    ...['bin', 'dev', 'proc', 'sys', 'tmp'].map((name) => member(name, directory)),
    member('bin/busybox', executable, readFileSync(findBusybox()!)),
    ...applets.map((name) => member(`bin/${name}`, link, Buffer.from('busybox'))),
    member('init', executable, Buffer.from(`#!/bin/sh\n${script}\n`)),
    ...Object.entries(files).map(([name, contents]) => member(name, executable, contents)),
    member('TRAILER!!!', 0),
  ]);
}

const machines = new Set<Machine>();

/** Boots with the console quiet; what runs is closed after the test. */
export async function boot(
  script: string,
  options: Partial<MachineOptions> & { files?: Record<string, Uint8Array> } = {},
): Promise<Machine> {
  const { files, append = '', ...rest } = options;
  const machine = await launch({
    kernel: kernel(),
    initrd: initrd(script, files),
    append: `console=ttyS0 quiet ${append}`.trim(),
    memory: '128M',
    ...rest,
  });
  machines.add(machine);
  return machine;
}

afterEach(async () => {
  for (const machine of machines) await machine.close();
  machines.clear();
});
