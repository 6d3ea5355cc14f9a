'use strict';

const fs = require('node:fs');
const path = require('node:path');
const js = require('@eslint/js');
const { defineConfig } = require('eslint/config');
const { configs } = require('typescript-eslint');

// Commands without an extension: the shell's are not eslint's.
const commands = fs
  .readdirSync(path.join(__dirname, 'scripts'), { withFileTypes: true })
  .filter(
    (entry) => entry.isFile() && fs.readFileSync(path.join(__dirname, 'scripts', entry.name), 'utf8').startsWith('#!/usr/bin/env node\n'),
  )
  .map((entry) => `scripts/${entry.name}`);

const globals = [
  'AbortController',
  'AbortSignal',
  'Atomics',
  'Buffer',
  'SharedArrayBuffer',
  'URL',
  'WebAssembly',
  '__dirname',
  '__filename',
]
  .concat(['clearImmediate', 'clearInterval', 'clearTimeout', 'console', 'module', 'performance', 'process', 'queueMicrotask', 'require'])
  .concat(['setImmediate', 'setInterval', 'setTimeout', 'structuredClone']);
const node = { globals: Object.fromEntries(globals.map((name) => [name, 'readonly'])) };

module.exports = defineConfig([
  { ignores: ['build/', 'coverage/', 'dist/', 'node_modules/', 'out/', 'prebuilds/'] },
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  { files: ['**/*.js', ...commands], languageOptions: { sourceType: 'commonjs', ...node } },
  { files: ['**/*.mjs'], languageOptions: { sourceType: 'module', ...node } },
  {
    files: ['**/*.ts'],
    extends: [configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: path.join(__dirname, 'test/tsconfig.json') } },
    rules: {
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true }],
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A handler's result is a value, nothing, or a promise: the type says so with void.
      '@typescript-eslint/no-invalid-void-type': 'off',
      // Register files and typed arrays: the index is right by construction.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers out of shared memory are compared with the enum that names them.
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      // The public interface checks at run time what a caller without types gets wrong.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unnecessary-type-conversion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Jest's matchers are any, and fakes implement asynchronous interfaces without waiting for anything.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['lib/**', 'scripts/**', 'bench/**'], rules: { 'max-lines': ['error', 500] } },
  { files: ['lib/**/generated/**'], rules: { 'max-lines': 'off' } },
]);
