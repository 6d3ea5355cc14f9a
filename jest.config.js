'use strict';

const fs = require('node:fs');
const path = require('node:path');

// Projects: unit needs neither device nor addon; the others import the built package as a user does.
// HAX_TEST_SOURCE=1 makes them run lib/ itself instead of dist/, so that one coverage report holds all of them.
const fromSource = process.env.HAX_TEST_SOURCE === '1';
const shared = {
  rootDir: __dirname,
  testEnvironment: '<rootDir>/test/support/environment.js',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' }, sourceMaps: 'inline' },
    ],
  },
  moduleNameMapper: {
    '^node-hax$': `<rootDir>/${fromSource ? 'lib/index.ts' : 'dist/index.js'}`,
    '^node-hax/testing$': `<rootDir>/${fromSource ? 'lib/testing.ts' : 'dist/testing.js'}`,
  },
};

const project = (name, extra = {}) => ({
  ...shared,
  displayName: name,
  // Jest lists what lies below: all of node_modules takes 12 s on host B.
  roots: ['lib', `test/${name}`]
    .filter((directory) => fs.existsSync(path.join(__dirname, directory)))
    .map((directory) => `<rootDir>/${directory}`),
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  ...extra,
});

module.exports = {
  // A test that hangs fails; one that waits for a busy machine, or for a host ten times as slow, does not: some take 20 s on a quiet one.
  testTimeout: 240_000,
  collectCoverageFrom: ['lib/**/*.ts', '!lib/**/*.d.ts'],
  projects: [project('unit'), project('contract'), project('native'), project('guest'), project('boot')],
};
