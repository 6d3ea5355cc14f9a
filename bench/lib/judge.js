'use strict';

// The gate: figures against the limits of limits.json.

/** The figure that `figure` names, `dispatch.null.one.ns`; undefined where there is none, { skipped } where it could not be measured. */
function find(results, figure) {
  let at = results;
  for (const name of figure.split('.')) {
    if (at?.skipped !== undefined) return { skipped: at.skipped };
    at = at?.[name];
  }
  return at;
}

/** Why a figure says nothing about node-hax here: what does not depend on it is over the limit of its own, too. */
function excuse(results, unless) {
  const value = unless && find(results, unless.figure);
  return value > unless?.over ? unless.what.replace('%s', value) : undefined;
}

/**
 * One sentence for each figure that is over its limit, or under it where the limit is one from below, or missing; with an `excuse` where the
 * machine is to blame. Only figures of the rows that were measured are looked at.
 */
function judge(limits, results, rows) {
  const failures = [];
  for (const { row, figure, what, unit, most, least, bar, unless } of limits) {
    if (!rows.includes(row)) continue;
    const value = find(results, figure);
    if (value?.skipped !== undefined) continue;
    const name = `${row}: ${what}`;
    const space = unit ? ` ${unit}` : '';
    const limit = most === undefined ? `under the least allowed, ${least}${space}` : `over the limit of ${most}${space}`;
    const fail = (text) => failures.push({ row, text: `${name} ${text}`, final: most === 0, excuse: excuse(results, unless) });
    if (typeof value !== 'number' || Number.isNaN(value)) fail(`was not measured (${figure})`);
    else if (most === undefined ? value < least : value > most)
      fail(`is ${value}${space}, ${limit}${bar === undefined ? '' : ` (bar ${bar})`}`);
  }
  return failures;
}

/**
 * Measures rows until each has passed once, `tries` times at most: a shared machine makes times worse and never better. A count that has to
 * be 0 gets no second try. Gives what is left of the failures.
 */
async function gate(limits, rows, measure, tries) {
  const final = [];
  let failures = [];
  let left = rows;
  for (let i = 0; i < tries && left.length > 0; i++) {
    const found = judge(limits, await measure(left), left);
    final.push(...found.filter((failure) => failure.final));
    failures = found.filter((failure) => !failure.final);
    left = left.filter((row) => failures.some((failure) => failure.row === row));
  }
  return [...final, ...failures];
}

module.exports = { gate, judge };
