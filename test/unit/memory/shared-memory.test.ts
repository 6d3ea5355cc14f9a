import { createSharedMemory } from '../../../lib/memory/shared-memory';

describe('createSharedMemory', () => {
  it('takes sizes as mapMemory() does, and rounds them up to pages of 64 KiB', () => {
    expect([1, 65537, '64K', '0x20000'].map((size) => createSharedMemory(size).buffer.byteLength / 65536)).toEqual([1, 2, 1, 2]);
    for (const wrong of [0, -1, 0.5, NaN, '64 bits', 2 ** 33, '5G', undefined, null, 1n])
      expect(() => createSharedMemory(wrong as number)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });

  it('says so where there is no WebAssembly, as under --jitless', () => {
    const host = globalThis as { WebAssembly?: unknown };
    const { WebAssembly } = host;
    delete host.WebAssembly;
    try {
      expect(() => createSharedMemory(1)).toThrow(
        expect.objectContaining({ code: 'ERR_HAX_UNSUPPORTED', hint: expect.stringContaining('--jitless') }),
      );
    } finally {
      host.WebAssembly = WebAssembly;
    }
  });
});
