'use strict';

// What the npm package may hold, what it has to hold, and how large it may be.

const { PREBUILDS } = require('./prebuilds.js');

// Everything else does not belong into it: tests, tools, sources of the TypeScript, source maps.
const ALLOWED = [
  /^dist\/[\w/-]+\.(d\.ts|js)$/,
  /^native\/(addon\.cc|sources\.json)$/,
  /^native\/(core|binding|backends)\/[\w/]+\.(cc|h)$/,
  /^docs\/errors\/\w+\.md$/,
  /^(binding\.gyp|package\.json|scripts\/install\.js|scripts\/lib\/headers\.js)$/,
  /^(CHANGELOG\.md|LICENSE|README\.md)$/,
  new RegExp(`^(${PREBUILDS.map(({ file }) => file.replaceAll('.', '\\.')).join('|')})$`),
];

const REQUIRED = [
  'dist/index.js',
  'dist/index.d.ts',
  'dist/testing.js',
  'dist/testing.d.ts',
  'dist/cli/main.js',
  'binding.gyp',
  'native/sources.json',
  'native/addon.cc',
  'scripts/install.js',
  'scripts/lib/headers.js',
  'docs/errors/ERR_HAX_NO_ADDON.md',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
];

// Bytes and files; about twice what it is now, so that growth is seen and a forgotten binary is not let through.
const LIMITS = { size: 2_000_000, unpackedSize: 6_000_000, entryCount: 700 };

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

module.exports = { judgeContents };
