/** The trace's file and the events of a track, without a device: the exit page is filled by hand. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { checkTrace, ExitTrace } from '../../../lib/hypervisor/exit-trace';
import type { ExitTrack } from '../../../lib/hypervisor/exit-track';
import type { Vcpu } from '../../../lib/hypervisor/vcpu';
import type { VirtualMachine } from '../../../lib/hypervisor/vm';
import { exitPage, ExitKind } from '../../../lib/native/layout';
import type { HaxError } from '../../../lib/util/errors';
import { codeOf } from '../../support/codes';
import { overlaps, readTrace, type TraceEvent } from '../../support/trace';

const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-trace-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = path.join(directory, 'trace.json');

interface Fields {
  port?: number;
  address?: number;
  size?: number;
  count?: number;
  write?: boolean;
  data?: bigint;
}

class FakeVcpu {
  readonly shared = new ArrayBuffer(8192);
  readonly #page = new DataView(this.shared);

  constructor(
    readonly id = 0,
    readonly vm = {} as unknown as VirtualMachine,
  ) {}

  get vcpu(): Vcpu {
    return this as unknown as Vcpu;
  }

  exit(kind: number, { port = 0, address = 0, size = 1, count = 1, write = false, data = 0n }: Fields = {}): void {
    for (const [at, value] of Object.entries({ kind, port, size, count, direction: Number(write) })) {
      this.#page.setUint32(exitPage[at as 'kind'], value, true);
    }
    this.#page.setBigUint64(exitPage.address, BigInt(address), true);
    this.reply(data);
  }

  reply(data: bigint): void {
    this.#page.setBigUint64(exitPage.data, data, true);
  }
}

/** One entry and one exit. */
function round(track: ExitTrack, fake: FakeVcpu, kind: number, fields?: Fields): void {
  track.entering();
  fake.exit(kind, fields);
  track.exited();
}

function names(events: readonly TraceEvent[]): string[] {
  return events.filter(({ ph }) => ph === 'X').map(({ name }) => name);
}

describe('events', () => {
  const trace = new ExitTrace(file);
  const fake = new FakeVcpu(3);
  const track = trace.track(fake.vcpu)!;
  round(track, fake, ExitKind.Io, { port: 0x3f8, write: true, data: 0x1122334455667788n });
  round(track, fake, ExitKind.Io, { port: 0x60, size: 2 });
  fake.reply(0xffff1234n);
  round(track, fake, ExitKind.Io, { port: 0x1f0, size: 2, count: 256 });
  round(track, fake, ExitKind.Mmio, { address: 0x1_fee0_0000, size: 8, write: true, data: 0xfedcba9876543210n });
  round(track, fake, ExitKind.Mmio, { address: 0xd0000000, size: 4 });
  track.left(false); // its reply is awaited
  round(track, fake, ExitKind.Io, { port: 0x61 });
  fake.reply(0x77n);
  track.left(true);
  round(track, fake, ExitKind.Msr, { address: 0x1a0, write: true });
  round(track, fake, ExitKind.Msr, { address: 0x10 });
  round(track, fake, ExitKind.Hlt);
  round(track, fake, 9999);
  track.left(true);
  track.left(true);
  track.entering();
  track.entering();
  track.left(true); // the guest was left without an exit
  const another = new FakeVcpu(4, fake.vm);
  round(trace.track(another.vcpu)!, another, ExitKind.Shutdown);
  trace.track(another.vcpu)!.left(true);
  trace.track(new FakeVcpu().vcpu)!.left(true);
  trace.close();
  const events = readTrace(file);

  it('name the kind and the address', () => {
    const exits = names(events.filter(({ tid, cat }) => tid === 3 && cat === 'exit'));
    expect(exits).toEqual([
      ...['OUT 0x3f8', 'IN 0x60', 'IN 0x1f0', 'MMIO write 0x1fee00000', 'MMIO read 0xd0000000', 'IN 0x61'],
      ...['WRMSR 0x1a0', 'RDMSR 0x10', 'hlt', 'unknown'],
    ]);
  });

  it('have size and value, in reads once the reply is there, and the count of string instructions', () => {
    const args = events.filter(({ cat, tid }) => cat === 'exit' && tid === 3).map((event) => event.args);
    expect(args).toEqual([
      { size: 1, value: '0x88' },
      { size: 2, value: '0x1234' },
      { size: 2, count: 256 },
      { size: 8, value: '0xfedcba9876543210' },
      { size: 4 },
      { size: 1, value: '0x77' },
      ...(new Array(4).fill(undefined) as undefined[]),
    ]);
  });

  it('alternate with time in the guest, meet and never overlap', () => {
    const track3 = events.filter(({ ph, tid }) => ph === 'X' && tid === 3);
    expect(track3.map(({ cat }) => cat)).toEqual([...track3.slice(1).map((_, i) => (i % 2 === 0 ? 'guest' : 'exit')), 'guest']);
    expect(overlaps(events)).toEqual([]);
    expect(track3[1].ts).toBeCloseTo(track3[0].ts + track3[0].dur!, 3);
  });

  it('metadata names a process for each VM and a thread for each vCPU, once', () => {
    expect(events.filter(({ ph }) => ph === 'M')).toEqual([
      { name: 'process_name', ph: 'M', pid: 1, tid: 3, args: { name: 'VM 1' } },
      { name: 'thread_name', ph: 'M', pid: 1, tid: 3, args: { name: 'vCPU 3' } },
      { name: 'thread_name', ph: 'M', pid: 1, tid: 4, args: { name: 'vCPU 4' } },
      { name: 'process_name', ph: 'M', pid: 2, tid: 0, args: { name: 'VM 2' } },
      { name: 'thread_name', ph: 'M', pid: 2, tid: 0, args: { name: 'vCPU 0' } },
    ]);
  });
});

