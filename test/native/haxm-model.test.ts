// The HAXM driver model: against the observed log of the real driver, and against a client that checks what the log does not show.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const root = path.resolve(__dirname, '../..');
const sources = path.join(root, 'test/haxm-driver');
const withModel = path.join(root, 'scripts/with-haxm-model');
const LIMIT = 300_000;

/** One line of the fixture: a call that was made, and what came back. */
interface Call {
  readonly section: string;
  readonly name: string;
  /** A field that comes twice has its number appended the second time. */
  readonly fields: ReadonlyMap<string, string>;
}

function parse(text: string): Call[] {
  const calls: Call[] = [];
  let section = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('@ ')) {
      section = line.slice(2);
      continue;
    }
    const [name = '', ...pairs] = line.split(' ');
    const fields = new Map<string, string>();
    for (const pair of pairs) {
      const at = pair.indexOf('=');
      let key = pair.slice(0, at);
      for (let n = 2; fields.has(key); n++) key = `${pair.slice(0, at)}.${n}`;
      fields.set(key, pair.slice(at + 1));
    }
    calls.push({ section, name, fields });
  }
  return calls;
}

interface Difference {
  readonly reason: string;
  readonly applies: (observed: Call, replayed: Call) => boolean;
  readonly fields: RegExp;
  /** What the model may say instead; anything unless given. */
  readonly accepts?: (observed: string, replayed: string, field: string) => boolean;
}

const hex = (text: string) => BigInt(`0x${text}`);
const within = (mask: bigint) => (_: string, replayed: string) => (hex(replayed) & ~mask) === 0n;
const at = (section: string, field: string, value: string) => (observed: Call) =>
  observed.section === section && observed.fields.get(field) === value;
const EVERY = /./;
const ARITHMETIC_FLAGS = 0x8d5n;
// What HAXM lets through of the host's features, by leaf and register.
const FEATURES: Readonly<Record<string, bigint>> = {
  '00000000.eax': 0x1fn,
  '00000001.ecx': 0xb6d82203n,
  '00000001.edx': 0x1f89fbffn,
  '00000007.ebx': 0x600n,
  '0000000d.eax': 7n,
  '0000000d.eax.2': 7n,
  '80000001.edx': 0x28100800n,
};

/** The differences that are allowed, each for a reason; a call's fields are held against the first that applies. */
const ALLOWED: readonly Difference[] = [
  {
    reason: 'host interrupts come when they come',
    applies: () => true,
    fields: /^interrupts$/,
  },
  {
    reason: "the model's nodes belong to the user who runs it, who is not root",
    applies: (observed) => process.getuid!() !== 0 && observed.name.startsWith('stat:'),
    fields: /^[ug]id$/,
    accepts: (_, replayed) => replayed === String(process.getuid!()) || replayed === String(process.getgid!()),
  },
  {
    reason: 'after a read-modify-write to a device the driver leaves the flags of the operation done twice; the model those of one',
    applies: at('run', 'gpa', 'a002c'),
    fields: /^rflags$/,
  },
  {
    reason: "the processor's own: highest leaf, features, sizes",
    applies: at('run', 'rax', 'd'),
    fields: /^rax$/,
    accepts: within(0x1fn),
  },
  {
    reason: 'a spinning guest is interrupted anywhere: its arithmetic flags',
    applies: at('run', 'uep', '1'),
    fields: /^rflags$/,
    accepts: (observed, replayed) => (hex(observed) & ~ARITHMETIC_FLAGS) === (hex(replayed) & ~ARITHMETIC_FLAGS),
  },
  {
    reason: 'time passes; a software KVM gives the guest the time stamp of its host',
    applies: (observed) => observed.name === 'GET_MSR:00000010',
    fields: /^value$/,
  },
  {
    reason: "this KVM does not look at the IDT's limit in real mode, so there is no triple fault (software KVM)",
    applies: (observed, replayed) => observed.section === 'triple' && replayed.fields.get('status') === '4',
    fields: /^(status|tunnel|rsp|rip|rflags|r[abcd]x|r[sd]i|rbp)$/,
  },
  {
    reason: 'this KVM resets the registers at a triple fault (kvm_amd)',
    applies: (observed, replayed) => observed.section === 'triple' && replayed.fields.get('status') === '7',
    fields: /^(rdx|rsp|rip)$/,
  },
  {
    reason: "the processor's own: highest leaf, features, sizes",
    applies: at('cpuid', 'total', '18'),
    fields: EVERY,
    accepts: () => false,
  },
  {
    reason: "the processor's own: highest leaf, features, sizes",
    applies: (observed) => observed.name === 'GET_CPUID(n)',
    fields: /^(00000000\.eax|00000001\.e[cd]x|00000007\.ebx|0000000a\.e[ab]x|0000000d\..*|0000001[56]\.e.x|80000001\.edx|80000008\.eax)/,
    accepts: (observed, replayed, field) => within(FEATURES[field] ?? 0xffffffffn)(observed, replayed),
  },
  {
    reason: 'REP OUTS with CX=0 exited with a count of 0, perhaps by the emulated processor; KVM passes over it',
    applies: at('more', 'count', '0'),
    fields: EVERY,
  },
  {
    reason: 'an access across the segment limit ran wild through memory that the log does not show',
    applies: at('more', 'rip', 'fe7'),
    fields: EVERY,
  },
  {
    reason: "after a fork the real driver keeps the pages that the child shares; KVM follows the parent's (the hazard is not modelled)",
    applies: (observed) => observed.section === 'fork' && observed.fields.get('status') === '6',
    fields: EVERY,
  },
];

