/** How `hax run` ends: every status of docs/cli.md. */
import { readFileSync } from 'node:fs';
import { hax, startHax } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, Files, flat32, flat16, place, print } from './images';

const files = new Files();
afterAll(() => files.remove());

const guests = {
  halt: files.write('halt', bootSector(`${print('ready\r\n')}\n${ending.halt}`)),
  powerOff: files.write('power-off', bootSector(`${print('bye\r\n')}\n${ending.powerOff}`)),
  spin: files.write('spin', bootSector(`${print('spinning\r\n')}\n${ending.spin}`)),
  idle: files.write('idle', bootSector(`${print('idle\r\n')}\n${ending.idle}`)),
  keyboardReset: files.write('keyboard-reset', bootSector(`${print('boot.')}\n${ending.keyboardReset}`)),
  acpiReset: files.write('acpi-reset', bootSector(`${print('boot.')}\n${ending.acpiReset}`)),
  panic: files.write('panic', bootSector(`mov ebx, 0x12345678\n${ending.panic}`)),
};

describeKvm('how a run ends', (_, host) => {
  describe('status 0', () => {
    it('halted with interrupts off, long before a time-out', async () => {
      const { status, stdout, stderr } = await hax(['run', guests.halt, '--timeout', '60']);
      expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'ready\r\n', stderr: '' });
    });

    it('powered off', async () => {
      const { status, stdout, stderr } = await hax(['run', guests.powerOff]);
      expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'bye\r\n', stderr: '' });
    });

    it('printed what --exit-on names, and all up to there is out', async () => {
      const { status, stdout, stderr } = await hax(['run', guests.spin, '--exit-on', 'absent', '--exit-on', 'spinning\r\n']);
      expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'spinning\r\n', stderr: '' });
    });

    it('printed what --exit-on names and crashed at once', async () => {
      const image = files.write('pass-and-panic', bootSector(`${print('PASS\r\n')}\n${ending.panic}`));
      expect(await hax(['run', image, '--exit-on', 'PASS'])).toMatchObject({ status: 0, stderr: '' });
    });
  });

  it('status 1: printed what --fail-on names', async () => {
    const { status, stdout, stderr } = await hax(['run', guests.spin, '--exit-on', 'ing\r\n', '--fail-on', 'spin']);
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'hax: the guest printed "spin" (--fail-on)\n' });
    expect(stdout.toString()).toMatch(/^spin/);
  });

  describe('status 3, with reason and registers', () => {
    it('triple fault', async () => {
      const image = files.write('triple', flat32('mov ebx, 0x12345678\n ud2', 0x7c00));
      const { status, stdout, stderr } = await hax(['run', '--format', 'flat', '--mode', '32', image]);
      expect({ status, stdout: stdout.toString() }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(/^hax: the guest crashed: triple-fault\n/);
      expect(stderr).toMatch(/\brbx: 0x12345678\b/);
      expect(stderr).toMatch(/\brip: 0x7c0[0-9a-f]\b/);
    });

    it('pvpanic', async () => {
      const { status, stderr } = await hax(['run', guests.panic]);
      expect(status).toBe(3);
      expect(stderr).toMatch(/^hax: the guest crashed: panicked\n/);
      expect(stderr).toMatch(/\brbx: 0x12345678\b/);
    });

    it(`an instruction that cannot be emulated${host.can.x87 ? ' is only found on software KVM: executed here' : ', with its bytes'}`, async () => {
      const image = files.write('popcnt', bootSector(`popcnt ebx, eax\n${ending.powerOff}`));
      const { status, stderr } = await hax(['run', image]);
      if (host.can.x87) {
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      } else {
        expect(status).toBe(3);
        expect(stderr).toMatch(/^hax: the guest crashed: internal-error, suberror 1 \(.*\)\ninstruction bytes: 66 f3 0f b8 d8 /);
        expect(stderr).toMatch(/\brip: 0x7c0[0-9a-f]\b/);
      }
    });
  });

  describe('reset', () => {
    it.each(['keyboardReset', 'acpiReset'] as const)('%s: status 4 under --no-reboot', async (name) => {
      const { status, stdout, stderr } = await hax(['run', '--no-reboot', guests[name]]);
      expect({ status, stdout: stdout.toString(), stderr }).toEqual({
        status: 4,
        stdout: 'boot.',
        stderr: 'hax: the guest reset the machine (--no-reboot)\n',
      });
    });

    it('a jump to where a PC has its BIOS: status 4 under --no-reboot', async () => {
      const image = files.write('bios', flat16('ljmp 0xf000, 0xfff0'));
      expect(await hax(['run', '--no-reboot', '--format', 'flat', image])).toMatchObject({
        status: 4,
        stderr: 'hax: the guest reset the machine (--no-reboot)\n',
      });
    });

    it('otherwise the machine starts again, each time with fresh memory and devices', async () => {
      // A mark in memory and one in the UART's scratch register must be gone.
      const image = files.write(
        'marks',
        elfProgram(`mov dx, 0x3ff\n in al, dx\n mov bl, al\n mov al, 0x5a\n out dx, al
          cmp bl, 0x5a\n je bad\n cmp dword ptr [0x200000], 0\n jne bad\n mov dword ptr [0x200000], 1
          ${print('boot.', 'esi')}\n ${ending.keyboardReset}
          bad: ${print('bad', 'esi')}\n ${ending.halt}`),
      );
      const { status, stdout, stderr } = await hax(['run', image, '--exit-on', 'boot.'.repeat(5), '--fail-on', 'bad', '--stats']);
      expect(status).toBe(0);
      expect(stdout.toString()).toMatch(/^(boot\.){5,}/);
      expect(stderr).toMatch(/^resets: [4-9]; /m);
    });
  });

  it.each([
    ['spins', guests.spin, 'spinning\r\n'],
    ['sleeps', guests.idle, 'idle\r\n'],
  ])('status 124: --timeout while the guest %s', async (_what, image, printed) => {
    // Fractions are seconds too; a guest on a busy machine has printed its line by then.
    const { status, stdout, stderr, milliseconds } = await hax(['run', '--timeout', '2.5', image]);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({
      status: 124,
      stdout: printed,
      stderr: 'hax: the guest did not end within 2.5 s (--timeout)\n',
    });
    expect(milliseconds).toBeGreaterThan(2500);
  });

  it.each([
    ['SIGHUP', 129, guests.spin, 'spinning'],
    ['SIGINT', 130, guests.spin, 'spinning'],
    ['SIGTERM', 143, guests.spin, 'spinning'],
    ['SIGINT', 130, guests.idle, 'idle'],
    ['SIGTERM', 143, guests.idle, 'idle'],
  ] as const)('%s: status %i', async (signal, expected, image, printed) => {
    const running = startHax(['run', image], { keepInput: true });
    await running.printed(printed);
    running.child.kill(signal);
    expect(await running.end()).toMatchObject({ status: expected, signal: undefined, stderr: '' });
  });

  describe('--debug-exit', () => {
    const exit = (source: string, bits: 16 | 32 = 16): string =>
      files.write('debug-exit', bits === 16 ? flat16(`${source}\n cli\n hlt`) : flat32(`${source}\n cli\n hlt`));
    const flat = ['run', '--format', 'flat'];

    it.each([
      [0, 1],
      [0x10, 0x21],
      [0x31, 0x63],
      [0x7f, 0xff],
    ])('a write of %i ends with %i', async (value, expected) => {
      const image = exit(`mov al, ${value}\n out 0xf4, al`);
      expect(await hax([...flat, '--debug-exit', image])).toMatchObject({ status: expected, stderr: '' });
    });

    it('takes 32-bit values', async () => {
      const image = exit('mov eax, 0x11\n out 0xf4, eax', 32);
      expect(await hax([...flat, '--mode', '32', '--load', '0x100000', '--debug-exit', image])).toMatchObject({ status: 0x23 });
    });

    it('may have another port', async () => {
      const image = exit(`mov al, 7\n out 0xf4, al\n mov dx, 0x501\n mov al, 2\n out dx, al`);
      expect(await hax([...flat, '--debug-exit', '--debug-exit-port', '0x501', image])).toMatchObject({ status: 5 });
    });

    it('is not there unless asked for', async () => {
      expect(await hax([...flat, exit('mov al, 7\n out 0xf4, al')])).toMatchObject({ status: 0 });
    });
  });

  it('tells all it knows with --stats and --stats-file, in every end', async () => {
    const file = files.at('stats.json');
    const image = files.write(
      'stats',
      bootSector(`mov dx, ${place.com1}\n mov al, 65\n mov cx, 10\n 1: out dx, al\n loop 1b\n ${ending.powerOff}`),
    );
    const { status, stderr } = await hax(['run', image, '--stats', '--stats-file', file]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/^command line: $/m);
    expect(stderr).toMatch(/^exits handled in JavaScript: 11$/m);
    expect(stderr).toMatch(/^ +11 {2}io$/m);
    expect(stderr).toMatch(/^by port:\n +10 {2}0x3f8\n +1 {2}0x600$/m);
    expect(stderr).toMatch(/^slices: \d+ begun, \d+ ended by an event or a deadline; entries: \d+, kicks: \d+, signals of others: \d+$/m);
    expect(stderr).toMatch(
      /^time: \d+\.\d{3} s inside the guest, \d+\.\d{3} s in JavaScript for it, \d+\.\d{3} s waiting; \d+\.\d{3} s since the start$/m,
    );
    const statistics = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
    expect(statistics).toMatchObject({ commandLine: '', handled: 11, kinds: { io: 11 }, ports: { '0x3f8': 10, '0x600': 1 }, resets: 0 });
    expect([statistics.guestNs > 0, statistics.javascriptNs > 0, statistics.waitingNs >= 0]).toEqual([true, true, true]);
    expect(statistics.entries).toBeGreaterThanOrEqual(11);

    expect(await hax(['run', guests.spin, '--timeout', '0.3', '--stats-file', file])).toMatchObject({ status: 124 });
    expect(await hax(['run', guests.halt, '--stats-file', files.directory])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^hax: .* cannot be written: .*EISDIR.*\n$/) as string,
    });
  });
});
