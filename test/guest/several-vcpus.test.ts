/** Machines with several vCPUs: hand-made kernels that start the others themselves. test/boot has Linux. */
import { getEventListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { launch, type Machine, type MachineOptions } from 'node-hax';
import { assemble } from '../support/assemble';
import { allowedCpu, describeKvm } from '../support/hosts';

/** Where the image is loaded, and where application processors start: vector 2 of the SIPI. */
const [load, start] = [0x1000, 0x2000];

/**
 * The boot processor starts all others at once (Intel SDM vol. 3, 8.4.4.1), each of which counts itself at 0x7000 and goes on with `then`;
 * when `others` are there it goes on with `after`.
 */
function kernel(others: number, after: string, then = '2: pause; jmp 2b'): Uint8Array {
  const image = Buffer.alloc(start - load + 0x100);
  const boot = `mov word ptr [0x7000], 0; mov dword ptr [0xfee000f0], 0x1ff
    mov dword ptr [0xfee00300], 0xc4500; mov dword ptr [0xfee00300], 0xc4602
    1: cmp word ptr [0x7000], ${others}; jne 1b; ${after}`;
  image.set(assemble(boot, { bits: 32, origin: load }), 0);
  image.set(assemble(`xor ax, ax; mov ds, ax; lock inc word ptr [0x7000]; ${then}`, { bits: 16, origin: 0 }), start - load);
  return image;
}

const print = (text: string): string => [...text].map((c) => `mov dx, 0x3f8; mov al, ${c.charCodeAt(0)}; out dx, al`).join('; ');

describeKvm('a machine with several vCPUs', () => {
  const machines: Machine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.close();
  });
  const boot = async (image: Uint8Array, options: Partial<MachineOptions> = {}): Promise<Machine> => {
    const machine = await launch({ kernel: image, format: 'flat', load, mode: 32, memory: '1M', debugExit: true, ...options });
    machines.push(machine);
    return machine;
  };

  it.each([2, 4])('starts %i of them and ends as a whole', async (cpus) => {
    const machine = await boot(kernel(cpus - 1, `${print('all here\n')}; mov al, 3; out 0xf4, al; 3: jmp 3b`), { cpus });
    await machine.console.waitFor('all here\n');
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 7 });
    expect([machine.state, machine.vcpus.length, machine.vcpu.id, machine.statistics.cpus]).toEqual(['stopped', cpus, 0, cpus]);
    expect(machine.vcpus.every(({ running }) => !running)).toBe(true);
  });

  it('pauses all at once, shows their registers, resumes, and is killed', async () => {
    // Each counts in memory of its own as long as it runs.
    const machine = await boot(kernel(1, '3: inc dword ptr [0x7010]; jmp 3b', '2: inc dword ptr [0x7020]; jmp 2b'), { cpus: 2 });
    const counts = (): number[] => [0x7010, 0x7020].map((at) => machine.vm.memory.readU32(at));
    while (counts().some((count) => count === 0)) await delay(5);
    machine.pause();
    expect(machine.state).toBe('paused');
    const before = counts();
    expect(machine.vcpus.map((vcpu) => vcpu.getState().rip > 0n)).toEqual([true, true]);
    await delay(20);
    expect(counts()).toEqual(before);
    machine.resume();
    while (counts().some((count, i) => count === before[i])) await delay(5);
    machine.kill();
    expect(await machine.ended).toEqual({ reason: 'killed' });
  });

  it('resets them all', async () => {
    // Boots twice: RAM is new each time, so the device that counts is on the outside.
    const machine = await boot(kernel(1, `${print('up\n')}; mov al, 0xfe; out 0x64, al; 3: jmp 3b`), { cpus: 2 });
    for (let i = 0; i < 3; i++) await machine.console.waitFor('up\n');
    machine.kill();
    await machine.ended;
    expect(machine.statistics.resets).toBeGreaterThanOrEqual(2);
  });

  it('runs a single one on a thread of its own on request, where it is told to', async () => {
    const image = assemble(`${print('ok\n')}; mov al, 0; out 0xf4, al; 3: jmp 3b`, { bits: 32, origin: load });
    const machine = await boot(image, { threaded: true, affinity: [[allowedCpu()]] });
    await machine.console.waitFor('ok\n');
    expect(await machine.ended).toEqual({ reason: 'exit-code', status: 1 });
    expect(machine.statistics.slices).toBe(0);
  });

  it('ends for a signal, and for a device that throws', async () => {
    const controller = new AbortController();
    const aborted = await boot(kernel(1, '3: jmp 3b'), { cpus: 2, signal: controller.signal });
    const reason = new Error('enough');
    expect(getEventListeners(controller.signal, 'abort').length).toBe(1);
    setTimeout(() => controller.abort(reason), 10);
    await expect(aborted.ended).rejects.toBe(reason);
    expect(aborted.vcpus.map(({ running }) => running)).toEqual([false, false]);

    const failing = await boot(kernel(1, 'mov dx, 0x500; out dx, al; 3: jmp 3b'), { cpus: 2 });
    failing.vm.ports.add(
      { at: 0x500, length: 1 },
      {
        read: () => 0,
        write: () => {
          throw new Error('device trouble');
        },
      },
    );
    await expect(failing.ended).rejects.toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED' });
    expect(failing.state).toBe('failed');
  });
});
