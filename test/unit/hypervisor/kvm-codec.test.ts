import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import fc from 'fast-check';
import { decode, encode, encodeList, decodeList, sizeOf } from '../../../lib/hypervisor/kvm/codec';
import { structs, type Field, type StructName } from '../../../lib/hypervisor/kvm/generated/uapi';
import { codeOf } from '../../support/codes';

const names = Object.keys(structs) as StructName[];
const native = path.resolve(__dirname, '../../../native/backends/kvm');
const isStruct = (type: string): type is StructName => type in structs;
const bits = (type: string): number => Number(type.slice(1));

/** Values of every member by a rule; of a union the member chosen. */
function build(struct: StructName, scalar: (field: Field) => unknown, choose: (members: string[]) => string): Record<string, unknown> {
  const { fields, union } = structs[struct];
  const wanted = union ? [choose(Object.keys(fields))] : Object.keys(fields);
  const one = (field: Field): unknown => (isStruct(field.type) ? build(field.type, scalar, choose) : scalar(field));
  return Object.fromEntries(
    wanted.map((name) => {
      const field = fields[name];
      if (field.count === undefined) return [name, one(field)];
      const list = Array.from({ length: field.count }, () => one(field));
      return [name, field.type === 'u8' ? Uint8Array.from(list as number[]) : list];
    }),
  );
}

/** C statements that give the same members the same values, by their names. */
function assignments(value: unknown, at: string): string[] {
  if (value instanceof Uint8Array) return [...value].map((byte, i) => `((unsigned char *)&${at})[${i}] = ${byte};`);
  if (Array.isArray(value)) return value.flatMap((each, i) => assignments(each, `${at}[${i}]`));
  if (typeof value === 'object') return Object.entries(value!).flatMap(([name, each]) => assignments(each, `${at}.${name}`));
  const text = typeof value === 'bigint' ? `${BigInt.asUintN(64, value)}ull` : (value as number).toString();
  // A pointer takes a number in its own way.
  return [`ASSIGN(${at}, ${text});`];
}

const hasCompiler = existsSync('/usr/include/linux/kvm.h') && existsSync('/usr/bin/gcc');
const oracle = hasCompiler ? it : it.skip;

/** Members all different and without a zero byte. `which` picks the members of unions. */
function samples(): { struct: StructName; value: Record<string, unknown> }[] {
  let next = 0;
  const scalar = ({ type }: Field): unknown => {
    let number = 0n;
    for (let i = 0; i < bits(type) / 8; i++) number = (number << 8n) | BigInt((next++ % 127) + 1);
    return bits(type) === 64 ? number : Number(number);
  };
  return names
    .filter((name) => ['kvm_run', 'kvm_sync_regs'].includes(name) || !/_[su]$|_chip$|_redirtbl$/.test(name))
    .flatMap((struct) => [0, 1, 2, 3].map((which) => ({ struct, value: build(struct, scalar, (m) => m[which % m.length]) })));
}

