import { inspect } from 'node:util';
import { checkMsr, msrRefused, StateView } from '../../../lib/hypervisor/state';
import { fxsaveSize, maxMsrs, msrSize, segmentSize, stateBlock } from '../../../lib/native/layout';
import { controlRegisters, generalRegisters, segmentRegisters } from '../../../lib/util/cpu-state';
import { codeOf } from '../../support/codes';

const blockEnd = stateBlock.msrs + maxMsrs * msrSize;

function make(): { view: StateView; bytes: DataView } {
  const shared = new ArrayBuffer(blockEnd);
  return { view: new StateView(shared), bytes: new DataView(shared) };
}

describe('StateView', () => {
  it('puts every register at its place and reads it from there', () => {
    const { view, bytes } = make();
    let next = 0x1000n;
    const init: Record<string, unknown> = {};
    for (const name of [...generalRegisters, ...controlRegisters]) init[name] = next++;
    for (const name of segmentRegisters)
      init[name] = { base: next++, limit: Number(next++), selector: Number(next++), attributes: Number(next++) };
    for (const name of ['gdt', 'idt']) init[name] = { base: next++, limit: Number(next++) };
    view.write(init);
    expect({ ...view.read() }).toEqual(init);
    generalRegisters.forEach((name, i) => expect(bytes.getBigUint64(stateBlock.general + 8 * i, true)).toBe(init[name]));
    segmentRegisters.forEach((name, i) => {
      const at = stateBlock.segments + i * segmentSize;
      const { base, limit, selector, attributes } = init[name] as { base: bigint; limit: number; selector: number; attributes: number };
      expect([bytes.getBigUint64(at, true), ...[8, 12, 16].map((offset) => bytes.getUint32(at + offset, true))]).toEqual([
        base,
        limit,
        attributes,
        selector,
      ]);
    });
    expect(bytes.getBigUint64(stateBlock.cr3, true)).toBe(init.cr3);
    expect(view.general('rip')).toBe(init.rip);
    // Nothing else was written.
    for (let at = stateBlock.mpState; at < blockEnd; at++) expect(bytes.getUint8(at)).toBe(0);
    for (let at = 0; at < stateBlock.general; at++) expect(bytes.getUint8(at)).toBe(0);
  });

  it('refuses a part that a segment or a table has not, and changes nothing', () => {
    const { view } = make();
    for (const init of [{ cs: { base: 0x1000, type: 11, present: 1 } }, { ds: { slector: 8 } }, { gdt: { base: 1, selector: 8 } }]) {
      expect(codeOf(() => view.write({ rax: 5, ...init } as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect([view.read().rax, view.read().cs.base, view.read().gdt.base]).toEqual([0n, 0n, 0n]);
    }
    expect(() => view.write({ cs: { type: 11 } } as never)).toThrow(
      "cs has no part 'type'; its parts are base, limit, selector, attributes",
    );
  });

  it('takes numbers and bigints to their limits', () => {
    const { view } = make();
    view.write({
      rax: Number.MAX_SAFE_INTEGER,
      rbx: 2n ** 64n - 1n,
      rcx: 0,
      cs: { limit: 0xffffffff, attributes: 0x1ffff, selector: 0xffff },
    });
    view.write({ gdt: { limit: 0xffff }, rdx: undefined, cs: { base: undefined as never } });
    const { rax, rbx, rcx, cs, gdt } = view.read();
    expect([rax, rbx, rcx, gdt.limit]).toEqual([BigInt(Number.MAX_SAFE_INTEGER), 2n ** 64n - 1n, 0n, 0xffff]);
    expect(cs).toEqual({ base: 0n, limit: 0xffffffff, attributes: 0x1ffff, selector: 0xffff });
  });

  it('refuses a value and keeps all others as they were', () => {
    const { view, bytes } = make();
    view.write({ rax: 1n, cs: { base: 2n } });
    const before = Buffer.from(bytes.buffer).toString('hex');
    const bad: [string, unknown, RegExp][] = [
      ['rbx', -1, /register rbx takes an unsigned 64-bit number or bigint, not -1/],
      ['rbx', 2n ** 64n, /rbx/],
      ['rbx', 2 ** 53, /rbx/],
      ['rbx', 1.5, /1\.5/],
      ['rbx', '1', /"1"/],
      ['rbx', '0x', /"0x"/],
      ['rbx', '0x10000000000000000', /rbx/],
      ['rbx', '0xFF', /"0xFF"/],
      ['ds', { limit: '0x100000000' }, /ds\.limit takes an unsigned 32-bit/],
      ['rbx', Symbol('s'), /symbol/],
      ['rbx', {}, /object/],
      ['ds', 5, /ds takes an object with its parts, not 5/],
      ['ds', { base: -1n }, /ds\.base/],
      ['ds', { limit: 2 ** 32 }, /ds\.limit takes an unsigned 32-bit/],
      ['ds', { selector: 0x10000 }, /ds\.selector takes an unsigned 16-bit/],
      ['ds', { attributes: 0x20000 }, /ds\.attributes takes an unsigned 17-bit/],
      ['idt', { limit: 0x10000 }, /idt\.limit takes an unsigned 16-bit/],
      ['eax', 1, /no register 'eax'; the names are rax, rbx/],
      ['general', 1, /no register 'general'/],
      ['msrs', 1, /no register 'msrs'/],
      ['__proto__x', 1, /no register/],
    ];
    for (const [name, value, message] of bad) {
      const write = (): void => view.write({ rax: 99n, [name]: value, rcx: 99n });
      expect(codeOf(write)).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(write).toThrow(message);
      expect(Buffer.from(bytes.buffer).toString('hex')).toBe(before);
    }
  });

  it('shows hex to people and gives JSON that can be written back', () => {
    const { view } = make();
    view.write({ rip: 0xfff0n, cs: { base: 0xffff0000, selector: 0xf000 } });
    const state = view.read();
    const text = inspect(state);
    expect(text).toMatch(/^CpuState \{/);
    expect(text).toMatch(/rip: 0xfff0,/);
    expect(text.replace(/\s+/g, ' ')).toMatch(/cs: \{ base: 0xffff0000, limit: 0x0, selector: 0xf000, attributes: 0x0 \}/);
    const plain = JSON.parse(JSON.stringify(state)) as Record<string, string>;
    expect(BigInt(plain.rip)).toBe(0xfff0n);
    const other = make().view;
    other.write(plain);
    expect(other.read()).toEqual(state);
    expect(JSON.parse(JSON.stringify({ state }))).toEqual({ state: plain });
  });

  it('keeps the MP state beside the registers', () => {
    const { view, bytes } = make();
    view.mpState = 3;
    expect([view.mpState, bytes.getUint32(stateBlock.mpState, true)]).toEqual([3, 3]);
  });
});

describe('model-specific registers', () => {
  it('have 32-bit indices and 64-bit values', () => {
    expect(checkMsr(0xc0000080, 1)).toEqual([0xc0000080, 1n]);
    expect(checkMsr(0, 2n ** 64n - 1n)).toEqual([0, 2n ** 64n - 1n]);
    for (const [index, value] of [
      [-1, 0],
      [2 ** 32, 0],
      ['1', 0],
      [undefined, 0],
      [1, -1],
      [1, 2n ** 64n],
      [1, undefined],
    ]) {
      expect(codeOf(() => checkMsr(index, value))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(() => checkMsr(0x1b, 'x')).toThrow(/MSR 0x1b takes/);
  });

  it('that are refused are named', () => {
    const read = msrRefused(0x4000beef, false, 'kvm');
    expect([read.code, read.operation, read.backend]).toEqual(['ERR_HAX_IOCTL', 'KVM_GET_MSRS', 'kvm']);
    expect(read.message).toContain('0x4000beef');
    expect(msrRefused(0x10, true, 'kvm').operation).toBe('KVM_SET_MSRS');
  });

  it('fit into the block with the FXSAVE image before them', () => {
    expect(stateBlock.fxsave + fxsaveSize).toBe(stateBlock.msrs);
    expect([stateBlock.fxsave % 16, stateBlock.msrs % 8, stateBlock.general % 64]).toEqual([0, 0, 0]);
  });
});
