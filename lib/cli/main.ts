#!/usr/bin/env node
// The file behind the command; scripts/build makes one file of it and all that it uses.
import { main } from './program';

process.stdout.on('error', () => {
  // `hax run` listens too and ends the guest first.
  if (process.stdout.listenerCount('error') > 1) return;
  process.stderr.write('hax: standard output cannot be written: its reader is gone\n');
  process.exit(1);
});
process.stderr.on('error', () => undefined); // nobody is left to tell
void main(process.argv.slice(2)).then((code) => {
  // What is still in a pipe goes out first; standard input or a socket must not keep the process.
  process.stdout.write('', () => process.exit(code));
});
