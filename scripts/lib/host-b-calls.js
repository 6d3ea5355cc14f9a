'use strict';

// Which test files share a call of host B. A call has two minutes, of which starting host B and the tests takes 10 s: files that are short go
// together, by what they took when test/host-b-seconds.json was recorded, and one that is not in it has a call of its own.

const path = require('node:path');

const BUDGET = 60; // seconds that the files of a call may take together; a busy machine needs three quarters more

const keyOf = ({ project, device }) => `${project}${device.name}`;

// From jobs ({ project, device, file } each) to calls ({ project, device, files }), the longest first.
function pack(jobs, table) {
  const known = ({ file, ...job }) => table[keyOf(job)]?.[path.basename(file)] ?? BUDGET;
  const calls = [];
  for (const job of [...jobs].sort((a, b) => known(b) - known(a))) {
    const seconds = known(job);
    const fits = (call) => keyOf(call) === keyOf(job) && call.seconds + seconds <= BUDGET;
    const call = calls.find(fits);
    if (call) {
      call.files.push(job.file);
      call.seconds += seconds;
    } else {
      const { project, device, file } = job;
      calls.push({ project, device, files: [file], seconds });
    }
  }
  return calls.sort((a, b) => b.seconds - a.seconds);
}

// What the table should say after these runs ({ project, device, results } each).
function secondsOf(runs) {
  const table = {};
  for (const run of runs) {
    for (const { name, startTime, endTime } of run.results?.testResults ?? []) {
      (table[keyOf(run)] ??= {})[path.basename(name)] = Math.ceil((endTime - startTime) / 1000);
    }
  }
  return table;
}

module.exports = { pack, secondsOf };
