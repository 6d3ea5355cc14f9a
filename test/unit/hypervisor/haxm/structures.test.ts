import { packCpuidTable, unpackCpuidTable } from '../../../../lib/hypervisor/haxm/cpuid';
import { packRegisters, stateSize, stateSizeWithXcr0, unpackRegisters } from '../../../../lib/hypervisor/haxm/registers';
import { packMsrs, unpackCapability, unpackMsrs, unpackTunnelInfo, unpackVersion } from '../../../../lib/hypervisor/haxm/structures';
import { packTunnelChanges, unpackTunnel } from '../../../../lib/hypervisor/haxm/tunnel';

const bytes = (text: string, size = 0): Buffer => {
  const given = Buffer.from(text.replaceAll(' ', ''), 'hex');
  return Buffer.concat([given], Math.max(size, given.length));
};

// What the 7.8.0 driver wrote is from its observed log (docs/backends/haxm.md).
describe('what the driver answers', () => {
  it('is decoded as version and capability', () => {
    expect(unpackVersion(bytes('0100000004000000'))).toEqual({ compatVersion: 1, currentVersion: 4 });
    const all = unpackCapability(bytes('0300ff03 00000000 0000000000000100'));
    expect(all).toMatchObject({ working: true, blockedBy: [], memoryQuota: 1n << 48n, wstatus: 3, winfo: 0x3ff });
    expect(new Set(Object.values(all.features))).toEqual(new Set([true]));
    expect(unpackCapability(bytes('0100ff03 00000000 0000000000000000')).memoryQuota).toBeUndefined();
    expect(unpackCapability(bytes('0300fe03 00000000 0000000000000100')).features.ept).toBe(false);
  });

  it('is decoded as what blocks it', () => {
    const blocked = unpackCapability(bytes('00000300 00000000 0000000000000000'));
    expect(blocked).toMatchObject({ working: false, blockedBy: ['vt', 'nx'] });
    expect(new Set(Object.values(blocked.features))).toEqual(new Set([false]));
  });

  it('is decoded as the place of the tunnel', () => {
    const info = unpackTunnelInfo(bytes('0080a334337f0000 0070a334337f0000 0010000000000000'));
    expect(info).toEqual({ va: 0x7f3334a38000n, ioVa: 0x7f3334a37000n, size: 4096 });
  });
});

describe('the tunnel', () => {
  const view = (tunnel: string, buffer: string): Buffer => Buffer.concat([bytes(tunnel, 56), bytes(buffer, 64)]);

  it('tells of an OUT, a string OUT and an IN', () => {
    const out = view(
      '1e00000000000000010000000000000000000000000000000000010 0f8030100 00000000000000000000000000000000 0009e0fe',
      '41cccccc',
    );
    expect(unpackTunnel(out)).toMatchObject({ status: 'io', reason: 30, direction: 'out', port: 0x3f8, size: 1, count: 1, string: false });
    expect(unpackTunnel(out)).toMatchObject({ data: Uint8Array.of(0x41), apicBase: 0xfee00900n, readyForInterrupt: false });
    const string = view(
      '1e0000000000000001000000000000000000000000000000 00010100f8030400 0100000000000000e910000000000000 0009e0fe',
      '48656c6c6566',
    );
    expect(unpackTunnel(string)).toMatchObject({ count: 4, string: true, downwards: true, linearAddress: 0x10e9n });
    const input = view('1e0000000000000001000000000000000000000000000000 01000200f8030100', 'cccccccc');
    expect(unpackTunnel(input)).toMatchObject({ status: 'io', direction: 'in', size: 2, data: new Uint8Array(0) });
  });

  it('never shows the stale bytes of an MMIO record', () => {
    const tunnel = '3000000000000000 0900000000000000';
    const read = unpackTunnel(view(tunnel, '10000a0000000000 cccccccccccccccc 0100cccccccccccc'));
    expect(read).toMatchObject({ status: 'fast-mmio', reason: 48, direction: 'in', gpa: 0xa0010n, size: 1, value: 0n });
    const write = unpackTunnel(view(tunnel, '14000a0000000000 1277cccccccccccc 0201cccccccccccc'));
    expect(write).toMatchObject({ direction: 'out', gpa: 0xa0014n, size: 2, value: 0x7712n });
  });

  it('tells of the exits of drivers before 7.3.0', () => {
    const tunnel = '3000000000000000 0900000000000000';
    const record = (direction: string): string => `10000a0000000000 24000a0000000000 04${direction}cccccccccccc`;
    const there = { status: 'fast-mmio', direction: 'move', gpa: 0xa0010n, to: 0xa0024n, size: 4, value: 0n };
    expect(unpackTunnel(view(tunnel, record('02')))).toMatchObject(there);
    expect(unpackTunnel(view(tunnel, record('03')))).toMatchObject({ ...there, gpa: 0xa0024n, to: 0xa0010n });
    const undecoded = unpackTunnel(view('3000000000000000 0200000000000000 0000000000000000 10000a0000000000', ''));
    expect(undecoded).toMatchObject({ status: 'mmio', gpa: 0xa0010n });
  });

  it('tells of protected memory, debug stops and the rest', () => {
    const fault = view('3000000000000000 0a00000000000000 0000000000000000 0020000000000000 04000000', '');
    expect(unpackTunnel(fault)).toMatchObject({ status: 'page-fault', gpa: 0x2000n, flags: 4, access: { read: false, execute: true } });
    const stop = view('0000000000000000 0b00000000000000 0000000000000000 0110000000000000 0040000000000000 0004000000000000', '');
    expect(unpackTunnel(stop)).toMatchObject({ status: 'debug', rip: 0x1001n, dr6: 0x4000n, dr7: 0x400n });
    const names = Array.from(
      { length: 13 },
      (_, number) => unpackTunnel(view(`00000000 00000000 ${Buffer.of(number).toString('hex')}000000`, '')).status,
    );
    expect(names.slice(2, 9)).toEqual(['mmio', 'real-mode', 'interrupt', 'unknown', 'hlt', 'state-change', 'paused']);
    expect(unpackTunnel(view('00000000 00000000 63000000', ''))).toMatchObject({ status: 'unknown', statusNumber: 99 });
  });

  it('is changed only where the mask says', () => {
    expect(packTunnelChanges({ exitReason: 8 }).subarray(0, 8)).toEqual(bytes('01000000 08000000'));
    const packed = packTunnelChanges({ requestInterruptWindow: true, buffer: { offset: 8, bytes: Uint8Array.of(1, 2) } });
    expect(packed.length).toBe(80);
    expect(packed.subarray(0, 20)).toEqual(bytes('0c080200 00000000 00000000 01000000 01020000'));
  });
});

