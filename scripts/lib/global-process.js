'use strict';

// node:process for scripts/build's bundle: whoever requires that has Node read each of its properties first.

module.exports = process;
