'use strict';

// Layouts of C structures from the debugging information of an object file, as readelf prints it: what the compiler did, not what a header
// seems to say.

const { execFileSync } = require('node:child_process');

// The entries of a compilation unit as a tree: { tag, at: { name, type … }, children }, by offset.
function parse(text) {
  const byOffset = new Map();
  const path = [];
  let entry;
  for (const line of text.split('\n')) {
    const head = /^\s*<(\d+)><([0-9a-f]+)>: Abbrev Number: \d+(?: \(DW_TAG_(\w+)\))?/.exec(line);
    if (head) {
      entry = undefined;
      if (!head[3]) continue;
      const depth = Number(head[1]);
      entry = { tag: head[3], at: {}, children: [] };
      byOffset.set(parseInt(head[2], 16), entry);
      path.length = depth;
      path[depth] = entry;
      path[depth - 1]?.children.push(entry);
      continue;
    }
    const attribute = /^\s+<[0-9a-f]+>\s+DW_AT_(\w+)\s*:\s*(.*)$/.exec(line);
    // Before the value may stand its form and, for names, where the text lies.
    if (attribute && entry) entry.at[attribute[1]] = attribute[2].replace(/^(?:\([^)]*\):?\s*)+/, '').trim();
  }
  return byOffset;
}

class Dwarf {
  constructor(objectFile) {
    const text = execFileSync('readelf', ['--debug-dump=info', '--wide', objectFile], { encoding: 'utf8', maxBuffer: 1 << 28 });
    this.entries = parse(text);
    this.named = new Map();
    for (const entry of this.entries.values()) {
      if (/^(structure|union)_type$/.test(entry.tag) && entry.at.name && entry.at.byte_size) this.named.set(entry.at.name, entry);
    }
  }

  // A structure or union by its name in C.
  find(name) {
    return this.named.get(name);
  }

  typeOf(entry) {
    let type = this.entries.get(parseInt(/<(?:0x)?([0-9a-f]+)>/.exec(entry.at.type)[1], 16));
    while (/^(typedef|const_type|volatile_type)$/.test(type.tag)) type = this.typeOf(type);
    return type;
  }

  // The elements of an array type: { element, count }, all dimensions together; count is 0 for an open array.
  array(type) {
    const counts = type.children
      .filter(({ tag }) => tag === 'subrange_type')
      .map(({ at }) => (at.upper_bound === undefined ? Number(at.count ?? 0) : Number(at.upper_bound) + 1));
    return { element: this.typeOf(type), count: counts.reduce((a, b) => a * b, 1) };
  }
}

const numberOf = (text) => (text === undefined ? 0 : Number(/^(0x[0-9a-f]+|-?\d+)/.exec(text)[0]));

module.exports = { Dwarf, numberOf };
