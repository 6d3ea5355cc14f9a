const { outLoop } = jest.requireActual<{ outLoop(devices: number): Uint8Array }>('../../../bench/dispatch.js');

/** What real mode makes of the loop: the ports in order until HLT. */
function execute(code: Uint8Array, ecx: number): number[] {
  const ports: number[] = [];
  for (let ip = 0; ports.length < 100;) {
    if (code[ip] === 0xe6) {
      ports.push(code[ip + 1]);
      ip += 2;
    } else if (code[ip] === 0x66 && code[ip + 1] === 0x49) {
      ecx--;
      ip += 2;
    } else if (code[ip] === 0x75) {
      ip += 2 + (ecx !== 0 ? (code[ip + 1] << 24) >> 24 : 0);
    } else if (code[ip] === 0xf4) {
      expect(ip).toBe(code.length - 1);
      return ports;
    } else {
      throw new Error(`byte ${code[ip]} at ${ip}`);
    }
  }
  throw new Error('it does not end');
}

describe('the guest of the dispatch table', () => {
  it('writes to one port, or to eight in turn, eight times a round', () => {
    expect(execute(outLoop(1), 3)).toEqual(Array(24).fill(0xb0));
    const eight = [0xb0, 0xb8, 0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8];
    expect(execute(outLoop(8), 2)).toEqual([...eight, ...eight]);
  });
});
