'use strict';

// What host B is made of, in a directory of the caller's: kernel-VERSION/{vmlinux,modules/,initramfs-HASH.cpio,tsc-rate-HASH}.
// All of it appears by rename, complete; a lock keeps a second caller from doing the same work meanwhile.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { PACKAGES, SetupError, command, ensure, mustRun } = require('../lib/packages.js');

const MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'kvm-amd'];
// Of the drivers only those of devices that host B has or that need none; the others are three quarters of the whole.
const DRIVERS = ['block', 'char', 'crypto', 'misc', 'net', 'vfio', 'vhost', 'virt', 'virtio'];
const INIT = path.join(__dirname, 'init.c');
const TSC_RATE = path.join(__dirname, 'tsc-rate.c');

function directory() {
  const all = process.env.HAX_CACHE_DIR || path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'node-hax');
  return path.resolve(all, 'host-b');
}

function hash(...inputs) {
  const digest = createHash('sha256');
  for (const input of inputs) digest.update(input).update('\0');
  return digest.digest('hex').slice(0, 16);
}

// The files of a complete cache, or undefined.
function lookUp() {
  let kernel;
  try {
    kernel = fs.realpathSync(path.join(directory(), 'current'));
  } catch {
    return undefined;
  }
  const files = {
    vmlinux: path.join(kernel, 'vmlinux'),
    modules: path.join(kernel, 'modules'),
    initramfs: path.join(kernel, `initramfs-${hash(fs.readFileSync(INIT), MODULES.join())}.cpio`),
    tscRate: path.join(kernel, `tsc-rate-${hash(fs.readFileSync(TSC_RATE))}`),
  };
  return Object.values(files).every((file) => fs.existsSync(file)) ? files : { kernel, ...files, incomplete: true };
}

