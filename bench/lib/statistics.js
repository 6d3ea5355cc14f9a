'use strict';

/** The value below which a share `p` of the values lies; of an even number of values the median is the mean of the middle two. */
function quantile(values, p) {
  if (values.length === 0) throw new Error('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  return sorted[below] + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

const median = (values) => quantile(values, 0.5);

const round = (value, digits = 1) => Number(value.toFixed(digits));

/**
 * What two things measured in turns differ by: the median of the differences within each round, which a change of the machine's speed
 * between rounds does not touch, with the middle half of them.
 */
function paired(values, base) {
  if (values.length !== base.length) throw new Error('pairs have two sides');
  const differences = values.map((value, i) => value - base[i]);
  return { median: median(differences), low: quantile(differences, 0.25), high: quantile(differences, 0.75) };
}

/**
 * What a side of many short rounds takes: the lower tenth, the rounds in which nobody else was in the way. On a shared machine pairs differ by
 * more than what is looked for.
 */
const typical = (values) => quantile(values, 0.1);
const above = (values, base) => typical(values) - typical(base);

/** Of several processes' results the one in the middle by `figure`, and what all had: where code and memory come to lie is another each time. */
function middleOf(results, figure) {
  const sorted = [...results].sort((a, b) => a[figure] - b[figure]);
  return { ...sorted[sorted.length >> 1], ofProcesses: sorted.map((result) => result[figure]) };
}

/** Whether the machine did other things meanwhile: equal work took times further apart than a quiet one's. */
const looksBusy = (values) => quantile(values, 0.9) > 1.25 * quantile(values, 0.1);

module.exports = { above, looksBusy, median, middleOf, paired, quantile, round, typical };
