'use strict';

// Debian packages: which are missing, and how they get here.

const fs = require('node:fs');
const { SetupError, command, find, mustRun } = require('../host-b/packages.js');

// Each with the program or file that shows it is there.
const BUILD = [
  ['python3', 'python3'],
  ['make', 'make'],
  ['g++', 'g++'],
];
const INITRD = [['busybox-static', 'busybox']];
const TESTS = [['acpica-tools', 'iasl']];

function missing(list) {
  return list.filter(([, sign]) => !(sign.startsWith('/') ? fs.existsSync(sign) : find(sign))).map(([name]) => name);
}

const INSTALL = ['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
const ENVIRONMENT = { env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' } };

// What apt would fetch and unpack, in its own words; undefined when it cannot tell, because its lists are old or missing.
function sizes(names) {
  const { stdout } = command('apt-get', [...INSTALL.filter((word) => word !== '-y'), '--assume-no', ...names], ENVIRONMENT);
  const fetched = /^Need to get (?:\S+ \S?B\/)?(\S+ \S?B) of archives/m.exec(stdout)?.[1];
  const unpacked = /^After this operation, (\S+ \S?B) of additional disk space/m.exec(stdout)?.[1];
  return fetched && unpacked ? `${fetched} to download, ${unpacked} on disk` : undefined;
}

// Installs what is missing and says so in one line; an ordinary user is told the command instead.
function ensurePackages(list, say) {
  const names = missing(list);
  if (names.length === 0) return;
  const line = `apt-get ${INSTALL.filter((word) => word !== '-y').join(' ')} ${names.join(' ')}`;
  if (!find('apt-get')) throw new SetupError(`these Debian packages are needed, and there is no apt-get here: ${names.join(' ')}`);
  if (process.getuid() !== 0) throw new SetupError(`Debian packages are missing; run as root:\n  apt-get update && ${line}`);
  let size = sizes(names);
  if (!size) {
    // One list that fails need not matter: the install tells.
    command('apt-get', ['update'], ENVIRONMENT);
    size = sizes(names);
  }
  say(`installing ${names.join(' ')} (${size ?? 'size unknown'})`);
  if (command('apt-get', [...INSTALL, ...names], ENVIRONMENT).status !== 0) {
    command('apt-get', ['update'], ENVIRONMENT);
    mustRun('apt-get', [...INSTALL, ...names], ENVIRONMENT);
  }
  const still = missing(list);
  if (still.length > 0) throw new SetupError(`installed, but what they bring is not found on PATH: ${still.join(' ')}`);
}

module.exports = { BUILD, INITRD, TESTS, ensurePackages };
