'use strict';

// Node's own environment of Jest, without what decides about colours: Jest tells its processes to use them where it writes to a terminal, a CI
// may for all, and the programs that tests start would inherit it. Node warns where both variables are set.

const { TestEnvironment } = require('jest-environment-node');

for (const name of ['FORCE_COLOR', 'NO_COLOR']) delete process.env[name];

module.exports = TestEnvironment;