describe('structures of KVM', () => {
  let bytesOfC: string[] = [];
  const cases = samples();
  const preprocessed = ['-E', '-P', '-include', 'sys/ioctl.h', path.join(native, 'newer.h')];
  const header = hasCompiler ? execFileSync('gcc', preprocessed, { encoding: 'utf8' }) : '';
  // Parts without a name of their own in C are tested as parts.
  const inC = cases.filter(({ struct }) => new RegExp(`struct ${struct} \\{`).test(header));

  beforeAll(() => {
    if (!hasCompiler) return;
    const work = mkdtempSync(path.join(tmpdir(), 'kvm-codec-'));
    const lines = inC.map(
      ({ struct, value }) =>
        `  { struct ${struct} v; memset(&v, 0, sizeof v); ${assignments(value, 'v').join(' ')} print(&v, ${sizeOf(struct)}, sizeof v); }`,
    );
    const source = `#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include "newer.h"
#define ASSIGN(member, value) ((member) = (__typeof__(member))(value))
static void print(const void *at, int size, int real) {
  for (int i = 0; i < size; i++) printf("%02x", ((const unsigned char *)at)[i]);
  printf(" %d\\n", real);
}
int main(void) {
${lines.join('\n')}
  return 0;
}
`;
    writeFileSync(path.join(work, 'oracle.c'), source);
    execFileSync('gcc', ['-w', '-I', native, '-o', path.join(work, 'oracle'), path.join(work, 'oracle.c')]);
    bytesOfC = execFileSync(path.join(work, 'oracle'), { encoding: 'utf8', maxBuffer: 1 << 26 })
      .trim()
      .split('\n');
    rmSync(work, { recursive: true });
  }, 60_000);

  oracle('lie in memory as the C compiler has them', () => {
    expect(inC.length).toBeGreaterThan(200);
    inC.forEach(({ struct, value }, i) => {
      const [bytes, size] = bytesOfC[i].split(' ');
      expect([struct, Buffer.from(encode(struct, value as never)).toString('hex')]).toEqual([struct, bytes]);
      expect([struct, sizeOf(struct)]).toEqual([struct, Number(size)]);
    });
  });

  oracle('are read from there', () => {
    inC.forEach(({ struct, value }, i) => {
      const [bytes] = bytesOfC[i].split(' ');
      expect([struct, decode(struct, Buffer.from(bytes, 'hex'))]).toEqual([struct, expect.objectContaining(deep(value))]);
    });
  });

  it('come back as they went', () => {
    for (const struct of names) {
      if (JSON.stringify(structs[struct]).includes('union') || containsUnion(struct)) continue;
      const byte = fc.integer({ min: 0, max: 255 });
      const value = fc.infiniteStream(byte).map((stream) =>
        build(
          struct,
          ({ type }) => {
            let number = 0n;
            for (let i = 0; i < bits(type) / 8; i++) number = (number << 8n) | BigInt(stream.next().value ?? 0);
            const signed = type.startsWith('s') ? BigInt.asIntN(bits(type), number) : number;
            return bits(type) === 64 ? signed : Number(signed);
          },
          ([first]) => first,
        ),
      );
      fc.assert(
        fc.property(value, (sample) => {
          const plain = withoutSecondViews(struct, sample);
          expect(decode(struct, encode(struct, plain as never))).toMatchObject(plain);
        }),
        { numRuns: 10 },
      );
    }
  });

  it('take what fits and name what does not', () => {
    const irq = { irq: 5 };
    expect([...encode('kvm_interrupt', irq)]).toEqual([5, 0, 0, 0]);
    const wrong: unknown[] = [{ irq: -1 }, { irq: 2 ** 32 }, { irq: 0.5 }, { irq: '5' }, { irq: null }, { irq: NaN }, {}, null, 5, 'x'];
    for (const value of [...wrong, { irq: 5, rocks: 1 }, { irq: 1n << 32n }]) {
      expect([value, codeOf(() => encode('kvm_interrupt', value as never))]).toEqual([value, 'ERR_HAX_INVALID_ARGUMENT']);
    }
    expect(() => encode('kvm_regs', { rax: 1 } as never)).toThrow('kvm_regs.rbx is missing');
    expect(() => encode('kvm_create_device', { type: 0, fd: 0, flags: 0, colour: 1 } as never)).toThrow(/no member "colour"/);
    const routing = { gsi: 1, type: 2, flags: 0 };
    expect(codeOf(() => encode('kvm_irq_routing_entry', { ...routing, u: {} }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    const args = { cap: 1, flags: 0, args: [1, 2, 3, 4, 5] };
    expect(() => encode('kvm_enable_cap', args)).toThrow(/list of at most 4/);
    expect(() => encode('kvm_enable_cap', { ...args, args: [-1] })).toThrow(/args\[0\]/);
    expect(decode('kvm_hyperv_eventfd', encode('kvm_hyperv_eventfd', { conn_id: 1, fd: -1, flags: 0 })).fd).toBe(-1);
  });

  it('have their open arrays behind them', () => {
    const entries = [{ index: 1, data: 2n }, { index: 3, data: 4n }]; // prettier-ignore
    const bytes = encodeList('kvm_msrs', { nmsrs: 2 }, 'kvm_msr_entry', entries);
    expect(bytes.length).toBe(40);
    expect(decodeList('kvm_msr_entry', bytes, sizeOf('kvm_msrs'), 2)).toEqual(entries);
  });
});

function containsUnion(struct: StructName): boolean {
  return structs[struct].union === true || Object.values(structs[struct].fields).some(({ type }) => isStruct(type) && containsUnion(type));
}

/** Of members that share their bytes only the last counts. */
function withoutSecondViews(struct: StructName, value: Record<string, unknown>): Record<string, unknown> {
  const shared = Object.entries(structs[struct].fields).filter(([, { optional }]) => optional);
  return Object.fromEntries(Object.entries(value).filter(([name]) => !shared.slice(0, -1).some(([each]) => each === name)));
}

/** Unions are read with all their members, so only those given are compared; of members that share bytes the last given. */
function deep(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'irq' || !('status' in value))
      .map(([name, each]) => {
        if (each instanceof Uint8Array || typeof each !== 'object') return [name, each];
        if (Array.isArray(each))
          return [
            name,
            (each as unknown[]).map((e) => (typeof e === 'object' ? (expect.objectContaining(deep(e as never)) as unknown) : e)),
          ];
        return [name, expect.objectContaining(deep(each as never))];
      }),
  );
}
