import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const command = path.resolve(__dirname, '../../../scripts/check-layers');

function plant(root: string, file: string, text: string): void {
  const full = path.join(root, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, text);
}

/** What the check says of a tree of these files. */
function check(files: readonly (readonly [file: string, text: string])[]): { status: number | null; problems: string[] } {
  const root = mkdtempSync(path.join(tmpdir(), 'check-layers-'));
  try {
    for (const [file, text] of files) plant(root, file, text);
    const done = spawnSync(process.execPath, [command, root], { encoding: 'utf8' });
    return { status: done.status, problems: done.stderr.split('\n').filter(Boolean) };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

test('what follows the arrows passes', () => {
  const files = [
    ['lib/index.ts', "export * from './machine/machine';\nexport * from './native/addon';\n"],
    [
      'lib/cli/main.ts',
      "import { x } from '../util/errors';\nimport { m } from '../machine/machine';\nimport { program } from 'commander';\n",
    ],
    ['lib/machine/machine.ts', "import { Uart } from '../devices/uart';\nimport { Hypervisor } from '../hypervisor/hypervisor';\n"],
    ['lib/devices/uart.ts', "import type { Memory } from '../memory/memory';\nimport { type Memory as M } from '../memory/memory';\n"],
    ['lib/devices/pci/bus.ts', "import { Uart } from '../uart';\nimport { Sink } from '../../host/sink';\n"],
    ['lib/run/inline.ts', "import { addon } from '../native/addon';\nimport { Bus } from '../bus/bus';\n"],
    ['lib/native/addon.ts', "const bindings = require('bindings');\n"],
    ['native/addon.cc', '#include <napi.h>\n#include "backends/registry.h"\n#include "binding/binding.h"\n'],
    ['native/backends/kvm/vm.cc', '#include <linux/kvm.h>\n#include "core/status.h"\n'],
    ['native/binding/vm.cc', '#include <napi.h>\n#include "core/hypervisor.h"\n'],
  ] as const;
  expect(check(files)).toEqual({ status: 0, problems: [] });
});

// A star stands for a name of its own: all are planted in one tree and checked once.
const violations = [
  ['lib/util/*.ts', "import { Bus } from '../bus/bus';", ':1: imports ../bus/bus: util imports no other layer'],
  [
    'lib/devices/*.ts',
    "\nimport { Vm } from '../hypervisor/vm';",
    ':2: imports ../hypervisor/vm: devices may import only bus, host, time, util and types of memory',
  ],
  ['lib/devices/*.ts', "import type { Machine } from '../machine/machine';", 'devices may import only'],
  ['lib/devices/pci/*.ts', "import { Memory } from '../../memory/memory';", "devices may import only types of memory ('import type')"],
  ['lib/devices/*.ts', "import { type A, B } from '../memory/memory';", 'only types of memory'],
  ['lib/devices/*.ts', "export { B } from '../memory/memory';", 'only types of memory'],
  ['lib/boot/*.ts', "export type { Run } from '../run/inline';", 'boot may import only bus, host, memory, time, util'],
  ['lib/boot/*.ts', "type R = import('../run/inline').R;", 'imports ../run/inline'],
  ['lib/boot/*.ts', "void import('../run/inline');", 'imports ../run/inline'],
  ['lib/doctor/*.ts', "import machine = require('../machine/machine');", 'imports ../machine/machine'],
  ['lib/hypervisor/*.ts', "import { run } from '../run/inline';", 'imports ../run/inline'],
  ['lib/machine/*.ts', "import { Hypervisor } from '..';", 'nothing inside lib/ imports a barrel'],
  ['lib/machine/*.ts', "import { Hypervisor } from '../index';", 'nothing inside lib/ imports a barrel'],
  ['lib/machine/*.ts', "import { Hypervisor } from 'node-hax';", 'nothing inside lib/ imports the package itself'],
  ['lib/cli/*.ts', "import x from '../../scripts/build';", 'lib/ imports nothing outside itself'],
  ['lib/cli/*.ts', "require('../../build/Release/node_hax.node');", 'only lib/native touches the .node file'],
  ['lib/run/*.ts', "require('bindings');", 'only lib/native touches the .node file'],
  ['lib/gizmo/*.ts', 'export {};', ': lib/gizmo is no layer'],
  ['native/core/*.h', '#include "backends/registry.h"', ':1: includes backends/registry.h: backends are reached through core/hypervisor.h'],
  ['native/core/*.h', '#include "binding/binding.h"', 'binding/ is above this'],
  ['native/core/*.cc', '#include <napi.h>', 'Node-API and libuv belong to binding/ and addon.cc'],
  ['native/core/*.cc', '#  include <linux/kvm.h>', 'ioctls belong to backends/'],
  ['native/backends/kvm/*.cc', '#include <node_api.h>', 'Node-API and libuv belong to'],
  ['native/backends/kvm/*.cc', '#include "binding/uv.h"', 'binding/ is above this'],
  ['native/binding/*.cc', '#include <linux/kvm.h>', 'ioctls belong to backends/'],
  ['native/binding/*.cc', '#include "backends/kvm/kvm.h"', 'backends are reached through'],
  ['native/core/*.cc', '#include "../backends/kvm/kvm.h"', 'paths start at native/'],
  ['native/other/*.cc', '', 'native/other is no layer'],
] as const;

describe('refused', () => {
  const planted = violations.map(([file, text], i) => [file.replace('*', `x${i}`), text] as const);
  let found: ReturnType<typeof check>;
  beforeAll(() => {
    found = check(planted);
  });

  test.each(violations.map(([file, text, expected], i) => [file, text, i, expected] as const))(
    '%s with %j',
    (_file, _text, i, expected) => {
      const own = found.problems.filter((problem) => problem.startsWith(planted[i][0]));
      expect(own).toHaveLength(1);
      expect(own[0]).toContain(expected);
    },
  );

  test('and the status says so', () => expect(found.status).toBe(1));
});

test('files have 500 lines at most, tests are exempt', () => {
  const short = ['native/core/a.cc', '\n'.repeat(500)] as const;
  const long = '\n'.repeat(501);
  const { status, problems } = check([short, ['lib/util/b.ts', long], ['scripts/c', long], ['test/unit/d.test.ts', long]]);
  expect(status).toBe(1);
  expect(problems.map((problem) => problem.slice(0, problem.indexOf(' lines')))).toEqual(['lib/util/b.ts: 501', 'scripts/c: 501']);
});
