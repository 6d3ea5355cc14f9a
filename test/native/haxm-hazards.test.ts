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

describeModel('the model shows', () => {
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
