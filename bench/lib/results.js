'use strict';

// Figures that are kept: bench/results/DATE-HOST.json. A row measured again on the same day replaces the one before.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { root } = require('./raw.js');

/** What is told of the host: nothing that names the machine. */
const host = () => ({ node: process.versions.node, cpus: os.cpus().length, cpu: os.cpus()[0]?.model.trim() ?? 'unknown' });

const today = () => new Date().toISOString().slice(0, 10);

function save(name, results, directory = path.join(root, 'bench/results')) {
  const file = path.join(directory, `${today()}-${name}.json`);
  const before = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  fs.mkdirSync(directory, { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify({ date: today(), host: { name, ...host() }, ...before, ...results }, null, 2)}\n`);
  return file;
}

module.exports = { host, save, today };
