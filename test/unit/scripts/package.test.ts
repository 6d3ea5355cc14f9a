/** The gates of the npm package, each with its cause planted. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

interface Expected {
  name: string;
  file: string;
  format: string;
  libraries: RegExp;
  floor?: Record<string, string>;
}

const root = path.resolve(__dirname, '../../..');
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { PREBUILDS } = require('../../../scripts/lib/prebuilds.js') as { PREBUILDS: Expected[] };
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { compareVersions, judgePrebuild } = require('../../../scripts/lib/judge-prebuild.js') as {
  compareVersions: (a: string, b: string) => number;
  judgePrebuild: (file: string, expected: Expected) => string[];
};
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { judgeContents, judgeLinks } = require('../../../scripts/lib/package-contents.js') as {
  judgeLinks: (names: string[], directory: string) => string[];
  judgeContents: (packed: object, prebuilds: string[]) => string[];
};
// eslint-disable-next-line @typescript-eslint/no-require-imports
const { bareEnvironment, fetchPackage } = require('../../../scripts/lib/bare-machine.js') as {
  fetchPackage: (store: string, name: string, version: string) => string;
  bareEnvironment: (directories: string[], from: NodeJS.ProcessEnv) => NodeJS.ProcessEnv;
};

const glibc = PREBUILDS.find(({ name }) => name === 'linux-x64-glibc')!;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-package-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A shared object made of C, as a prebuilt binary would be. */
function compile(source: string, ...flags: string[]): string {
  const file = path.join(directory, 'made.node');
  const done = spawnSync('gcc', ['-shared', '-fPIC', '-x', 'c', '-', '-x', 'none', '-o', file, ...flags], {
    input: source,
    encoding: 'utf8',
  });
  expect(done.status).toBe(0);
  return file;
}

const registers = 'void napi_register_module_v1(void) {}';

describe('a prebuilt binary', () => {
  it('may be shipped when it asks for nothing new', () => {
    expect(judgePrebuild(compile(registers), glibc)).toEqual([]);
  });

  it('may not ask for a symbol of a newer glibc', () => {
    // A libc of a version that no system has yet.
    const [libc, versions] = [path.join(directory, 'libc.so.6'), path.join(directory, 'versions')];
    writeFileSync(versions, 'GLIBC_2.28 { old; };\nGLIBC_2.29 { tomorrow; };\n');
    const fake = spawnSync(
      'gcc',
      ['-shared', '-fPIC', '-nostdlib', '-x', 'c', '-', '-o', libc, '-Wl,-soname,libc.so.6', `-Wl,--version-script,${versions}`],
      {
        input: 'void old(void) {}\nvoid tomorrow(void) {}',
      },
    );
    expect(fake.status).toBe(0);
    const file = compile(`${registers} void old(void); void tomorrow(void); void use(void) { old(); tomorrow(); }`, '-nostdlib', libc);
    expect(judgePrebuild(file, glibc)).toEqual(['it needs tomorrow of GLIBC_2.29; at most GLIBC_2.28']);
  });

  it('may not ask for glibc at all where it is for musl', () => {
    const musl = PREBUILDS.find(({ name }) => name === 'linux-x64-musl')!;
    const problems = judgePrebuild(compile(`#include <stdio.h>\n${registers} void say(void) { puts("x"); }`), musl);
    expect(problems).toContainEqual('it needs libc.so.6, which not every system has');
    expect(problems).toContainEqual(expect.stringMatching(/^it needs puts of GLIBC_2\.2\.5, and nothing of GLIBC is expected$/));
  });

  it('may not ask for a library that not every system has, and has to be an addon', () => {
    const file = compile(
      'int crypt_checksalt(const char *); int check(void) { return crypt_checksalt("x"); }',
      '-Wl,--no-as-needed',
      '-l:libz.so.1',
    );
    expect(judgePrebuild(file, glibc)).toEqual([
      expect.stringMatching(/^it needs libz\.so\.1, which not every system has$/),
      'it exports no napi_register_module',
    ]);
  });

  it('may not be damaged, missing or huge', () => {
    const file = path.join(directory, 'a.node');
    expect(judgePrebuild(file, glibc)).toEqual(['it is not there']);
    writeFileSync(file, Buffer.alloc((2 << 20) + 1));
    expect(judgePrebuild(file, glibc)).toEqual([expect.stringMatching(/^it has 2097153 bytes/), expect.stringMatching(/./)]);
  });

  it('has versions compared as numbers', () => {
    expect([compareVersions('2.9', '2.28'), compareVersions('2.28', '2.28.0'), compareVersions('3.4.30', '3.4.4')]).toEqual([-1, 0, 1]);
  });
});

describe('scripts/verify-prebuild', () => {
  function verify(...names: string[]): { status: number | null; stderr: string } {
    const command = path.join(root, 'scripts/verify-prebuild');
    const { status, stderr } = spawnSync(process.execPath, [command, '--root', directory, ...names], { encoding: 'utf8' });
    return { status, stderr };
  }

  it('fails for each binary that is missing', () => {
    const { status, stderr } = verify();
    expect(status).toBe(1);
    for (const { file } of PREBUILDS) expect(stderr).toContain(`verify-prebuild: ${file}: it is not there\n`);
  });

  it('fails for one that does not load', () => {
    const place = path.join(directory, glibc.file);
    mkdirSync(path.dirname(place), { recursive: true });
    copyFileSync(compile(`${registers} extern int nowhere(void); int use(void) { return nowhere(); }`), place);
    const { status, stderr } = verify('linux-x64-glibc');
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('it does not load: ') });
  });
});

