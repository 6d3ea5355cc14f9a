'use strict';

// What the npm package may hold, what it has to hold, and how large it may be.

const fs = require('node:fs');
const path = require('node:path');
const { PREBUILDS } = require('./prebuilds.js');

// Everything else does not belong into it: tests, tools, sources of the TypeScript, source maps.
const ALLOWED = [
  /^dist\/[\w/-]+\.(d\.ts|js)$/,
  /^native\/(addon\.cc|sources\.json)$/,
  /^native\/(core|binding|backends)\/[\w/]+\.(cc|h)$/,
  /^docs\/([\w/-]+\.md|api\.txt)$/,
  /^examples\/[\w/-]+\.(md|mjs|test\.mjs|s)$/,
  /^\.github\/\w+\.md$/,
  /^(binding\.gyp|package\.json|scripts\/install\.js|scripts\/lib\/(code-cache|code-cache-boot|headers)\.js)$/,
  /^(CHANGELOG\.md|LICENSE|README\.md)$/,
  new RegExp(`^(${PREBUILDS.map(({ file }) => file.replaceAll('.', '\\.')).join('|')})$`),
];

const REQUIRED = [
  'dist/index.js',
  'dist/index.d.ts',
  'dist/testing.js',
  'dist/testing.d.ts',
  'dist/cli/hax.js',
  'dist/cli/main.js',
  'binding.gyp',
  'native/sources.json',
  'native/addon.cc',
  'scripts/install.js',
  'scripts/lib/code-cache.js',
  'scripts/lib/code-cache-boot.js',
  'scripts/lib/headers.js',
  'docs/errors/ERR_HAX_NO_ADDON.md',
  'docs/getting-started.md',
  'examples/README.md',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
];

// Bytes and files; about twice what it is now, so that growth is seen and a forgotten binary is not let through.
const LIMITS = { size: 2_000_000, unpackedSize: 6_000_000, entryCount: 700 };

// A document of the package may link to what is in the package: who reads it may have no network, and the page on npm has nothing else.
function judgeLinks(names, directory) {
  const there = (target) => names.some((name) => name === target || name.startsWith(`${target}/`));
  return names
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => {
      const text = fs.readFileSync(path.join(directory, name), 'utf8');
      const targets = [...text.matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => target).filter((target) => !/^[a-z]+:/.test(target));
      const dead = targets.filter((target) => !there(path.posix.join(path.posix.dirname(name), target).replace(/\/$/, '')));
      return dead.map((target) => `${name} links to ${target}, which is not in it`);
    });
}

// `packed` is what npm pack --json tells. Sentences; none when all is well.
function judgeContents(packed, prebuilds) {
  const names = packed.files.map((file) => file.path);
  const foreign = names.filter((name) => !ALLOWED.some((allowed) => allowed.test(name)));
  const missing = [...REQUIRED, ...prebuilds].filter((name) => !names.includes(name));
  const over = Object.entries(LIMITS).filter(([key, most]) => packed[key] > most);
  return [
    ...foreign.map((name) => `${name} does not belong into it`),
    ...missing.map((name) => `${name} is missing`),
    ...over.map(([key, most]) => `${key} is ${packed[key]}; at most ${most}`),
  ];
}

module.exports = { judgeContents, judgeLinks };
