'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

// One hash of the names and contents of `names`, files and whole directories below `root`. What is not there is told apart, too.
function digest(root, names) {
  const hash = createHash('sha256');
  const add = (name) => {
    const file = path.join(root, name);
    const found = fs.statSync(file, { throwIfNoEntry: false });
    if (found?.isDirectory()) {
      for (const each of fs.readdirSync(file).sort()) add(path.join(name, each));
      return;
    }
    hash.update(`${JSON.stringify(name)} ${found ? found.size : 'missing'}\n`);
    if (found) hash.update(fs.readFileSync(file));
  };
  for (const name of names) add(name);
  return hash.digest('hex');
}

module.exports = { digest };
