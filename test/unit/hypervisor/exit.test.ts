import { inspect } from 'node:util';
import { isCrash, type EndReason, type RunEnd } from '../../../lib/hypervisor/end';
import { ExitCounters } from '../../../lib/hypervisor/exit-counters';
import { ExitView } from '../../../lib/hypervisor/exit';
import { exitDataSize, exitKinds, exitPage, ExitKind } from '../../../lib/native/layout';
import { codeOf } from '../../support/codes';

const pageSize = exitPage.data + exitDataSize;

interface Page {
  readonly view: ExitView;
  readonly bytes: DataView;
  u32(at: number, value: number): Page;
  detail(index: number, value: bigint): Page;
  word(index: number, value: bigint): Page;
}

function page(kind: string, backend = 'kvm'): Page {
  const buffer = new ArrayBuffer(pageSize);
  const bytes = new DataView(buffer);
  const made: Page = {
    view: new ExitView(buffer, backend),
    bytes,
    u32: (at, value) => (bytes.setUint32(at, value, true), made),
    detail: (index, value) => (bytes.setBigUint64(exitPage.detail + 8 * index, value, true), made),
    word: (index, value) => (bytes.setBigUint64(exitPage.data + 8 * index, value, true), made),
  };
  return made.u32(exitPage.kind, exitKinds.indexOf(kind as never));
}

