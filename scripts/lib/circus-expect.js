'use strict';

// What jest-circus takes from @jest/expect, without snapshots and the compiler that they need.

module.exports = { jestExpect: require('expect').expect };
