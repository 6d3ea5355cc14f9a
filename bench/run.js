#!/usr/bin/env node
'use strict';

// npm run bench [-- --json] [--quick]: the dispatch table. README.md beside this file has the method.

const { measure } = require('./dispatch.js');

const USAGE = 'Usage: npm run bench -- [--json] [--quick]\n';

async function kvm(options) {
  try {
    return await measure({ backend: 'kvm', ...options });
  } catch (error) {
    if (error.code !== 'ERR_HAX_NO_DEVICE' && error.code !== 'ERR_HAX_NO_PERMISSION') throw error;
    return { skipped: error.message };
  }
}

async function main(words) {
  const unknown = words.find((word) => !['--json', '--quick'].includes(word));
  if (unknown !== undefined) {
    process.stderr.write(`bench: unknown option '${unknown}'\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const quick = words.includes('--quick');
  const rounds = quick ? 5 : 21;
  const fast = { backend: 'null', exits: quick ? 200_000 : 1_000_000, rounds };
  const slow = { backend: 'null', entryNs: 1200, exits: quick ? 20_000 : 100_000, rounds };
  const real = { exits: quick ? 8_000 : 24_000, rounds };
  const table = {
    'null device, one class': await measure({ ...fast, devices: 1 }),
    'null device, eight classes': await measure({ ...fast, devices: 8 }),
    'null device of 1.2 µs, one class': await measure({ ...slow, devices: 1 }),
    'null device of 1.2 µs, eight classes': await measure({ ...slow, devices: 8 }),
    '/dev/kvm, one class': await kvm({ ...real, devices: 1 }),
  };
  const [one, eight, one1200, eight1200, host] = Object.values(table);
  if (words.includes('--json')) {
    const percent = host.skipped === undefined ? { ns: host.ns, percent: Math.round((host.ns / host.c) * 1000) / 10 } : host;
    const result = {
      dispatch: { null: { one, eight }, null1200: { one: one1200, eight: eight1200 }, kvm: { ...host, ...percent } },
      node: process.versions.node,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  process.stdout.write(
    `${'ns an exit, thread CPU time'.padEnd(40)}${['raw C', 'node-hax', 'over C'].map((head) => head.padStart(10)).join('')}\n`,
  );
  for (const [name, row] of Object.entries(table)) {
    const cells =
      row.skipped === undefined
        ? [row.c, row.js, row.ns].map((value) => value.toFixed(1).padStart(10)).join('')
        : `  skipped: ${row.skipped}`;
    process.stdout.write(`${name.padEnd(40)}${cells}\n`);
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`bench: ${error.stack}\n`);
  process.exitCode = 1;
});
