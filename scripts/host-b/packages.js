'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// Host B cannot be set up: the message says what to do about it.
class SetupError extends Error {}

// An ordinary user's PATH lacks the directories where depmod is.
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

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

const QEMU = 'qemu-system-x86_64';

// Each package with the program or file that shows it is there; the second list is needed only while the cache is being filled.
const TO_RUN = [
  ['qemu-system-x86', QEMU],
  ['seabios', '/usr/share/seabios/bios-256k.bin'],
];
const TO_BUILD = [
  ['cpio', 'cpio'],
  ['kmod', 'depmod'],
  ['xz-utils', 'xz'],
  ['gcc', 'gcc'],
  ['libc6-dev', '/usr/include/stdio.h'],
];

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

function ensure(list, announce) {
  const names = missing(list);
  if (names.length === 0) return;
  const install = ['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...names];
  if (!find('apt-get')) throw new SetupError(`needs the Debian packages ${names.join(' ')}, and there is no apt-get here`);
  if (process.getuid() !== 0) {
    throw new SetupError(`packages are missing; as root: apt-get update && apt-get ${install.join(' ')}`);
  }
  announce(`installing the missing packages ${names.join(' ')}`);
  const env = { ...process.env, PATH, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  if (command('apt-get', install, { env }).status !== 0) {
    command('apt-get', ['update'], { env });
    mustRun('apt-get', install, { env });
  }
  const still = missing(list);
  if (still.length > 0) throw new SetupError(`installed, but what they bring is not found (PATH?): ${still.join(' ')}`);
}

module.exports = { SetupError, QEMU, TO_RUN, TO_BUILD, find, ensure, command, mustRun };
