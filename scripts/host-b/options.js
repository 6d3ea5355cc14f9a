'use strict';

const fs = require('node:fs');
const path = require('node:path');

const USAGE = `Usage: scripts/test-in-vm [OPTION]... [--] COMMAND [ARGUMENT]...

Runs COMMAND inside host B, an emulated PC whose kernel offers a genuine /dev/kvm (kvm_amd). It sees this machine's files, in the same
working directory; what it writes vanishes, except below directories given with --share. Its standard input is empty.

  --cpus N            processors of host B (default 1: with two it sometimes hangs)
  --memory MIB        its memory (default 2048)
  --timeout SECONDS   limit for each start of host B, its boot included; at most 120 (default 110)
  --share DIR         writable directory, shared with this machine (repeatable)
  --user[=UID:GID]    run COMMAND as this user and not as root (default: the caller); /dev/kvm is opened to the group
  --status-file FILE  write {"result":...,"status":...,"restarts":...,"seconds":...} as JSON
  --console FILE      keep what host B's kernel prints
  --help              print this

Exit status: COMMAND's own (128+n for signal n), or, with one line on standard error that begins with "test-in-vm:",
  2 usage, 120 timed out, 121 inner kernel panic, 122 host B hung twice, 123 host B could not be set up.
`;

class UsageError extends Error {}

function integer(name, text, least, most) {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) throw new UsageError(`${name} takes a whole number from ${least} to ${most}, not '${text}'`);
  return value;
}

function directory(name, text) {
  const full = path.resolve(text);
  if (!fs.statSync(full, { throwIfNoEntry: false })?.isDirectory()) throw new UsageError(`${name}: '${text}' is not a directory`);
  return full;
}

function userAndGroup(text) {
  const match = /^(\d+):(\d+)$/.exec(text);
  if (!match) throw new UsageError(`--user takes UID:GID in numbers, not '${text}'`);
  return { uid: Number(match[1]), gid: Number(match[2]) };
}

// What --user means when the word after it may be its value or already the command.
function optionalUser(given, rest) {
  if (given !== undefined) return userAndGroup(given);
  if (rest.length > 0 && /^\d+:\d+$/.test(rest[0])) return userAndGroup(rest.shift());
  return { uid: process.getuid(), gid: process.getgid() };
}

function parse(words) {
  const options = { cpus: 1, memory: 2048, timeout: 110, shares: [], user: undefined, statusFile: undefined, console: undefined };
  const rest = [...words];
  while (rest.length > 0 && rest[0].startsWith('-')) {
    const word = rest.shift();
    if (word === '--') break;
    const [, name, given] = /^(--?[^=]*)(?:=(.*))?$/s.exec(word);
    const value = () => {
      const text = given ?? rest.shift();
      if (text === undefined) throw new UsageError(`${name} takes a value`);
      return text;
    };
    if (name === '--help') return { help: true };
    else if (name === '--cpus') options.cpus = integer(name, value(), 1, 16);
    else if (name === '--memory') options.memory = integer(name, value(), 256, 65536);
    else if (name === '--timeout') options.timeout = integer(name, value(), 1, 120);
    else if (name === '--share') options.shares.push(directory(name, value()));
    else if (name === '--user') options.user = optionalUser(given, rest);
    else if (name === '--status-file') options.statusFile = path.resolve(value());
    else if (name === '--console') options.console = path.resolve(value());
    else throw new UsageError(`unknown option '${word}'`);
  }
  if (rest.length === 0) throw new UsageError('no command given');
  return { ...options, command: rest };
}

module.exports = { parse, USAGE, UsageError };