describe('registers', () => {
  it.each([stateSize, stateSizeWithXcr0])('of %d bytes keep every member, and show nothing behind dr7', (size) => {
    const source = Buffer.alloc(size);
    for (let i = 0; i < size; i++) source[i] = (i * 7 + 3) & 0xff;
    const registers = unpackRegisters(source);
    const packed = packRegisters(registers, size);
    expect(unpackRegisters(packed)).toEqual(registers);
    const behind = size - 512 + 0x1d0;
    expect(packed.subarray(behind)).toEqual(Buffer.alloc(size - behind));
    expect(registers.dr7).toBe(source.readBigUInt64LE(behind - 8));
    expect(registers.xcr0).toBe(size === stateSize ? undefined : source.readBigUInt64LE(0x1a0));
    expect(Object.keys(registers)).not.toContain('efer');
  });

  it('have the places of the driver', () => {
    const reset = Buffer.alloc(stateSize);
    Buffer.from('f0ff0000000000000200000000000000 00f00000ffff00000000ffff0000000093000000'.replaceAll(' ', ''), 'hex').copy(reset, 0x80);
    reset.writeUInt32LE(0x60000010, 0x180);
    const { rip, rflags, cs, cr0 } = unpackRegisters(reset);
    expect({ rip, rflags, cs, cr0 }).toEqual({
      rip: 0xfff0n,
      rflags: 2n,
      cs: { selector: 0xf000, base: 0xffff0000n, limit: 0xffff, ar: 0x93 },
      cr0: 0x60000010n,
    });
  });
});

describe('lists', () => {
  it('of MSRs end where the driver stopped', () => {
    const packed = packMsrs([
      [0x10, 5n],
      [0xc0000080, 0x500n],
    ]);
    expect(packed.length).toBe(520);
    expect(unpackMsrs(packed)).toEqual([]);
    packed.writeUInt16LE(1, 2);
    expect(unpackMsrs(packed)).toEqual([5n]);
    packed.writeUInt16LE(0xcccc, 2);
    expect(unpackMsrs(packed)).toEqual([5n, 0x500n]);
  });

  it('of CPUID entries are as long as their header says', () => {
    const entries = [1, 2].map((fn) => ({ function: fn, index: 0, flags: 0, eax: 0x106f1, ebx: 0x10800, ecx: 0xb6d82203, edx: fn }));
    const packed = packCpuidTable(entries);
    expect(packed.length).toBe(88);
    expect(unpackCpuidTable(packed)).toEqual(entries);
    packed.writeUInt32LE(1, 0);
    expect(unpackCpuidTable(packed)).toEqual(entries.slice(0, 1));
    packed.writeUInt32LE(1000, 0);
    expect(unpackCpuidTable(packed)).toEqual(entries);
    expect(packCpuidTable([], 64).readUInt32LE(0)).toBe(64);
  });
});