// The bzImage holds the ELF kernel as an xz stream whose place its header tells (Linux boot protocol 2.08).
function unpackVmlinux(bzImage, target) {
  const image = fs.readFileSync(bzImage);
  if (image.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new SetupError(`${bzImage} is not a bzImage`);
  const start = (image[0x1f1] + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  const done = command('xz', ['-dc', '--single-stream'], { input: payload, encoding: 'buffer' });
  if (done.status !== 0 || done.stdout.toString('latin1', 1, 4) !== 'ELF') throw new SetupError(`no ELF kernel in ${bzImage}`);
  fs.writeFileSync(target, done.stdout);
}

// The real package behind linux-image-amd64: its name holds the kernel's version.
function kernelPackage() {
  const find = () => /^\s*Depends: (linux-image-\d\S*)$/m.exec(command('apt-cache', ['depends', 'linux-image-amd64']).stdout)?.[1];
  let name = find();
  if (!name && process.getuid() === 0) {
    command('apt-get', ['update']);
    name = find();
  }
  if (!name) throw new SetupError('the package linux-image-amd64 is not known here; as root: apt-get update');
  return name;
}

function download(name, folder) {
  const fetched = () => command('apt-get', ['download', name], { cwd: folder }).status === 0;
  if (!fetched()) {
    if (process.getuid() === 0) command('apt-get', ['update']);
    mustRun('apt-get', ['download', name], { cwd: folder });
  }
  return path.join(
    folder,
    fs.readdirSync(folder).find((file) => file.endsWith('.deb')),
  );
}

function prune(modules) {
  const drivers = path.join(modules, 'drivers');
  const unwanted = fs.readdirSync(drivers).filter((name) => !DRIVERS.includes(name));
  for (const folder of ['../sound', 'net/ethernet', 'net/wireless', ...unwanted]) {
    fs.rmSync(path.join(drivers, folder), { recursive: true, force: true });
  }
}

// Fetches and unpacks the kernel into a new directory; returns its name.
function buildKernel(top, work, announce) {
  const name = kernelPackage();
  announce(`fetching the package ${name} into ${top} (once)`);
  const file = download(name, work);
  const version = mustRun('dpkg-deb', ['-f', file, 'Version']).trim();
  const unpacked = path.join(work, 'unpacked');
  mustRun('dpkg', ['-x', file, unpacked]);
  const release = fs.readdirSync(path.join(unpacked, 'lib/modules'))[0];
  prune(path.join(unpacked, 'lib/modules', release, 'kernel'));
  mustRun('depmod', ['-b', unpacked, release]);
  const result = path.join(work, 'kernel');
  fs.mkdirSync(result);
  unpackVmlinux(path.join(unpacked, 'boot', `vmlinuz-${release}`), path.join(result, 'vmlinux'));
  fs.renameSync(path.join(unpacked, 'lib/modules'), path.join(result, 'modules'));
  const target = path.join(top, `kernel-${release}-${version}`);
  fs.rmSync(target, { recursive: true, force: true });
  fs.renameSync(result, target);
  fs.symlinkSync(path.basename(target), path.join(work, 'current'));
  fs.renameSync(path.join(work, 'current'), path.join(top, 'current'));
}

// The modules to load, each after those it needs, as paths below modules/RELEASE.
function modulesInOrder(base) {
  const needs = new Map();
  const plain = (file) => path.basename(file).replace(/\.ko$/, '').replaceAll('_', '-');
  for (const line of fs.readFileSync(path.join(base, 'modules.dep'), 'utf8').split('\n')) {
    const [file, rest] = line.split(':');
    if (file) needs.set(plain(file), [file, ...rest.trim().split(' ').filter(Boolean)]);
  }
  const order = new Set();
  for (const module of MODULES) {
    // modules.dep tells what each needs to the last, the deepest at the end; what it does not name is built in.
    for (const file of [...(needs.get(plain(module)) ?? [])].reverse()) order.add(file);
  }
  return [...order];
}

function buildInitramfs(files, work) {
  const root = path.join(work, 'initramfs');
  const base = path.join(files.modules, fs.readdirSync(files.modules)[0]);
  const modules = modulesInOrder(base);
  fs.mkdirSync(path.join(root, 'dev'), { recursive: true });
  for (const file of modules) fs.copyFileSync(path.join(base, file), path.join(root, path.basename(file)));
  fs.writeFileSync(path.join(root, 'modules'), modules.map((file) => `/${path.basename(file)}\n`).join(''));
  mustRun('gcc', ['-O2', '-static', '-s', '-o', path.join(root, 'init'), INIT]);
  const list = fs.readdirSync(root).join('\n');
  const archive = mustRun('cpio', ['-o', '-H', 'newc', '--quiet', '-R', '0:0'], {
    cwd: root,
    input: Buffer.from(`${list}\n`),
    encoding: 'buffer',
  });
  fs.writeFileSync(path.join(work, 'initramfs.cpio'), archive);
  fs.renameSync(path.join(work, 'initramfs.cpio'), files.initramfs);
}

function buildTscRate(files, work) {
  const program = path.join(work, 'tsc-rate');
  mustRun('gcc', ['-O2', '-o', program, TSC_RATE]);
  fs.renameSync(program, files.tscRate);
}

// Fills the cache; the caller holds the lock.
function fill(announce) {
  ensure(PACKAGES.hostBCache, announce);
  const top = directory();
  // What callers that were killed have left.
  for (const name of fs.readdirSync(top)) if (name.startsWith('work-')) fs.rmSync(path.join(top, name), { recursive: true, force: true });
  const work = fs.mkdtempSync(path.join(top, 'work-'));
  try {
    if (!lookUp() || !fs.existsSync(lookUp().vmlinux)) buildKernel(top, work, announce);
    const files = lookUp();
    if (!fs.existsSync(files.initramfs)) buildInitramfs(files, work);
    if (!fs.existsSync(files.tscRate)) buildTscRate(files, work);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

module.exports = { directory, lookUp, fill };
