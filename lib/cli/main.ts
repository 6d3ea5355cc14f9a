#!/usr/bin/env node
// The file behind the command. It starts hax.js beside it, one script of the whole command, from what V8 has compiled of it beforehand where
// that is there: half of the time from a shell to a guest's first instruction would go into compiling. scripts/build makes both.
import { readFileSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { Script } from 'node:vm';

type Command = (exports: object, require: NodeJS.Require, directory: string) => void;

const script = path.join(__dirname, 'hax.js');

/** The compiled code for this V8; undefined where there is none, or only of another hax.js. V8 itself refuses what it cannot use. */
function compiled(): Buffer | undefined {
  const file = path.join(__dirname, `hax.${process.versions.v8}.cache`);
  try {
    return statSync(file).mtimeMs >= statSync(script).mtimeMs ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  }
}

// It is ASCII, which is read fastest like this.
const command = new Script(readFileSync(script, 'latin1'), { filename: script, cachedData: compiled() });
(command.runInThisContext() as Command)({}, require, __dirname);