interface Comparison {
  fields: number;
  readonly allowed: Map<string, number>;
  readonly wrong: string[];
}

function compareCall(observed: Call, replayed: Call, result: Comparison): void {
  const rules = ALLOWED.filter(({ applies }) => applies(observed, replayed));
  for (const field of new Set([...observed.fields.keys(), ...replayed.fields.keys()])) {
    const expected = observed.fields.get(field);
    const actual = replayed.fields.get(field);
    if (expected !== undefined) result.fields++;
    if (expected === actual) continue;
    const rule = rules.find(({ fields }) => fields.test(field));
    const accepted = rule && (!rule.accepts || (expected !== undefined && actual !== undefined && rule.accepts(expected, actual, field)));
    if (accepted) result.allowed.set(rule.reason, (result.allowed.get(rule.reason) ?? 0) + 1);
    else
      result.wrong.push(
        `${observed.section} ${observed.name} ${field}: observed ${expected ?? 'nothing'}, replayed ${actual ?? 'nothing'}`,
      );
  }
}

function compare(observed: readonly Call[], replayed: readonly Call[]): Comparison {
  const result: Comparison = { fields: 0, allowed: new Map(), wrong: [] };
  observed.forEach((call, i) => {
    const other = replayed[i];
    if (other?.section === call.section && other.name === call.name) compareCall(call, other, result);
    else result.wrong.push(`${call.section} ${call.name}: replayed ${other ? `${other.section} ${other.name}` : 'nothing'}`);
  });
  return result;
}

function obstacle(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the HAXM model needs Linux on x86-64';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return 'the HAXM model needs /dev/kvm';
  }
  const missing = ['make', 'c++', 'gcc'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
  return missing.length > 0 ? `the HAXM model needs ${missing.join(', ')}` : undefined;
}

/** A software KVM lets the guest see more of the processor than it is told to. */
const hardwareKvm = () => /\b(svm|vmx)\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));

const reason = obstacle();
if (reason) console.log(`the HAXM driver model is not tested: ${reason}`);

