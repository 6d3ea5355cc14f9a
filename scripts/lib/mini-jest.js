'use strict';

// Test files of ours, loaded and run again and again in one process: what scripts/mutate-kvm-layouts needs and Jest does not offer.
// TypeScript through swc, node-hax as lib/ itself, Jest's own matchers.

const Module = require('node:module');
const fs = require('node:fs');
const path = require('node:path');
const { transformSync } = require('@swc/core');
const { expect } = require('expect');

const root = path.resolve(__dirname, '../..');

function install() {
  const options = { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } };
  require.extensions['.ts'] = (module, filename) => {
    module._compile(transformSync(fs.readFileSync(filename, 'utf8'), { ...options, filename }).code, filename);
  };
  const resolve = Module._resolveFilename;
  Module._resolveFilename = (request, ...rest) =>
    request === 'node-hax' ? path.join(root, 'lib/index.ts') : resolve.call(Module, request, ...rest);
}

// The tests of files: { name, run }; hooks of the describe blocks around a test belong to it.
function load(files) {
  const tests = [];
  const top = () => ({ title: '', beforeAll: [], beforeEach: [], afterEach: [], parent: undefined });
  let block = top();
  const hook = (name) => (fn) => void block[name].push(fn);
  const it = (title, fn) => {
    const blocks = [];
    for (let each = block; each; each = each.parent) blocks.unshift(each);
    const run = async () => {
      for (const each of blocks) {
        for (const fn of each.beforeAll.splice(0)) await fn();
        for (const fn of each.beforeEach) await fn();
      }
      try {
        await fn();
      } finally {
        for (const each of blocks) for (const after of each.afterEach) await after();
      }
    };
    tests.push({ name: [...blocks.map((each) => each.title), title].filter(Boolean).join(' › '), run });
  };
  it.skip = () => undefined;
  it.each = (rows) => (title, fn) => {
    for (const row of rows) {
      const values = Array.isArray(row) ? row : [row];
      it(title.replace('%s', values[0]), () => fn(...values));
    }
  };
  const describe = (title, body) => {
    block = { ...top(), title, parent: block };
    body();
    block = block.parent;
  };
  const hooks = Object.fromEntries(['beforeAll', 'beforeEach', 'afterEach'].map((name) => [name, hook(name)]));
  Object.assign(globalThis, { describe, it, expect, afterAll: () => undefined, ...hooks });
  for (const file of files) {
    block = top();
    require(path.join(root, file));
  }
  return tests;
}

module.exports = { install, load };
