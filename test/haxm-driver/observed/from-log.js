#!/usr/bin/env node
'use strict';

// Turns the print of the program that drove the real driver into the fixture beside this file: one line a call, NAME FIELD=VALUE…
// It ran once, on the 7.8.0 log; it is kept so that a log from another release or another processor can be turned the same way.

const fs = require('node:fs');

const [log] = process.argv.slice(2);
if (!log) {
  process.stderr.write('Usage: from-log.js LOG > FIXTURE\n');
  process.exit(2);
}

const out = [];
let call; // the fields of the one being read
let dump; // the field that a dump's lines go to

const begin = (name, fields = {}) => {
  call = { name: name.trim().replace(/[ ,]+/g, '_'), fields: Object.entries(fields) };
  out.push(call);
  dump = undefined;
};
const add = (fields) => call.fields.push(...Object.entries(fields));
const pairs = (text) =>
  Object.fromEntries([...text.matchAll(/([A-Za-z_][\w.\-/[\]]*)=([^\s=(]+)/g)].map(([, name, value]) => [name, value]));
const tight = (hex) => hex.trim().replace(/ /g, '');

// A register line; `cs sel=… base=…` gives cs.sel and cs.base.
function registers(text) {
  const segment = /^ +(cs|ss|ds|es|fs|gs|ldt|tr|gdt|idt) sel=/.exec(text);
  if (segment) {
    const fields = pairs(text);
    return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`${segment[1]}.${name}`, value]));
  }
  const high = /r8-15: (.*)/.exec(text);
  if (high) return Object.fromEntries(high[1].split(' ').map((value, i) => [`r${i + 8}`, value]));
  const debug = /dr0-3=(\S+) (\S+) (\S+) (\S+) dr6=(\S+) dr7=(\S+) pde=(\S+) efer=(\S+) sysenter cs=(\S+) eip=(\S+) esp=(\S+) (.*)/.exec(
    text,
  );
  if (debug) {
    const names = ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'pde', 'efer', 'sysenter_cs', 'sysenter_eip', 'sysenter_esp'];
    return { ...Object.fromEntries(names.map((name, i) => [name, debug[i + 1]])), ...pairs(debug[12]) };
  }
  return pairs(text);
}