describe("the package's contents", () => {
  const packed = {
    size: 1000,
    unpackedSize: 1000,
    entryCount: 3,
    files: ['dist/index.js', 'README.md', 'prebuilds/win32-x64/node-hax.node'].map((name) => ({ path: name })),
  };

  it('may hold nothing else, have nothing missing, and be no larger', () => {
    const foreign = {
      ...packed,
      size: 2_000_001,
      files: [...packed.files, { path: 'test/unit/a.test.ts' }, { path: 'dist/index.js.map' }],
    };
    const problems = judgeContents(foreign, ['prebuilds/linux-x64/node-hax.glibc.node']);
    expect(problems.slice(0, 2)).toEqual(['test/unit/a.test.ts does not belong into it', 'dist/index.js.map does not belong into it']);
    expect(problems).toEqual(
      expect.arrayContaining([
        'dist/index.d.ts is missing',
        'prebuilds/linux-x64/node-hax.glibc.node is missing',
        'size is 2000001; at most 2000000',
      ]),
    );
    expect(judgeContents(packed, [])).not.toContainEqual(expect.stringContaining('belong'));
  });

  it('may not have a document with a link that leads out of it', () => {
    mkdirSync(path.join(directory, 'docs'));
    writeFileSync(path.join(directory, 'README.md'), '[a](docs/a.md) [all](docs/) [web](https://example.org) [part](#part) [b](lib/b.ts)');
    writeFileSync(path.join(directory, 'docs/a.md'), '[up](../README.md#part) [gone](gone.md)');
    expect(judgeLinks(['README.md', 'docs/a.md'], directory)).toEqual([
      'README.md links to lib/b.ts, which is not in it',
      'docs/a.md links to gone.md, which is not in it',
    ]);
  });
});

test('a bare machine has no setting of this one, but the certificates that its way to the registry may need', () => {
  const settings = { npm_config_registry: 'x', NODE_OPTIONS: 'x', NODE_PATH: 'x', HAX_ADDON: 'x', INIT_CWD: 'x' };
  const kept = { NODE_EXTRA_CA_CERTS: '/ca.pem', HTTPS_PROXY: 'http://proxy', HOME: '/home/a' };
  expect(bareEnvironment(['/a', '/b'], { ...settings, ...kept, PATH: '/usr/bin' })).toEqual({
    ...kept,
    PATH: '/a:/b',
    npm_config_userconfig: '/dev/null',
    npm_config_update_notifier: 'false',
  });
});

describe('a package of npm that is kept', () => {
  const program = path.join('node_modules/tool/bin/tool');
  const kept = (): string => path.join(directory, 'store/tool-1.0.0');
  const call = (): string => path.relative(kept(), path.join(fetchPackage(path.join(directory, 'store'), 'tool', '1.0.0'), 'bin/tool'));
  let before: string | undefined;
  beforeEach(() => {
    before = process.env.PATH;
    process.env.PATH = `${directory}:${before}`;
  });
  afterEach(() => {
    process.env.PATH = before;
  });
  /** npm, which unpacks in place and notes down at last what it has installed; `meanwhile` before that. */
  const npm = (meanwhile: string): void => {
    const script = `#!/bin/sh
      cd "$3" && mkdir -p node_modules/tool/bin && echo {} >node_modules/tool/package.json || exit 1
      ${meanwhile}
      echo new >${program} && echo {} >node_modules/.package-lock.json`;
    writeFileSync(path.join(directory, 'npm'), script, { mode: 0o755 });
  };

  it('is not seen before it is complete', () => {
    npm(`[ ! -e ${kept()} ] || exit 1`);
    expect(call()).toBe(program);
    expect(readdirSync(path.join(directory, 'store'))).toEqual(['tool-1.0.0']);
    npm('exit 1'); // is not asked again
    expect(call()).toBe(program);
  });

  it('is fetched again where a run that was ended has left half of it', () => {
    mkdirSync(path.join(kept(), 'node_modules/tool'), { recursive: true });
    writeFileSync(path.join(kept(), 'node_modules/tool/package.json'), '{}');
    npm('');
    call();
    expect(readFileSync(path.join(kept(), program), 'utf8')).toBe('new\n');
  });

  it("is another run's where that was quicker", () => {
    npm(
      `mkdir -p ${kept()}/node_modules/tool/bin && echo other >${kept()}/${program} && echo {} >${kept()}/node_modules/.package-lock.json`,
    );
    call();
    expect(readFileSync(path.join(kept(), program), 'utf8')).toBe('other\n');
    expect(readdirSync(path.join(directory, 'store'))).toEqual(['tool-1.0.0']);
  });

  it('is not there when npm fails, and the reason is told', () => {
    npm('echo no network >&2; exit 1');
    expect(call).toThrow('npm could not fetch tool@1.0.0: no network');
    expect(readdirSync(path.join(directory, 'store'))).toEqual([]);
  });
});
