#!/usr/bin/env node
// The file behind the command; scripts/build makes one file of it and all that it uses.
import { main } from './program';

void main(process.argv.slice(2)).then((code) => {
  // What is still in a pipe goes out first; standard input or a socket must not keep the process.
  process.stdout.write('', () => process.exit(code));
});