const skipped = [
  /^@@/,
  /^\[/,
  /\.\.\.$/,
  /^[0-9a-f]+-[0-9a-f]+ [r-][w-]/,
  /^(total|drwx|crw)/,
  /^$/,
  /^rmmod/,
  /^END/,
  /^rc=/,
  /^\/dev\/hax_vm\d*:$/,
  /^== (?!sizes)/,
  /^ RUN returns per/,
  /^ {2}\(/,
  /^RUN ret=-1 errno=\d+$/,
];

const rules = [
  [/^######## (.*)/, ([, name]) => out.push({ section: name })],
  [/^== sizes: (.*)/, ([, rest]) => begin('sizes', Object.fromEntries(rest.split(/ (?=[a-z])/).map((pair) => pair.split(' '))))],
  [
    /^ off (\S+)=(\d+)/,
    ([, name, value]) => {
      if (call.name !== 'offsets') begin('offsets');
      add({ [name]: value });
    },
  ],
  [
    /^ (HAX_\S+) = 0x(\S+)/,
    ([, name, value]) => {
      if (call.name !== 'requests') begin('requests');
      add({ [name]: value });
    },
  ],
  [
    /^stat (\S+): mode (\S+) uid (\S+) gid (\S+) rdev (\S+)/,
    ([, path, mode, uid, gid, rdev]) => begin(`stat:${path}`, { errno: '0', mode, uid, gid, rdev }),
  ],
  [/^stat (\S+): errno (\d+)/, ([, path, errno]) => begin(`stat:${path}`, { errno })],
  [/^open\((\S+?)(?:,\w+)?\)=(-?\d+) errno=? ?(\d+)/, ([, path, , errno]) => begin(`open:${path}`, { errno })],
  [/^open RDONLY=/, () => begin('open:/dev/HAX:RDONLY', { errno: '0' })],
  [/^open (vm|vcpu)=\d+ errno (\d+)/, ([, what, errno]) => begin(`open:${what}`, { errno })],
  [/^open vcpu=\d+ errno (\d+)/, ([, errno]) => begin('open:vcpu', { errno })],
  [/^open vm2=/, () => begin('open:vm2', { errno: '0' })],
  [/^second open (?:of )?(vm|vcpu).*?(-1)\D+(\d+)/, ([, what, , errno]) => begin(`open-again:${what}`, { errno })],
  [/^closed vm2/, () => begin('close:vm2', {})],
  [/^initial GET_REGS/, () => begin('GET_REGS', {})],
  [/^after SET_REGS: +(.*)/, ([, rest]) => begin('GET_REGS', registers(rest))],
  [
    /^(RAM 3000): /,
    () => {
      begin('memory', { ram: '' });
      dump = call.fields[0];
    },
  ],
  [/^ GET_MSR (\S+) (.*)/, ([, msr, rest]) => begin(`GET_MSR:${msr}`, pairs(rest))],
  [/^CREATE_VM (\d+) (ret=.*)/, ([, i, rest]) => begin(`CREATE_VM:${i}`, pairs(rest))],
  [/^ RUN ret=(\S+) reason=(\S+) status=(\S+) in/, ([, ret, reason, status]) => begin('RUN:spin', { ret, reason, status })],
  [/^ (ret=.*reason=.*)/, ([, rest]) => begin('RUN:tunnel', pairs(rest))],
  [/^ other thread RUN: (.*)/, ([, rest]) => add(pairs(rest))],
  [/^ loops=\d+ (.*)/, ([, rest]) => begin('RUN:signal', pairs(rest))],
  [/^ RUN after vm close r=(\S+) (.*)/, ([, , rest]) => add(pairs(rest))],
  [/^ vcpu1 apicbase=(\S+)/, ([, value]) => add({ apicbase: value })],
  [/^ parent ram\[1001\]=(\S+)/, ([, value]) => begin('memory', { 'ram[1001]': value })],
  [/^madvise: (.*)/, ([, values]) => values.split(' ').forEach((ret, i) => begin(`madvise:${i}`, { ret }))],
  [
    /^ +ram\[4000\.\.4004\]=(.*) ram\[5000\.\.5003\]=(.*) \[5201\]=(..)/,
    ([, a, b, c]) => begin('memory', { 4000: tight(a), 5000: tight(b), 5201: c }),
  ],
  [
    /^(vm\d\d|vcpu\d\d)$/,
    ([, name]) => {
      if (call.name !== 'list') begin('list', {});
      add({ [name]: 'there' });
    },
  ],
  [
    /^ *(.*?):? (req=0x.*)/,
    ([, name, rest]) => {
      begin(name.replace(/.*;/, ''), {});
      add(pairs(rest.replace(/pad=(\S+) (\S+) (\S+)/, 'pad=$1$2$3').replace(/req=0x/, 'req=')));
    },
  ],
  [/^(SET_RAM ROM F0000) (ret.*)/, ([, name, rest]) => begin(name, pairs(rest))],
  [
    /^RUN (ret=.*)/,
    ([, rest]) => {
      begin('RUN', pairs(rest));
      const before = /before: (\d+)/.exec(rest);
      if (before) add({ interrupts: before[1] });
    },
  ],
  [
    /^ +fn=(\S+) (.*)/,
    ([, leaf, rest]) =>
      add(
        Object.fromEntries(
          Object.entries(pairs(rest.replace(/pad=(\S+) (\S+) (\S+)/, 'pad=$1$2$3'))).map(([name, value]) => [`${leaf}.${name}`, value]),
        ),
      ),
  ],
  [/^ +([0-9a-f]{3}): ([0-9a-f ]+)$/, ([, , hex]) => dump && (dump[1] += tight(hex))],
  [
    /^ +(\S.*)\[([\d. +]+)\]: ?([0-9a-f ]*)$/,
    ([, label, , hex]) => {
      add({ [label.trim().replace(/ /g, '_')]: tight(hex) });
      dump = call.fields.at(-1);
    },
  ],
  [/^ tunnel page nonzero bytes (\d+)/, ([, value]) => add({ nonzero: value })],
  [/^ status=(\d+)(.*)/, ([, status, rest]) => add({ status, ...registers(rest) })],
  [/^( done=.*| readback.*| total=.*| id2=.*| compat=.*| wstatus=.*| r=\d+| +pagefault .*| +debug .*)$/, ([, rest]) => add(pairs(rest))],
  [/^#\d+ +tun: (.*)/, ([, rest]) => add(pairs(rest))],
  [/^ +(tun|io|fastmmio|iob\[0\].*|rax|cs|ss|ds|es|fs|gs|ldt|tr|gdt|idt|r8-15|dr0-3)/, (match) => add(registers(match.input))],
];

for (const line of fs.readFileSync(log, 'utf8').split('@@DMESG')[0].split('\n')) {
  if (skipped.some((pattern) => pattern.test(line))) continue;
  const rule = rules.find(([pattern]) => pattern.test(line));
  if (rule) rule[1](rule[0].exec(line));
  else process.stderr.write(`left out: ${line}\n`);
}

// Where the process's own memory lay is no fact about the driver.
const addressless = (value) => value.replace(/[0-9a-f]{10}7[ef]0000/g, '<address>').replace(/^7[ef][0-9a-f]{10}$/, '<address>');

const calls = out.filter(({ name }) => name);
const count = calls.reduce((sum, { fields }) => sum + fields.length, 0);
console.log(`# ${calls.length} calls, ${count} fields`);
for (const { section, name, fields } of out) {
  if (section) console.log(`@ ${section}`);
  else console.log([name, ...fields.map(([key, value]) => `${key}=${addressless(value)}`)].join(' '));
}
