'use strict';

// One run of the command for code-cache.js, in a process of its own, which keeps what V8 has compiled when it ends:
// node code-cache-boot.js HAX.JS OUTPUT WORD...
// It is on the null device, which executes nothing: in its place the guest makes the exits of a Linux kernel that has its console on COM1.

const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const vm = require('node:vm');
const { exitPage, ExitKind, InterruptReason } = require('../../dist/native/layout.js');

// PORT:VALUE for OUT, PORT? for IN, hexadecimal, and slice for the end of one.
const guest = `
  slice slice slice
  cf8:80000000 cfc?
  3f9:0 3fb:93 3f8:c 3f9:0 3fb:13 3fa:0 3fc:1
  3f9? 3f9:0 3fd? 3f8:41 3fd? 3f8:a slice slice
  3f9:f 3f9? 3f9:0 3fc? 3fb? 3fb:bf 3fa:0 3fb:0 3fa:1 3fa? 3fb:13 3fc:1 3fa:7 3fa:0 3f8?
  2f9? 2f9:0
  3fa? 3fe? 3f9:2 3fa? 3f9:0 3fb:3 3fc:9 3f9:5 3fa:81 3fc:b
  3f9:7 3fa? 3fd? 3fe? 3f8:42 3f8:43 slice 3fa? 3f8:a slice 3f9:5 slice
`;

// Fills an exit page, word by word, for the next of them; false after the last.
function exits(text) {
  const steps = text.trim().split(/\s+/);
  return (page) => {
    const step = steps.shift();
    if (step === undefined) return false;
    const [, port, value] = /^(\w+)(?::(\w+)|\?)$/.exec(step) ?? [];
    page[exitPage.kind / 4] = port ? ExitKind.Io : ExitKind.Interrupted;
    page[exitPage.subcode / 4] = InterruptReason.Slice;
    page[exitPage.port / 4] = parseInt(port, 16);
    page[exitPage.size / 4] = /^cf/.test(port) ? 4 : 1;
    page[exitPage.count / 4] = 1;
    page[exitPage.direction / 4] = value === undefined ? 0 : 1;
    page[exitPage.data / 4] = parseInt(value, 16);
    return true;
  };
}

// The addon, whose guest does that before it does what the device says.
function withGuest(addon) {
  const { makeFast, SliceRunner } = addon;
  const next = exits(guest);
  let page;
  addon.SliceRunner = function (vcpu, ...more) {
    page = new Uint32Array(vcpu.shared());
    return new SliceRunner(vcpu, ...more);
  };
  addon.makeFast = () => {
    const { run, ...more } = makeFast();
    return { ...more, run: () => next(page) || run() };
  };
  return addon;
}

const [filename, output, ...words] = process.argv.slice(2);
process.argv = [process.argv[0], filename, ...words];
const script = new vm.Script(fs.readFileSync(filename, 'latin1'), { filename });
process.on('exit', (status) => {
  if (status === 0) fs.writeFileSync(output, script.createCachedData());
});
const load = createRequire(filename);
const requireBeside = (name) => (name.endsWith('.node') ? withGuest(load(name)) : load(name));
script.runInThisContext()({}, Object.assign(requireBeside, load), path.dirname(filename));
