import { bootGdt, flat32, long64, realMode } from '../../../lib/boot/registers';
import { refusal } from './images';

const segments = ['cs', 'ds', 'es', 'fs', 'gs', 'ss'] as const;

describe('realMode', () => {
  test('starts at 0:ip with every segment at its selector times 16', () => {
    const state = realMode({ ip: 0x1000 });
    expect(state.rip).toBe(0x1000);
    for (const name of segments) expect(state[name]).toMatchObject({ base: 0, limit: 0xffff, selector: 0 });
    expect(state.cs!.attributes).toBe(0x9b);
    expect(state.ss!.attributes).toBe(0x93);
    expect(state).toMatchObject({ cr0: 0x10, cr3: 0, cr4: 0, efer: 0, rflags: 2, rax: 0, rdx: 0, r15: 0 });
  });

  test('takes each segment group', () => {
    const state = realMode({ ip: 5, cs: 0xf000, ds: 0x1234, ss: 0x2000, sp: 0xfffe });
    expect(state.cs).toMatchObject({ base: 0xf0000, selector: 0xf000 });
    for (const name of ['ds', 'es', 'fs', 'gs'] as const) expect(state[name]).toMatchObject({ base: 0x12340, selector: 0x1234 });
    expect(state.ss).toMatchObject({ base: 0x20000, selector: 0x2000 });
    expect(state.rsp).toBe(0xfffe);
  });

  test('leaves what belongs to the local APIC alone', () => {
    expect(realMode({ ip: 0 })).not.toHaveProperty('apicBase');
    expect(realMode({ ip: 0 })).not.toHaveProperty('cr8');
  });

  test.each(['ip', 'cs', 'ds', 'ss', 'sp'])('refuses %s beyond 16 bits', (name) => {
    const error = refusal(() => realMode({ ip: 0, [name]: 0x10000 }));
    expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(error.message).toContain(name);
  });
});

describe('flat32', () => {
  test('is protected mode without paging, over flat segments', () => {
    const state = flat32({ ip: 0x100000, sp: 0x9000, gdt: { base: 0x500, limit: 31 } });
    expect(state).toMatchObject({ rip: 0x100000, rsp: 0x9000, cr0: 0x11, cr4: 0, efer: 0, rflags: 2, gdt: { base: 0x500, limit: 31 } });
    expect(state.cs).toEqual({ base: 0, limit: 0xffffffff, selector: 0x10, attributes: 0xc09b });
    for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const) {
      expect(state[name]).toEqual({ base: 0, limit: 0xffffffff, selector: 0x18, attributes: 0xc093 });
    }
    expect(state.idt).toEqual({ base: 0, limit: 0 });
  });

  test('needs no GDT', () => expect(flat32({ ip: 0 }).gdt).toEqual({ base: 0, limit: 0 }));
  test('refuses an ip beyond 4 GiB', () => expect(refusal(() => flat32({ ip: 2 ** 32 })).message).toContain('ip'));
});

describe('long64', () => {
  test('is 64-bit mode with paging', () => {
    const state = long64({ ip: 0x1000200, sp: 0x8000, cr3: 0x3000, gdt: { base: 0x500, limit: 31 } });
    expect(state).toMatchObject({ rip: 0x1000200, cr0: 0x80000031, cr3: 0x3000, cr4: 0x20, efer: 0x500, rflags: 2 });
    expect(state.cs).toMatchObject({ selector: 0x10, attributes: 0xa09b });
    expect(state.ss).toMatchObject({ selector: 0x18, attributes: 0xc093 });
    expect(state.tr).toEqual({ base: 0, limit: 0xffff, selector: 0, attributes: 0x8b });
  });

  test('takes addresses of the upper half as bigints', () => {
    const state = long64({ ip: 0xffffffff80000000n, sp: 2n ** 64n - 16n, cr3: 0x3000 });
    expect(state).toMatchObject({ rip: 0xffffffff80000000n, rsp: 2n ** 64n - 16n });
    for (const ip of [-1n, 2n ** 64n, 2 ** 53, '5']) expect(refusal(() => long64({ ip: ip as bigint, cr3: 0 })).message).toContain('ip');
  });

  test('refuses a cr3 that is not an address', () => expect(refusal(() => long64({ ip: 0, cr3: -1 })).message).toContain('cr3'));
});

test('an option that is written wrong is refused, with those that there are', () => {
  for (const call of [realMode, flat32, long64])
    expect(refusal(() => call({ ip: 0, cr3: 0, stack: 0x8000 } as never)).message).toMatch(/has no option "(stack|cr3)"; it has .*\bip\b/);
});

test('the GDT holds the descriptors whose hidden parts the states set', () => {
  expect(Buffer.from(bootGdt(32)).toString('hex')).toBe('00'.repeat(16) + 'ffff0000009bcf00' + 'ffff00000093cf00');
  expect(Buffer.from(bootGdt(64)).toString('hex')).toBe('00'.repeat(16) + 'ffff0000009baf00' + 'ffff00000093cf00');
  expect(refusal(() => bootGdt(16 as never)).message).toBe('bootGdt() takes 32 or 64, not 16');
});
