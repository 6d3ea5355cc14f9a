'use strict';

// What V8 has compiled of the command, for lib/cli/main.ts: reading it takes a third of the time that compiling does. What a boot of Linux uses
// is in it and nothing else, since reading all of the command's functions would take twice as long; V8 compiles the others when they are called.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const v8 = require('node:v8');
const vm = require('node:vm');

// The smallest bzImage there can be (Linux, Documentation/arch/x86/boot.rst), for the null device, which executes nothing.
function smallKernel() {
  const setup = 1024;
  const image = Buffer.alloc(setup + 1024);
  image[0x1f1] = setup / 512 - 1; // setup_sects
  image.writeUInt32LE((image.length - setup) / 16, 0x1f4); // syssize
  image.writeUInt16LE(0xaa55, 0x1fe); // boot_flag
  image[0x201] = 0x264 - 0x202; // the header's length, by the offset of its jump
  image.write('HdrS', 0x202);
  image.writeUInt16LE(0x20f, 0x206); // version
  image[0x211] = 1; // loadflags: LOADED_HIGH
  image.writeUInt32LE(0x7fffffff, 0x22c); // initrd_addr_max
  image.writeUInt32LE(0x200000, 0x230); // kernel_alignment
  image[0x234] = 1; // relocatable_kernel
  image.writeUInt16LE(1, 0x236); // xloadflags: XLF_KERNEL_64
  image.writeUInt32LE(2047, 0x238); // cmdline_size
  image.writeUInt32LE(0x1000000, 0x258); // pref_address
  image.writeUInt32LE(0x100000, 0x260); // init_size
  return image;
}

// Undefined where the command cannot run, as without the addon.
function afterBoot(filename) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'node-hax-cache-'));
  try {
    const [kernel, output] = ['kernel', 'output'].map((name) => path.join(directory, name));
    fs.writeFileSync(kernel, smallKernel());
    const words = ['run', kernel, '--initrd', kernel, '--append', 'console=ttyS0', '--timeout', '60', '--exit-on', 'never'];
    spawnSync(process.execPath, [path.join(__dirname, 'code-cache-boot.js'), filename, output, ...words], {
      stdio: 'ignore',
      timeout: 60_000,
      env: { ...process.env, HAX_BACKEND: 'null' },
    });
    return fs.existsSync(output) ? fs.readFileSync(output) : undefined;
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function compileAll(filename) {
  const source = fs.readFileSync(filename, 'latin1');
  v8.setFlagsFromString('--no-lazy');
  const script = new vm.Script(source, { filename });
  // V8 compares its options with those of the process that made the file.
  v8.setFlagsFromString('--lazy');
  return script.createCachedData();
}

// `directory` has hax.js. The file is for this version of V8; those of others and of an older hax.js go.
function makeCodeCache(directory) {
  for (const name of fs.readdirSync(directory)) if (/^hax\..*\.cache$/.test(name)) fs.rmSync(path.join(directory, name));
  const filename = path.join(directory, 'hax.js');
  const file = path.join(directory, `hax.${process.versions.v8}.cache`);
  fs.writeFileSync(`${file}.${process.pid}`, afterBoot(filename) ?? compileAll(filename));
  fs.renameSync(`${file}.${process.pid}`, file);
}

module.exports = { makeCodeCache };
