'use strict';

// Programs that come with Debian packages: finding them, running them, and installing what is missing.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// Something that this machine lacks: the message says what to do about it.
class SetupError extends Error {}

// An ordinary user's PATH lacks the directories where depmod is.
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

const QEMU = 'qemu-system-x86_64';

// Each package with the program or file that shows it is there.
const PACKAGES = {
  build: [
    ['python3', 'python3'],
    ['make', 'make'],
    ['g++', 'g++'],
  ],
  initrd: [['busybox-static', 'busybox']],
  tests: [['acpica-tools', 'iasl']],
  sanitizers: [['cmake', 'cmake']],
  hostB: [
    ['qemu-system-x86', QEMU],
    ['seabios', '/usr/share/seabios/bios-256k.bin'],
  ],
  // Only while host B's cache is being filled.
  hostBCache: [
    ['cpio', 'cpio'],
    ['kmod', 'depmod'],
    ['xz-utils', 'xz'],
    ['gcc', 'gcc'],
    ['libc6-dev', '/usr/include/stdio.h'],
  ],
};

function find(program) {
  for (const directory of PATH.split(':')) {
    const file = path.join(directory || '.', program);
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return file;
    } catch {
      // not here
    }
  }
  return undefined;
}

function missing(list) {
  return list.filter(([, sign]) => !(sign.startsWith('/') ? fs.existsSync(sign) : find(sign))).map(([name]) => name);
}

function command(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, PATH, LC_ALL: 'C' }, ...options });
  if (done.error) throw new SetupError(`${program}: ${done.error.message}`);
  return done;
}

// Runs a program that has to succeed; the end of what it printed tells why it did not.
function mustRun(program, args, options) {
  const done = command(program, args, options);
  if (done.status === 0) return done.stdout;
  const said = `${done.stderr || done.stdout || ''}`.trim().split('\n').slice(-3).join(' | ');
  throw new SetupError(`'${[program, ...args].join(' ')}' failed: ${said || `status ${done.status}`}`);
}

const INSTALL = ['install', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];

// What apt would fetch and unpack, in its own words; undefined when it cannot tell, because its lists are old or missing.
function sizes(names) {
  const { stdout } = command('apt-get', [...INSTALL, '--assume-no', ...names]);
  const fetched = /^Need to get (?:\S+ \S?B\/)?(\S+ \S?B) of archives/m.exec(stdout)?.[1];
  const unpacked = /^After this operation, (\S+ \S?B) of additional disk space/m.exec(stdout)?.[1];
  return fetched && unpacked ? `${fetched} to download, ${unpacked} on disk` : undefined;
}

// Installs what is missing and says so in one line; an ordinary user is told the command instead.
function ensure(list, say) {
  const names = missing(list);
  if (names.length === 0) return;
  if (!find('apt-get')) throw new SetupError(`these Debian packages are needed, and there is no apt-get here: ${names.join(' ')}`);
  if (process.getuid() !== 0) {
    throw new SetupError(`packages are missing; as root: apt-get update && apt-get ${[...INSTALL, ...names].join(' ')}`);
  }
  const env = { ...process.env, PATH, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  const install = [...INSTALL, '-y', ...names];
  let size = sizes(names);
  if (!size) {
    command('apt-get', ['update'], { env }); // one list that fails need not matter: the install tells
    size = sizes(names);
  }
  say(`installing ${names.join(' ')} (${size ?? 'size unknown'})`);
  if (command('apt-get', install, { env }).status !== 0) {
    command('apt-get', ['update'], { env });
    mustRun('apt-get', install, { env });
  }
  const still = missing(list);
  if (still.length > 0) throw new SetupError(`installed, but what they bring is not found (PATH?): ${still.join(' ')}`);
}

module.exports = { SetupError, PACKAGES, QEMU, command, ensure, find, mustRun };
