'use strict';

// The prebuilt binaries that a release has, where they lie, and what each may ask of a system. lib/native/addon.ts looks for the same names.

const path = require('node:path');

// The official binaries of Node 24 ask for the same: where Node runs, so does the addon.
const GLIBC_FLOOR = { GLIBC: '2.28', GLIBCXX: '3.4.21', CXXABI: '1.3.11', GCC: '3.4' };
const LARGEST = 2 << 20; // bytes; four times what it is now

const PREBUILDS = [
  {
    name: 'linux-x64-glibc',
    file: 'prebuilds/linux-x64/node-hax.glibc.node',
    format: 'elf',
    libraries: /^(libc\.so\.6|libstdc\+\+\.so\.6|libgcc_s\.so\.1|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0)$/,
    floor: GLIBC_FLOOR,
  },
  {
    name: 'linux-x64-musl',
    file: 'prebuilds/linux-x64/node-hax.musl.node',
    format: 'elf',
    libraries: /^(libc\.musl-x86_64\.so\.1|libstdc\+\+\.so\.6|libgcc_s\.so\.1)$/,
    // Of libstdc++ alone: musl has no versions, and one of glibc's here means that it was built for the wrong system.
    floor: { GLIBCXX: '3.4.21', CXXABI: '1.3.11', GCC: '3.4' },
  },
  {
    name: 'win32-x64',
    file: 'prebuilds/win32-x64/node-hax.node',
    format: 'pe',
    // What every Windows has; node.exe exports Node-API.
    libraries: /^(node\.exe|kernel32\.dll|msvcrt\.dll|ucrtbase\.dll|api-ms-win-.*|user32\.dll|advapi32\.dll)$/i,
  },
];

// The prebuilt binary that a system of this kind loads, or undefined.
function prebuildFor(platform, arch, libc) {
  return PREBUILDS.find(({ name }) => name === (platform === 'linux' ? `linux-${arch}-${libc}` : `${platform}-${arch}`));
}

// Of this process's Node.
function thisLibc() {
  return process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
}

const root = path.resolve(__dirname, '../..');

module.exports = { LARGEST, PREBUILDS, prebuildFor, root, thisLibc };
