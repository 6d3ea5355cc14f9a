'use strict';

// Node's own environment of Jest, without what decides about colours: Jest tells its processes to use them where it writes to a terminal, a CI
// may for all, and the programs that tests start would inherit it. Node warns where both variables are set. Nor further certificates: each Node
// would read all of them at its start, which takes longer than the rest of it.

const { TestEnvironment } = require('jest-environment-node');

for (const name of ['FORCE_COLOR', 'NO_COLOR', 'NODE_EXTRA_CA_CERTS']) delete process.env[name];

module.exports = TestEnvironment;
