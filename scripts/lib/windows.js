'use strict';

// The addon for Windows on x86-64, made on Linux with mingw-w64 and linked against import definitions of node.exe, made of what Node's
// headers declare.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const PREFIX = 'x86_64-w64-mingw32';
const COMPILER = `${PREFIX}-g++-posix`; // std::mutex needs the variant with POSIX threads
const PACKAGE = 'g++-mingw-w64-x86-64-posix';

const root = path.resolve(__dirname, '../..');
const out = path.join(root, 'out/windows');

function run(program, args) {
  const done = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (done.status !== 0)
    throw new Error(`${program} failed${done.error ? `: ${done.error.message}` : ''}\n${done.stdout ?? ''}${done.stderr ?? ''}`);
  return done.stdout;
}

// The functions that node.exe exports: Node-API as its headers declare it.
function nodeApi(include) {
  const text = ['js_native_api.h', 'node_api.h'].map((name) => fs.readFileSync(path.join(include, name), 'utf8')).join('\n');
  const names = [...text.matchAll(/^NAPI_EXTERN[^;(]*?\b(\w+)\s*\(/gm)].map(([, name]) => name);
  const wrapped = [...text.matchAll(/NAPI_CDECL\s+(\w+)\s*\(/g)].map(([, name]) => name);
  return [...new Set([...names, ...wrapped])].filter((name) => /^(napi|node_api)_/.test(name)).sort();
}

function compile(file, includes, optimize) {
  const object = path.join(out, `${file.replaceAll('/', '_')}.o`);
  const flags = ['-std=c++17', optimize, '-fno-exceptions', '-Wall', '-Wextra', '-Werror', '-DNAPI_VERSION=8'];
  flags.push('-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS');
  flags.push('-DBUILDING_NODE_EXTENSION', '-D_WIN32_WINNT=0x0A00');
  // Headers that are not ours are not to be judged.
  run(COMPILER, [...flags, '-I', 'native', ...includes.flatMap((each) => ['-isystem', each]), '-c', `native/${file}`, '-o', object]);
  return object;
}

// Why it cannot be built here, or undefined.
function whyNot() {
  if (spawnSync(COMPILER, ['--version']).status === 0) return undefined;
  return `${COMPILER} is missing; as root: apt-get install --no-install-recommends ${PACKAGE}`;
}

// Compiles and links; { addon, files }.
function buildWindows(headers, optimize = '-O1') {
  const include = path.join(headers, 'include/node');
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out, { recursive: true });
  const sources = JSON.parse(fs.readFileSync(path.join(root, 'native/sources.json'), 'utf8'));
  const files = ['common', 'haxm', 'win'].flatMap((key) => sources[key]);
  const includes = [include, require('node-addon-api').include_dir];
  const objects = files.map((file) => compile(file, includes, optimize));

  fs.writeFileSync(
    path.join(out, 'node.def'),
    ['LIBRARY node.exe', 'EXPORTS', ...nodeApi(include).map((name) => `  ${name}`), ''].join('\n'),
  );
  run(`${PREFIX}-dlltool`, ['--input-def', path.join(out, 'node.def'), '--output-lib', path.join(out, 'libnode.a')]);
  const addon = path.join(out, 'node_hax.node');
  run(COMPILER, ['-shared', '-static', '-s', '-o', addon, ...objects, '-L', out, '-lnode']);
  return { addon, files };
}

module.exports = { buildWindows, whyNot };
