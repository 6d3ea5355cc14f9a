'use strict';

// Chances from a seed, for fuzzers whose steps depend on threads: a seed repeats what is chosen, not what becomes of it.

exports.chances = function chances(seed) {
  let state = seed;
  /** 0 to below `most`. */
  const random = (most) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % most;
  };
  return { random, oneIn: (times) => random(times) === 0, pick: (list) => list[random(list.length)] };
};