describe('ExitView', () => {
  it('shows port I/O with a window onto its data', () => {
    const { view, bytes } = page('io').u32(exitPage.port, 0x1f0).u32(exitPage.size, 2).u32(exitPage.count, 3).u32(exitPage.direction, 1);
    for (let i = 0; i < 8; i++) bytes.setUint8(exitPage.data + i, i + 1);
    expect(view.toJSON()).toEqual({ kind: 'io', port: 0x1f0, size: 2, count: 3, direction: 'out', data: [1, 2, 3, 4, 5, 6] });
    (view.data as Uint8Array)[0] = 0x99;
    expect(bytes.getUint8(exitPage.data)).toBe(0x99);
    expect(inspect(view)).toMatch(/kind: 'io'/);
  });

  it('never shows more data than there is', () => {
    const { view } = page('io').u32(exitPage.size, 4).u32(exitPage.count, 0xffffffff);
    expect((view.data as Uint8Array).length).toBe(exitDataSize);
    const other = page('internal-error').u32(exitPage.count, 99).u32(exitPage.instructionLength, 99);
    expect([(other.view.data as bigint[]).length, other.view.instruction.length]).toEqual([16, 15]);
  });

  it('shows memory-mapped I/O at addresses above 4 GiB', () => {
    const { view, bytes } = page('mmio').u32(exitPage.size, 8).u32(exitPage.count, 7);
    bytes.setBigUint64(exitPage.address, 0x12_3456_7890n, true);
    expect(view.toJSON()).toEqual({ kind: 'mmio', address: 0x1234567890, size: 8, direction: 'in', data: new Array(8).fill(0) });
  });

  it('takes replies to MSRs and hypercalls', () => {
    const msr = page('msr').u32(exitPage.address, 0x1b).u32(exitPage.subcode, 2).detail(0, 5n).detail(1, 1n);
    expect(msr.view.toJSON()).toEqual({ kind: 'msr', index: 0x1b, direction: 'in', reason: 2, value: '5', fault: true });
    msr.view.value = 2n ** 63n;
    msr.view.fault = false;
    expect([msr.bytes.getBigUint64(exitPage.detail, true), msr.view.value, msr.view.fault]).toEqual([2n ** 63n, 2n ** 63n, false]);
    msr.view.fault = true;
    expect(msr.view.fault).toBe(true);
    const call = page('hypercall').u32(exitPage.address, 12);
    for (let i = 0; i < 7; i++) call.detail(i, BigInt(i * 10));
    const args = ['10', '20', '30', '40', '50', '60'];
    expect(call.view.toJSON()).toEqual({ kind: 'hypercall', number: 12, arguments: args, longMode: false, result: '0' });
    call.view.result = 7n;
    expect(call.view.result).toBe(7n);
    for (const wrong of [7, '7', undefined, null] as never[]) {
      expect(codeOf(() => (call.view.result = wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(codeOf(() => (msr.view.value = wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(call.view.result).toBe(7n);
  });

  it('shows what each kind says', () => {
    const told = (made: Page): unknown => made.view.toJSON();
    const numbers = (kind: string): Page => page(kind).u32(exitPage.subcode, 3).detail(0, 0x10n).detail(1, 0x20n).detail(2, 0x30n);
    expect(told(numbers('debug'))).toEqual({ kind: 'debug', exception: 3, pc: '16', dr6: '32', dr7: '48' });
    const event = numbers('system-event').u32(exitPage.count, 2).word(0, 16n).word(1, 7n);
    expect(told(event)).toEqual({ kind: 'system-event', type: 3, flags: '16', data: ['16', '7'] });
    expect(told(numbers('memory-fault').u32(exitPage.address, 0x5000))).toEqual({
      kind: 'memory-fault',
      address: 0x5000,
      size: '32',
      flags: '16',
    });
    expect(told(numbers('fail-entry'))).toEqual({ kind: 'fail-entry', hardwareReason: '16', cpu: 32 });
    const failed = page('internal-error')
      .u32(exitPage.subcode, 3)
      .u32(exitPage.count, 2)
      .u32(exitPage.instructionLength, 2)
      .word(0, 16n)
      .word(1, 32n);
    failed.bytes.setUint16(exitPage.instruction, 0x0fae);
    expect(told(failed)).toEqual({ kind: 'internal-error', suberror: 3, data: ['16', '32'], instruction: [0x0f, 0xae] });
    expect(told(page('interrupted').u32(exitPage.subcode, 1))).toEqual({ kind: 'interrupted', reason: 'kick' });
    expect(told(page('interrupted').u32(exitPage.subcode, 2))).toEqual({ kind: 'interrupted', reason: 'slice' });
    expect(told(page('unknown', 'haxm').u32(exitPage.rawCode, 77))).toMatchObject({ kind: 'unknown', backend: 'haxm', rawCode: 77 });
    for (const kind of ['hlt', 'irq-window', 'shutdown', 'none']) expect(told(page(kind))).toEqual({ kind });
  });

  it('calls a number that it does not know unknown', () => {
    expect(page('hlt').u32(exitPage.kind, 9999).view.kind).toBe('unknown');
    expect(exitKinds[ExitKind.Unknown]).toBe('unknown');
  });
});

describe('ExitCounters', () => {
  it('counts by kind, port and page', () => {
    const counters = new ExitCounters();
    expect(counters.snapshot()).toEqual({ handled: 0, kinds: {}, ports: {}, pages: {}, slices: 0 });
    counters.ports[0x3f8] += 5;
    counters.ports[0xffff]++;
    counters.kinds[ExitKind.Mmio] += 2;
    counters.kinds[ExitKind.Interrupted] += 9;
    counters.slices = 4;
    counters.countPage(0xfee00123);
    counters.countPage(0xfee00fff);
    counters.countPage(0x1_0000_0000);
    expect(counters.snapshot()).toEqual({
      handled: 8,
      kinds: { io: 6, mmio: 2, interrupted: 9 },
      ports: { '0x3f8': 5, '0xffff': 1 },
      pages: { '0xfee00000': 2, '0x100000000': 1 },
      slices: 4,
    });
  });

  it('keeps no more than a cap of pages', () => {
    const counters = new ExitCounters();
    for (let i = 0; i < 5000; i++) counters.countPage(i * 4096);
    counters.countPage(0);
    const { pages } = counters.snapshot();
    expect([Object.keys(pages).length, pages['0x0']]).toEqual([1024, 2]);
  });

  it("a port's count goes on beyond 32 bits", () => {
    const counters = new ExitCounters();
    for (let i = 0; i < 3; i++) {
      counters.ports[5] += 2 ** 32 - 1;
      counters.carry(5);
    }
    counters.ports[6] = 2 ** 32 - 2;
    counters.count(ExitKind.Io, 6);
    counters.count(ExitKind.Io, 5);
    counters.close();
    counters.carry(5);
    expect(counters.snapshot()).toMatchObject({
      handled: 4 * (2 ** 32 - 1) + 1,
      ports: { '0x5': 3 * (2 ** 32 - 1) + 1, '0x6': 2 ** 32 - 1 },
    });
  });

  it('keeps its counts when it is closed, and what others count then is theirs', () => {
    const first = new ExitCounters();
    first.ports[1] = 11;
    first.ports[1023] = first.ports[1024] = 1;
    first.ports[0xffff] = 2 ** 31;
    first.carry(0xffff);
    first.ports[0xffff] = 1;
    const counted = first.snapshot().ports;
    expect(counted).toEqual({ '0x1': 11, '0x3ff': 1, '0x400': 1, '0xffff': 2 ** 31 + 1 });
    first.close();
    first.close();
    const second = new ExitCounters();
    expect(second.snapshot().ports).toEqual({});
    expect(second.ports.every((count) => count === 0)).toBe(true);
    second.ports[2] = 22;
    first.ports[3]++;
    expect([first.snapshot().ports, second.snapshot().ports]).toEqual([counted, { '0x2': 22 }]);
    second.close();
  });
});

describe('isCrash', () => {
  it('tells crashes from other ends', () => {
    const crashes: EndReason[] = ['panicked', 'triple-fault', 'fail-entry', 'internal-error', 'unhandled-exit'];
    const others: EndReason[] = ['powered-off', 'reset', 'halted', 'killed', 'exit-code'];
    expect(crashes.map((reason) => isCrash({ reason } as RunEnd))).toEqual(crashes.map(() => true));
    expect(others.map((reason) => isCrash({ reason } as RunEnd))).toEqual(others.map(() => false));
  });
});
