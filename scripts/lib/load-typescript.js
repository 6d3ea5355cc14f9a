'use strict';

const fs = require('node:fs');
const ts = require('typescript');

// What a TypeScript module exports whose imports are types only, or what `imports` gives in their place.
function loadTypeScript(file, imports = require) {
  const { outputText } = ts.transpileModule(fs.readFileSync(file, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, preserveConstEnums: true },
  });
  const exported = {};
  new Function('exports', 'require', outputText)(exported, imports);
  return exported;
}

module.exports = { loadTypeScript };
