'use strict';

// What is wrong with a prebuilt binary: its imports, its exports, its size.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const { LARGEST } = require('./prebuilds.js');

function tool(program, args) {
  const env = { ...process.env, LC_ALL: 'C' };
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

// -1, 0 or 1, by the numbers between the dots.
function compareVersions(a, b) {
  const [left, right] = [a, b].map((each) => each.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

function judgeElf(file, { libraries, floor }) {
  const problems = [];
  const dynamic = tool('readelf', ['--wide', '--dynamic', file]);
  for (const [, name] of dynamic.matchAll(/\(NEEDED\)\s+Shared library: \[(.*?)\]/g))
    if (!libraries.test(name)) problems.push(`it needs ${name}, which not every system has`);

  const symbols = tool('readelf', ['--wide', '--dyn-syms', file]);
  for (const [, symbol, family, version] of symbols.matchAll(/ UND (\S+)@+([A-Z]+)_([\d.]+)/g)) {
    const most = floor[family];
    if (most === undefined) problems.push(`it needs ${symbol} of ${family}_${version}, and nothing of ${family} is expected`);
    else if (compareVersions(version, most) > 0) problems.push(`it needs ${symbol} of ${family}_${version}; at most ${family}_${most}`);
  }
  if (!/ (?!UND)\S+ napi_register_module_v\d+$/m.test(symbols)) problems.push('it exports no napi_register_module');
  return problems;
}

function judgePe(file, { libraries }) {
  const problems = [];
  const dump = tool('objdump', ['-p', file]);
  const names = [...dump.matchAll(/DLL Name: (\S+)/g)].map(([, name]) => name);
  for (const name of names) if (!libraries.test(name)) problems.push(`it needs ${name}, which not every Windows has`);
  if (!names.some((name) => /^node\.exe$/i.test(name))) problems.push('it imports nothing from node.exe');
  if (!/\bnapi_register_module_v\d+\b/.test(dump)) problems.push('it exports no napi_register_module');
  return problems;
}

// Sentences; none when all is well.
function judgePrebuild(file, expected) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (!stat) return ['it is not there'];
  const size = stat.size > LARGEST ? [`it has ${stat.size} bytes; at most ${LARGEST}`] : [];
  try {
    return [...size, ...(expected.format === 'elf' ? judgeElf : judgePe)(file, expected)];
  } catch (error) {
    return [...size, `it cannot be read: ${error.message.split('\n')[0]}`];
  }
}

module.exports = { compareVersions, judgePrebuild };
