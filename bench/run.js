#!/usr/bin/env node
'use strict';

// npm run bench: all that is measured, by one command. README.md beside this file has the methods.

const path = require('node:path');
const table = require('./lib/dispatch-table.js');
const { gate } = require('./lib/judge.js');
const { host, save, today } = require('./lib/results.js');
const { measureIn } = require('./lib/row.js');
const { writeOut } = require('../scripts/lib/write-out.js');

const rows = {
  dispatch: 'what handing an exit to JavaScript costs over C; posted writes',
  'event-loop': "guest CPU time lost to the event loop, inline, over C's loop",
  latency: 'TCP echo, timers and file reads beside a guest',
  threaded: 'an exit of a vCPU on a thread of its own',
  kick: 'from a kick to the return, and lost kicks',
  ends: 'the end of a process and of a worker with four spinning guests',
  memory: 'resident memory of each further idle machine',
  counters: 'what the always-on counters cost',
};

const USAGE = `Usage: npm run bench -- [ROW...] [--all] [--quick] [--json] [--save HOST] [--check [--tries N] [--plant]]

Prints the row "dispatch", or the rows that are named:
${Object.entries(rows)
  .map(([name, what]) => `  ${name.padEnd(12)} ${what}\n`)
  .join('')}
  --all        every row
  --quick      fewer and shorter rounds
  --rounds N   of kicks and of ends: 1,000,000 and 100 unless quick
  --json       one line of JSON
  --save HOST  into bench/results/DATE-HOST.json as well
  --check      holds the figures to bench/limits.json: exit status 1 and a sentence for each that is over its limit; all rows, unless some
               are named. A row that fails is measured again, 3 times in all unless --tries says otherwise
  --plant      has each exit cost some 100 ns more, to see that --check finds it
`;

const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

/** The figures of one row, under the names that they have as JSON. */
function measure(name, options, onDispatchRow) {
  if (name === 'dispatch') {
    const results = table.measureTable(options, onDispatchRow);
    return options.check ? { details: results } : table.asJson(results);
  }
  return { [camel(name)]: measureIn(path.join(__dirname, `${name}.js`), options) };
}

function print(name, figures, text) {
  if (name === 'dispatch') return;
  text.write(`\n${name}: ${rows[name]}\n`);
  if (figures.skipped) return void text.write(`  skipped: ${figures.skipped}\n`);
  for (const [what, value] of require(`./${name}.js`).describe(figures)) text.write(`  ${what}: ${value}\n`);
}

/** Measures `names`, prints each to `text` as it comes, and gives all figures. */
function measureAll(names, options, text) {
  const results = {};
  for (const name of names) {
    if (name === 'dispatch') text.write(table.head());
    const figures = measure(name, options, (row, result) => text.write(table.describeRow(row, result)));
    Object.assign(results, figures);
    print(name, figures[camel(name)], text);
    if (name === 'dispatch' && table.isBusy(figures.details))
      process.stderr.write('bench: this machine did other work meanwhile; figures of a quiet one are lower\n');
  }
  return results;
}

async function check(names, options, tries, text) {
  const { limits } = require('./limits.json');
  const began = performance.now();
  const failures = await gate(limits, names, (left) => measureAll(left, options, text), tries);
  const excused = failures.filter(({ excuse }) => excuse !== undefined);
  for (const { text: sentence, excuse } of failures)
    process.stderr.write(`bench: ${sentence}${excuse === undefined ? '' : `; not judged: ${excuse}`}\n`);
  const held = limits.filter(({ row }) => names.includes(row)).length - excused.length;
  if (failures.length > excused.length) process.exitCode = 1;
  else text.write(`\nall ${held} figures are within their limits (${Math.round((performance.now() - began) / 1000)} s)\n`);
}

function parse(words) {
  const options = { names: [], tries: 3 };
  const number = (word, value) => {
    if (!/^[1-9][0-9]{0,8}$/.test(value ?? '')) throw new Error(`${word} takes a number`);
    return Number(value);
  };
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === '--tries' || word === '--rounds') options[word.slice(2)] = number(word, words[++i]);
    else if (word === '--save') {
      options.save = words[++i];
      if (!/^[a-z0-9-]+$/.test(options.save ?? '')) throw new Error('--save takes a name of lower-case letters, digits and hyphens');
    } else if (['--all', '--check', '--help', '--json', '--plant', '--quick'].includes(word)) options[word.slice(2)] = true;
    else if (Object.hasOwn(rows, word)) options.names.push(word);
    else throw new Error(`unknown ${word.startsWith('-') ? 'option' : 'row'} '${word}'`);
  }
  if (options.all || (options.check && options.names.length === 0)) options.names = Object.keys(rows);
  if (options.names.length === 0) options.names = ['dispatch'];
  return options;
}

async function main(words) {
  let options;
  try {
    options = parse(words);
  } catch (error) {
    process.stderr.write(`bench: ${error.message}\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (options.help) return writeOut(USAGE);
  const { names, tries, ...rest } = options;
  const passed = { quick: rest.quick, check: rest.check, plant: rest.plant, rounds: rest.rounds };
  const text = options.json ? { write: () => undefined } : process.stdout;
  if (options.check) return check(names, passed, tries, text);
  const results = measureAll(names, passed, text);
  if (options.json) process.stdout.write(`${JSON.stringify({ ...results, date: today(), ...host() })}\n`);
  if (options.save) process.stderr.write(`bench: kept in ${path.relative(process.cwd(), save(options.save, results))}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  // What a row of its own said is on standard error already.
  if (error.status === undefined) process.stderr.write(`bench: ${error.stack}\n`);
  process.exitCode = 1;
});
