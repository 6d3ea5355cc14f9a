/** launch() and the Machine, as scripts use them. */
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { HaxError, isCrash, Machine, type UnclaimedAccess } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, multibootKernel, place, print } from './images';
import { launched, spin, two } from './launched';

const { files, machines, start } = launched();

describeKvm('launch', () => {
  it('runs the guest to its end, from bytes or from a file', async () => {
    for (const kernel of [two, files.write('two', two)]) {
      const machine = await start(kernel);
      expect(machine.state).toBe('running');
      expect(await machine.ended).toEqual({ reason: 'powered-off' });
      expect([machine.state, machine.console.transcript]).toEqual(['stopped', 'first line\r\nsecond line\r\n']);
    }
  });

  it.each<[string, string, string, string, boolean]>([
    ['halted', ending.halt, 'halted', 'stopped', false],
    ['a panic', ending.panic, 'panicked', 'failed', true],
    ['a reset that ends it', ending.keyboardReset, 'reset', 'stopped', false],
  ])('tells how the guest ended: %s', async (_what, source, reason, state, crash) => {
    const machine = await start(bootSector(source), { reboot: false });
    const end = await machine.ended;
    expect({ reason: end.reason, state: machine.state, crash: isCrash(end) }).toEqual({ reason, state, crash });
  });

  it('debugExit gives the status, at port 0xf4 or another', async () => {
    const source = (port: number): Uint8Array => bootSector(`mov dx, ${port}\n mov al, 0x15\n out dx, al\n ${ending.halt}`);
    expect(await (await start(source(0xf4), { debugExit: true })).ended).toEqual({ reason: 'exit-code', status: 0x2b });
    expect(await (await start(source(0x501), { debugExit: 0x501 })).ended).toEqual({ reason: 'exit-code', status: 0x2b });
    expect(await (await start(source(0xf4))).ended).toEqual({ reason: 'halted' });
  });

  it.each(['separate-code', 'noseparate-code'])(
    'starts what ld makes for 1 MiB, with the headers in the page before: -z %s',
    async (how) => {
      const machine = await start(elfProgram(`${print('here', 'esi')}\n ${ending.halt}`, ['-z', how]));
      expect(await machine.ended).toEqual({ reason: 'halted' });
      expect(machine.console.transcript).toBe('here');
    },
  );

  it('hands what a multiboot kernel wants: magic, command line, modules, memory map', async () => {
    const kernel = multibootKernel(`cmp eax, 0x2badb002\n jne bad
      mov ebp, ebx\n mov esi, [ebp + 16]\n call puts\n mov al, 10\n call putc
      mov ecx, [ebp + 20]\n mov edi, [ebp + 24]
      module: mov esi, [edi]\n call puts\n mov al, 10\n call putc\n add edi, 16\n loop module
      ${ending.powerOff}
      bad: ${print('bad', 'esi')}\n ${ending.halt}`);
    const machine = await start(files.write('kernel', kernel), {
      append: 'a=1 b',
      initrd: [Buffer.from('one\0'), files.write('two.txt', 'two\0')],
    });
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    expect(machine.console.transcript).toBe(`${files.at('kernel')} a=1 b\none\ntwo\n`);
  });

  it('tells a boot sector of COM1 where a BIOS does, and what memory ACPI keeps', async () => {
    const { vm, ended } = await start(bootSector(ending.powerOff));
    await ended;
    expect([vm.memory.readU16(0x400), vm.memory.readU16(0x410)]).toEqual([place.com1, 1 << 9]);
    // The type of the memory at 0xe0000 in the map, which has entries of 20 bytes behind their size.
    const mapped = multibootKernel(`mov esi, [ebx + 48]
      1: cmp dword ptr [esi + 4], 0xe0000\n je 2f\n add esi, [esi]\n add esi, 4\n jmp 1b
      2: mov eax, [esi + 20]\n out 0xf4, al\n ${ending.halt}`);
    for (const [irqchip, type] of [
      ['kernel', 3],
      ['user', 4],
    ] as const) {
      const machine = await start(mapped, { irqchip, debugExit: true });
      expect(await machine.ended).toMatchObject({ reason: 'exit-code', status: (type << 1) | 1 });
    }
  });

  it.each([
    ['one that is closed', ending.spin],
    ['one that resets', ending.keyboardReset],
  ])('the timers of a machine end with it: %s', async (_which, end) => {
    // The PIT at 1 kHz, behind a PIC that is set up and masks nothing.
    const writes = [
      ...[0x11, 0x20, 4, 1, 0].map((value, i) => ({ port: i === 0 ? 0x20 : 0x21, value })),
      ...[0x34, 0xa9, 0x04].map((value, i) => ({ port: i === 0 ? 0x43 : 0x40, value })),
    ];
    const ticking = bootSector(`cli\n ${writes.map(({ port, value }) => `mov al, ${value}\n out ${port}, al`).join('\n')}\n ${end}`);
    const machine = await start(ticking, { irqchip: 'user' });
    await sleep(300);
    await machine.close();
    await sleep(20);
    const timers = jest.spyOn(globalThis, 'setTimeout');
    await sleep(200);
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  it('debugConsole goes to its own stream', async () => {
    const output = new PassThrough();
    const machine = await start(bootSector(`mov al, 'd'\n out 0xe9, al\n ${ending.powerOff}`), { debugConsole: { output } });
    await machine.ended;
    output.end();
    expect(await text(output)).toBe('d');
  });

  it('onUnclaimed tells of every port once, guest after guest', async () => {
    const seen: UnclaimedAccess[] = [];
    const source = bootSector(`mov dx, 0x1234\n mov al, 7\n out dx, al\n out dx, al\n in ax, dx\n ${ending.powerOff}`);
    await (
      await start(source, { onUnclaimed: (access) => seen.push(access) })
    ).ended;
    expect(seen).toEqual([
      { bus: 'port', address: 0x1234, width: 1, direction: 'out', value: 7 },
      { bus: 'port', address: 0x1234, width: 2, direction: 'in', value: undefined },
    ]);
  });

  it('onProgress follows files into memory', async () => {
    const steps: [string, number, number][] = [];
    const initrd = files.write('initrd', Buffer.alloc(9 * 2 ** 20));
    const kernel = multibootKernel(ending.powerOff);
    await (
      await start(kernel, { initrd, onProgress: (...step) => steps.push(step) })
    ).ended;
    expect(steps.map(([, done]) => done)).toEqual([...steps.map(([, done]) => done)].sort((a, b) => a - b));
    expect(steps.at(-1)).toEqual([initrd, 9 * 2 ** 20, 9 * 2 ** 20]);
  });

  it('gives access to memory, registers and counts', async () => {
    const machine = await start(elfProgram(`mov dword ptr [0x200000], 0x12345678\n ${ending.halt}`));
    await machine.ended;
    expect(machine.vm.memory.readU32(0x200000)).toBe(0x12345678);
    expect(machine.vcpu.getState().rip).toBeGreaterThan(0x100000n);
    expect(machine.statistics).toMatchObject({ resets: 0, handled: 0 });
    expect(machine.statistics.guestNs).toBeGreaterThan(0);
    await machine.close();
    expect(machine.statistics.resets).toBe(0);
  });

  it("a device of a script can be added, and what it throws ends the machine with the guest's place", async () => {
    const machine = new Machine({ kernel: bootSector(`in al, 0x42\n in al, 0x43\n ${ending.halt}`) });
    machines.add(machine);
    machine.vm.ports.add({ at: 0x142, length: 1 }, { read: () => 0, write: () => undefined });
    machine.start();
    await machine.ended;
    const failing = new Machine({ kernel: bootSector(`mov dx, 0x142\n in al, dx\n ${ending.halt}`) });
    machines.add(failing);
    failing.vm.ports.add(
      { at: 0x142, length: 1 },
      {
        read: () => {
          throw new RangeError('no such register');
        },
        write: () => undefined,
      },
    );
    const wait = failing.console.waitFor('never');
    failing.start();
    const error = (await failing.ended.catch((reason: unknown) => reason)) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect(error).toMatchObject({
      code: 'ERR_HAX_DEVICE_FAILED',
      message: expect.stringMatching(/0x142.*no such register/),
      cause: expect.any(RangeError),
    });
    expect(error.rip).toBeGreaterThanOrEqual(0x7c00n);
    expect(failing.state).toBe('failed');
    await expect(wait).rejects.toMatchObject({ code: 'ERR_HAX_ENDED', cause: error });
  });

  it('runs several machines at once', async () => {
    const all = await Promise.all([1, 2, 3].map((n) => start(bootSector(`${print(`machine ${n}`)}\n${ending.powerOff}`))));
    expect(await Promise.all(all.map((machine) => machine.ended))).toEqual(all.map(() => ({ reason: 'powered-off' })));
    expect(all.map((machine) => machine.console.transcript)).toEqual(['machine 1', 'machine 2', 'machine 3']);
  });

  it('leaves the event loop its turns while the guest spins', async () => {
    const machine = await start(spin);
    await machine.console.waitFor('spinning');
    let turns = 0;
    const interval = setInterval(() => turns++, 10);
    // Half a second of our own: in that of others nobody turns.
    const began = process.cpuUsage();
    for (let spent = 0; spent < 5e5;) {
      await sleep(20);
      const { user, system } = process.cpuUsage(began);
      spent = user + system;
    }
    clearInterval(interval);
    expect(turns).toBeGreaterThan(10);
  });

  it('notices a halted guest although timers fire all the time', async () => {
    const interval = setInterval(() => undefined, 3);
    try {
      expect(await (await start(bootSector(ending.halt))).ended).toEqual({ reason: 'halted' });
    } finally {
      clearInterval(interval);
    }
  });
});
