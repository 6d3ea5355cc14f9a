#!/usr/bin/env node
// The file behind the command. It starts hax.js beside it, one script of the whole command, from what V8 has compiled of it beforehand where
// that is there: half of the time from a shell to a guest's first instruction would go into compiling. scripts/build makes both.
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';

type Command = (exports: object, require: NodeJS.Require, directory: string) => void;

// With --preserve-symlinks-main this is the link in node_modules/.bin, and nothing is beside it.
const directory = dirname(realpathSync(__filename));
const script = join(directory, 'hax.js');

/** The compiled code for this V8; undefined where there is none, or only of another hax.js. V8 itself refuses what it cannot use. */
function compiled(): Buffer | undefined {
  const file = join(directory, `hax.${process.versions.v8}.cache`);
  try {
    return statSync(file).mtimeMs >= statSync(script).mtimeMs ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  }
}

// It is ASCII, which is read fastest like this.
const command = new Script(readFileSync(script, 'latin1'), { filename: script, cachedData: compiled() });
// Not from 'node:module', which brings Node's loader of ESM.
const { createRequire } = module.constructor as typeof import('node:module');
const requireBeside = directory === __dirname ? require : createRequire(script);
(command.runInThisContext() as Command)({}, requireBeside, directory);