describe('the file', () => {
  it('is an array with nothing in it when nothing has run', () => {
    const trace = new ExitTrace(path.join(directory, 'new.json'));
    trace.close();
    trace.close();
    expect(readTrace(path.join(directory, 'new.json'))).toEqual([]);
    expect(trace.track(new FakeVcpu().vcpu)).toBeUndefined();
  });

  it('keeps what it has until something runs', () => {
    writeFileSync(file, 'of before');
    new ExitTrace(file).close();
    expect(readFileSync(file, 'utf8')).toBe('of before');
    const trace = new ExitTrace(file);
    trace.track(new FakeVcpu().vcpu);
    expect(readFileSync(file, 'utf8')).toBe('');
    trace.close();
    expect(readTrace(file)).toHaveLength(2);
  });

  it('grows while the guest runs, and tracks end with it', () => {
    const trace = new ExitTrace(file);
    const fake = new FakeVcpu();
    const track = trace.track(fake.vcpu)!;
    for (let i = 0; i < 2000; i++) round(track, fake, ExitKind.Hlt);
    const { size } = statSync(file);
    expect(size).toBeGreaterThan(65536);
    trace.close();
    round(track, fake, ExitKind.Hlt);
    track.left(true);
    const events = readTrace(file);
    expect(events).toHaveLength(2 + 2000 + 1999);
    expect(overlaps(events)).toEqual([]);
  });

  it('keeps the first events up to the limit, then tells that it is full', () => {
    const trace = new ExitTrace(file, { limit: 5 });
    const fake = new FakeVcpu();
    const track = trace.track(fake.vcpu)!;
    for (let i = 0; i < 10_000; i++) round(track, fake, ExitKind.Hlt);
    expect(trace.track(new FakeVcpu().vcpu)).toBeUndefined();
    trace.close();
    const events = readTrace(file);
    expect(events.map(({ name }) => name)).toEqual(['process_name', 'thread_name', 'guest', 'hlt', 'guest', 'trace full']);
    expect(events[5]).toMatchObject({ ph: 'i', s: 'g', ts: expect.any(Number) as number });
  });

  it('a full disk: one error, and no more', () => {
    const errors: HaxError[] = [];
    const trace = new ExitTrace('/dev/full', { onError: (error) => errors.push(error) });
    const fake = new FakeVcpu();
    const track = trace.track(fake.vcpu)!;
    for (let i = 0; i < 5000; i++) round(track, fake, ExitKind.Hlt);
    track.left(true);
    trace.close();
    expect(errors).toHaveLength(1);
    expect(errors[0].code).toBe('ERR_HAX_FILE');
    expect(errors[0].message).toMatch(/^the trace \/dev\/full cannot be written any more: ENOSPC: .*; the guest goes on without it$/);
    expect(trace.track(fake.vcpu)).toBeUndefined();
  });

  it('a full disk, and an onError that throws: an uncaught exception, and no error in the run', () => {
    const later = jest.spyOn(process, 'nextTick').mockImplementation(() => undefined);
    const onError = (): never => {
      throw new Error('not heard');
    };
    const trace = new ExitTrace('/dev/full', { onError });
    const fake = new FakeVcpu();
    const track = trace.track(fake.vcpu)!;
    for (let i = 0; i < 5000; i++) round(track, fake, ExitKind.Hlt);
    const { calls } = later.mock;
    later.mockRestore();
    expect(calls).toHaveLength(1);
    expect(calls[0][0]).toThrow('not heard');
  });

  it('a full disk at the end: a warning of the process, where nobody listens', () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    new ExitTrace('/dev/full')[Symbol.dispose]();
    expect(warn).toHaveBeenCalledTimes(1);
    warn.mockRestore();
  });
});

describe('refusals', () => {
  it.each([directory, path.join(directory, 'none', 'trace.json')])('a path that cannot be written: %s', (bad) => {
    expect(codeOf(() => new ExitTrace(bad))).toBe('ERR_HAX_FILE');
  });

  it('a FIFO does not hang', () => {
    const fifo = path.join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    expect(codeOf(() => new ExitTrace(fifo))).toBe('ERR_HAX_FILE');
  });

  it.each([undefined, '', 7])('no path: %p', (bad) => {
    expect(codeOf(() => new ExitTrace(bad as string))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it.each([0, -1, 1.5, Infinity, '7'])('a limit of %p', (limit) => {
    expect(codeOf(() => new ExitTrace(file, { limit: limit as number }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it.each([null, 5, { onError: 'loud' }, { limits: 5 }])('options %p', (options) => {
    expect(codeOf(() => new ExitTrace(file, options as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('what is no trace', () => {
    expect(codeOf(() => checkTrace({} as unknown as ExitTrace))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(() => checkTrace(undefined)).not.toThrow();
  });
});
