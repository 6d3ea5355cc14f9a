/** What crashes the driver, or the vCPU: that the model shows it to whoever makes the raw calls, and that the library keeps from it. */
import { describeModel, library, onModel, scriptOf } from '../support/haxm-model';

/** The driver's kernel crashes of `body`, for this reason. */
function expectOops(body: string, reason: string, env: NodeJS.ProcessEnv = {}): void {
  const { signal, stdout, stderr } = onModel(['-e', scriptOf(body)], env);
  expect({ signal, stdout, stderr }).toEqual({
    signal: 'SIGKILL',
    stdout: '',
    stderr: `haxm-model: ${reason}: here the real driver oopses and the process dies\n`,
  });
}

// hlt
const halt = 'const { vm, vcpu } = guest(h, [0xf4]);';
const setFpu = 0x420000c3;
const setMsrs = 0xc20800c1;

const lost = 'haxm-model: SET_REGS keeps debug registers from the processor that were to be loaded';

const without = (text: string): unknown => expect.not.stringContaining(text);

/** How a guest ends that has met a breakpoint, which is then switched off, and what the model says of `after` in its log. */
function afterBreakpoint(after: string): { end: unknown; log: string } {
  // nop; nop; hlt, and for #DB: out 0x10, al; hlt
  const body = `const { vm, vcpu } = guest(h, [0x90, 0x90, 0xf4, 0xe6, 0x10, 0xf4]); vm.memory.writeU32(4, 0x1003);
    vcpu.haxm.debug({ control: 9, dr: { dr0: 0x1001, dr7: 2 } }); const { kind } = vcpu.enter(); if (kind !== 'debug') throw new Error(kind);
    vcpu.haxm.debug({ control: 0 }); ${after}; return vcpu.enter().kind;`;
  const { status, stdout, stderr } = onModel(['-e', scriptOf(body)], { HAXM_MODEL_LOG: '1' });
  expect(status).toBe(0);
  return { end: JSON.parse(stdout), log: stderr };
}

describeModel('the library keeps the vCPU from it', () => {
  test('registers that are set after a breakpoint was switched off, which would stay on', () => {
    expect(afterBreakpoint('vcpu.setState({ rax: 1 })')).toEqual({ end: 'hlt', log: without(lost) });
  });

  test('registers that are set after debug registers were, by hand', () => {
    const after = 'vcpu.haxm.setRegs({ ...vcpu.haxm.getRegs(), dr1: 5n }); vcpu.setState({ rax: 1 })';
    expect(afterBreakpoint(after)).toEqual({ end: 'hlt', log: without(lost) });
  });
});

describeModel('the model shows', () => {
  test('debug registers that a SET_REGS by hand keeps from the processor', () => {
    // Where KVM gives a guest no breakpoints it does not meet this one either.
    const end: unknown = expect.stringMatching(/^(io|hlt)$/);
    expect(afterBreakpoint('vcpu.haxm.setRegs(vcpu.haxm.getRegs())')).toEqual({ end, log: expect.stringContaining(lost) as unknown });
  });

  test('a RUN with reserved bits in MXCSR, which nobody has looked at', () => {
    const body = `${halt} const image = Buffer.from(vcpu.getFpu()); image[26] = 1; vcpu.ioctl(${setFpu}, image); vcpu.enter();`;
    expectOops(body, 'RUN with reserved bits in MXCSR');
  });

  test('a vCPU that dies of an address in an MSR that no processor loads', () => {
    const list = Buffer.alloc(520);
    list.writeUInt16LE(1, 0);
    list.writeBigUInt64LE(0xc0000082n, 8);
    list.writeBigUInt64LE(1n << 47n, 16);
    const body = `${halt} vcpu.ioctl(${setMsrs}, Buffer.from('${list.toString('hex')}', 'hex'));
      return [vcpu.haxm.getMsrs([0xc0000082])[0], vcpu.enter().kind];`;
    expect(library(body, {})).toEqual([2 ** 47, 'shutdown']);
  });
});