(reason ? describe.skip : describe)('the HAXM driver model', () => {
  let directory: string;

  function compile(name: string): string {
    const program = path.join(directory, name);
    const flags = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror'];
    const done = spawnSync('gcc', [...flags, '-o', program, path.join(sources, `${name}.c`), '-lpthread'], { encoding: 'utf8' });
    expect(done).toMatchObject({ status: 0, stderr: '' });
    return program;
  }

  function run(words: readonly string[], env: NodeJS.ProcessEnv = {}) {
    return spawnSync(withModel, words, { encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
  }

  let replay: string;
  let client: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'haxm-model-'));
    const built = spawnSync(withModel, ['--build'], { encoding: 'utf8' });
    expect({ status: built.status, stderr: built.stderr }).toEqual({ status: 0, stderr: '' });
    replay = compile('replay');
    client = compile('client');
  }, LIMIT);
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    'answers every call of the observed log as the real driver did',
    () => {
      const fixture = readFileSync(path.join(sources, 'observed/7.8.0-haswell.txt'), 'utf8');
      const observed = parse(fixture);
      const [, calls, fields] = /^# (\d+) calls, (\d+) fields$/m.exec(fixture)!.map(Number);
      expect(observed).toHaveLength(calls);
      const done = run([replay]);
      expect(done).toMatchObject({ status: 0, stderr: '' });
      const replayed = parse(done.stdout);
      const { fields: compared, allowed, wrong } = compare(observed, replayed);
      const total = [...allowed.values()].reduce((sum, n) => sum + n, 0);
      const reasons = [...allowed].map(([text, n]) => `\n  ${n}: ${text}`).join('');
      console.log(`calls replayed ${replayed.length}, fields compared ${compared}, differences allowed ${total}:${reasons}`);
      expect(wrong).toEqual([]);
      expect({ calls: replayed.length, fields: compared }).toEqual({ calls, fields });
    },
    LIMIT,
  );

  test('the comparison finds a difference that is not allowed', () => {
    const [call] = parse('@ vm\nALLOC_RAM_size_0 req=c0100081 ret=-1 errno=22');
    const [other] = parse('@ vm\nALLOC_RAM_size_0 req=c0100081 ret=0 errno=0');
    expect(compare([call], [other]).wrong).toHaveLength(2);
    expect(compare([call], []).wrong).toHaveLength(1);
  });

  describe('serves a client of any kind', () => {
    test.each(['openings', 'lifetimes', 'ports', 'mmio', 'between', 'interrupts', 'shadow', 'memory', 'threads', 'signals', 'protected'])(
      '%s',
      (part) => {
        // One of them changes memory beside a RUN, which a client of the driver must not.
        const { status, stdout, stderr } = run([client, part], { HAXM_MODEL_ALLOW_RACES: '1' });
        expect(stdout.split('\n').filter((line) => !line.startsWith('ok '))).toEqual(['']);
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      },
      LIMIT,
    );

    test(
      "a guest sees HAXM's CPUID leaves and none of KVM's",
      () => {
        const wrong = run([client, 'cpuid'])
          .stdout.split('\n')
          .filter((line) => line !== '' && !line.startsWith('ok '));
        const theirs = /the guest sees leaf [17d]\.[01] of the list/;
        expect(wrong.filter((line) => hardwareKvm() || !theirs.test(line))).toEqual([]);
        if (wrong.length > 0) console.log(`this KVM adds to what the guest sees of its processor:\n  ${wrong.join('\n  ')}`);
      },
      LIMIT,
    );

    test('without a guest, for timing', () => {
      const { status, stdout } = run([client, 'null'], { HAXM_MODEL_NULL: '1' });
      expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^ok .*\nok .*\n# [\d.]+ ns an exit\n$/) as string });
    });

    test('Node itself: stat, access, open and close', () => {
      const script = `
        const fs = require('node:fs');
        fs.accessSync('/dev/HAX', fs.constants.R_OK | fs.constants.W_OK);
        const fd = fs.openSync('/dev/HAX', 'r+');
        const seen = [fs.existsSync('/dev/HAX'), fs.statSync('/dev/HAX').isCharacterDevice(), fs.fstatSync(fd).isCharacterDevice()];
        fs.closeSync(fd);
        const other = fs.openSync('/dev/null', 'r');
        console.log(JSON.stringify([...seen, other === fd, fs.fstatSync(other).rdev === fs.statSync('/dev/null').rdev]));`;
      const { stdout } = run([process.execPath, '-e', script]);
      expect(JSON.parse(stdout)).toEqual([true, true, true, true, true]);
    });
  });

  describe('is another driver, or fails, when asked to', () => {
    const usual = [
      'open 0',
      'access 0',
      'version 4',
      'capability 3 3ff 1000000000000',
      'create-vm 0',
      'alloc-ram 0',
      'set-ram 0',
      'unmap 0',
    ];
    const vcpu = ['vcpu-create 0', 'tunnel 4096', 'get-regs 0', 'get-regs-520 38'];
    const runs = ['run 0 1', 'run 0 1', 'run 0 1', 'cpuid 18'];
    const all = [...usual, ...vcpu, ...runs];
    const instead = (lines: Record<string, string | undefined>) =>
      all.map((line) => (line in lines ? lines[line] : line)).filter((line) => line !== undefined);
    const until = (line: string, ...more: string[]) => [...all.slice(0, all.indexOf(line)), ...more];

    test.each<[string, NodeJS.ProcessEnv, string[]]>([
      ['no switch', {}, all],
      ['no VT-x', { HAXM_MODEL_NO_VT: '1' }, until('capability 3 3ff 1000000000000', 'capability 2 1 1000000000000', 'create-vm 12')],
      ['no NX', { HAXM_MODEL_NO_NX: '1' }, until('capability 3 3ff 1000000000000', 'capability 2 2 1000000000000', 'create-vm 12')],
      [
        'no unrestricted guest',
        { HAXM_MODEL_NO_UG: '1' },
        instead({ 'capability 3 3ff 1000000000000': 'capability 3 3fb 1000000000000', 'run 0 1': 'run 0 3' }),
      ],
      ['a quota', { HAXM_MODEL_QUOTA_MB: '512' }, instead({ 'capability 3 3ff 1000000000000': 'capability 3 3ff 20000000' })],
      ['no quota', { HAXM_MODEL_QUOTA_MB: '0' }, instead({ 'capability 3 3ff 1000000000000': 'capability 1 3ff 0' })],
      ['API version 3', { HAXM_MODEL_API: '3' }, instead({ 'version 4': 'version 3', 'unmap 0': 'unmap 22' })],
      [
        'registers of 520 bytes',
        { HAXM_MODEL_REGS: '520' },
        [...usual, 'vcpu-create 0', 'tunnel 4096', 'get-regs 38', 'get-regs-520 0', 'dr7-520 400', 'set-regs-520 0', ...runs],
      ],
      [
        'a driver of before 7.2.0',
        { HAXM_MODEL_CAPS: '0x1f' },
        instead({ 'capability 3 3ff 1000000000000': 'capability 3 1f 1000000000000', 'tunnel 4096': 'tunnel 48' }),
      ],
      ['a vCPU that goes', { HAXM_MODEL_FAIL: 'RUN:ENODEV:2' }, [...usual, ...vcpu, 'run 0 1', 'run -19 1', 'run -19 1', 'cpuid 18']],
      ['a RUN that returns 1', { HAXM_MODEL_FAIL: 'RUN:+1:3' }, [...usual, ...vcpu, 'run 0 1', 'run 0 1', 'run 1 7', 'cpuid 18']],
      [
        'a request that fails',
        { HAXM_MODEL_FAIL: 'SET_RAM:ENOMEM,GET_CPUID:EIO' },
        instead({ 'set-ram 0': 'set-ram 12', 'unmap 0': 'unmap 12', 'run 0 1': 'run 0 7', 'cpuid 18': 'cpuid 0' }),
      ],
      ['no room for a VM', { HAXM_MODEL_MAX_VMS: '0' }, until('create-vm 0', 'create-vm 12')],
      ['no permission', { HAXM_MODEL_OPEN: 'EACCES' }, ['open 13', 'access 13']],
      ['no driver', { HAXM_MODEL_OPEN: 'ENOENT' }, ['open 2', 'access 2']],
    ])('%s', (_, env, lines) => {
      // It counts RUNs; a host interrupt would be one more.
      expect(
        run([client, 'switch'], { HAXM_MODEL_TICK_US: '0', ...env })
          .stdout.trim()
          .split('\n'),
      ).toEqual(lines);
    });

    test('a processor with SMAP: the CPUID calls kill the process', () => {
      const { signal, stdout, stderr } = run([client, 'switch'], { HAXM_MODEL_SMAP: '1' });
      expect(signal).toBe('SIGKILL');
      expect(stdout).not.toMatch(/cpuid/);
      expect(stderr).toMatch(/^haxm-model: a CPUID call on a processor with SMAP: here the real driver oopses/);
    });

    test('a change of memory beside a RUN kills the process', () => {
      const { signal, stderr } = run([client, 'threads']);
      expect(signal).toBe('SIGKILL');
      expect(stderr).toMatch(/^haxm-model: a change of the VM's memory beside a RUN: here the real driver oopses/);
    });

    test('a fork with memory that the child would share kills the process', () => {
      const { signal, stdout, stderr } = run([client, 'fork'], { HAXM_MODEL_FORK: '1' });
      expect({ signal, stdout }).toEqual({ signal: 'SIGKILL', stdout: 'forked\n' });
      expect(stderr).toMatch(/^haxm-model: fork with the driver's memory at 0x[0-9a-f]+ \(0x2000 bytes\) not MADV_DONTFORK/);
    });

    test('its log says what the driver would have written', () => {
      const { stderr } = run([client, 'mmio'], { HAXM_MODEL_LOG: '1' });
      expect(stderr).toMatch(/^haxm_panic: em_decode_insn\(\) failed: vcpu_id=0/m);
    });
  });

  describe('scripts/with-haxm-model', () => {
    test.each([
      ['no command', [], /^Usage:/],
      ['an unknown option', ['--bogus'], /^with-haxm-model: unknown option '--bogus'\n$/],
      ['nothing after --', ['--'], /^with-haxm-model: no command given\n$/],
    ])('refuses %s', (_, words, message) => {
      const { status, stdout, stderr } = run(words);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(message);
    });

    test("passes the command's words and status on, before what was preloaded already", () => {
      const { status, stdout } = run(['sh', '-c', 'echo "$LD_PRELOAD $1"; exit 7', 'sh', "a 'b'"], { LD_PRELOAD: '/lib/other.so' });
      expect({ status, stdout }).toEqual({
        status: 7,
        stdout: expect.stringMatching(/libhaxm-model\.so:\/lib\/other\.so a 'b'\n$/) as string,
      });
    });
  });
});
