/** machine.console: waitFor() and the stream, with real guests. */
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HaxError, launch, launchInWorker, type Machine, type MachineOptions } from 'node-hax';
import { codeOfAsync } from '../support/codes';
import { describeKvm, itIf } from '../support/hosts';
import { bootSector, elfProgram, ending, place, print } from './images';

const machines = new Set<Machine>();
afterEach(async () => {
  for (const machine of machines) await machine.close();
  machines.clear();
});

async function start(kernel: Uint8Array, options: Partial<MachineOptions> = {}): Promise<Machine> {
  const machine = await launch({ kernel, ...options });
  machines.add(machine);
  return machine;
}

/** A machine that has printed all its lines: a pattern such as /\d+/ matches what there is, which may be half of a number. */
async function afterLines(): Promise<Machine> {
  const machine = await start(lines);
  while (!machine.console.transcript.includes('gamma\r\n')) await sleep(5);
  return machine;
}

/** Echoes; the byte 4 powers off. */
const echo = bootSector(`2: call getc\n cmp al, 4\n je 3f\n call putc\n jmp 2b\n 3: ${ending.powerOff}`);
const lines = bootSector(`${print('alpha 12\r\nbeta 345\r\ngamma\r\n')}\n${ending.idle}`);
const never = 'never printed';

/** Prints `count` bytes, from A to P again and again, polling; then powers off. */
const flood = (count: number): Uint8Array =>
  elfProgram(`mov dx, ${place.com1 + 2}\n mov al, 1\n out dx, al\n xor ebx, ebx
    3: mov dx, ${place.com1 + 5}\n 1: in al, dx\n test al, 0x20\n jz 1b\n mov dx, ${place.com1}
    2: mov al, bl\n and al, 15\n add al, 65\n out dx, al\n inc ebx\n test bl, 15\n jnz 2b
    cmp ebx, ${count}\n jb 3b\n ${ending.powerOff}`);
const flooded = (count: number): string => 'ABCDEFGHIJKLMNOP'.repeat(count / 16);

describeKvm('waitFor', () => {
  it('finds text, what came before, and goes on from there', async () => {
    const { console } = await afterLines();
    expect(await console.waitFor('12')).toEqual({ match: '12', before: 'alpha ', index: 0, groups: [] });
    expect(await console.waitFor(/(\w+) (\d)(x)?/)).toEqual({
      match: 'beta 3',
      before: '\r\n',
      index: 0,
      groups: ['beta', '3', undefined],
    });
    expect(await console.waitFor(['gamma', /\d+/])).toEqual({ match: '45', before: '', index: 1, groups: [] });
    expect(await console.waitFor([/absent/, 'gamma'])).toEqual({ match: 'gamma', before: '\r\n', index: 1, groups: [] });
    expect(await codeOfAsync(() => console.waitFor('alpha', { timeout: 50 }))).toBe('ERR_HAX_TIMEOUT');
  });

  it('finds what was printed before it was asked', async () => {
    const { console } = await afterLines();
    expect((await console.waitFor('beta')).before).toBe('alpha 12\r\n');
  });

  it('serves several at once in the order in which they came', async () => {
    const { console } = await start(lines);
    const order: string[] = [];
    const waits = ['alpha', 'beta', 'gamma'].map((text) => console.waitFor(text).then(({ match }) => order.push(match)));
    await Promise.all(waits);
    expect(order).toEqual(['alpha', 'beta', 'gamma']);
  });

  it('a RegExp with g or y keeps no place of its own', async () => {
    const { console } = await afterLines();
    const pattern = /[a-z]+/gy;
    pattern.lastIndex = 3;
    expect((await console.waitFor(pattern)).match).toBe('alpha');
    expect(pattern.lastIndex).toBe(3);
  });

  it('text may come in pieces, also within a character', async () => {
    const { console } = await start(echo);
    const wait = console.waitFor('grüße €!');
    for (const byte of Buffer.from('grüße €!')) {
      console.write(Buffer.from([byte]));
      await sleep(2);
    }
    expect((await wait).match).toBe('grüße €!');
  });

  it('time-out: the pattern, the time, the last lines, and the whole transcript', async () => {
    const { console } = await start(lines);
    await console.waitFor('gamma\r\n');
    const error = (await console.waitFor([never, /x+/], { timeout: 60 }).catch((reason: unknown) => reason)) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect(error.code).toBe('ERR_HAX_TIMEOUT');
    expect(error.message).toBe(
      `the guest did not print ${JSON.stringify(never)} or /x+/ within 60 ms; its last lines:\nalpha 12\nbeta 345\ngamma\n`,
    );
    expect(error.transcript).toBe('alpha 12\r\nbeta 345\r\ngamma\r\n');
    expect(JSON.stringify(error)).not.toContain('transcript');
  });

  it('time-out of a wait behind another: the message names what that one waits for', async () => {
    const { console } = await afterLines();
    const ahead = codeOfAsync(() => console.waitFor(never));
    await expect(console.waitFor(/alpha|beta/, { timeout: 20 })).rejects.toThrow(
      `/alpha|beta/ is looked for behind ${JSON.stringify(never)}, which an earlier waitFor() waits for and the guest did not print within 20 ms`,
    );
    for (const machine of machines) await machine.close();
    expect(await ahead).toBe('ERR_HAX_ENDED');
  });

  it('an abort of its own leaves the machine running', async () => {
    const machine = await start(lines);
    const controller = new AbortController();
    const wait = machine.console.waitFor(never, { signal: controller.signal });
    const reason = new Error('changed my mind');
    controller.abort(reason);
    await expect(wait).rejects.toBe(reason);
    await expect(machine.console.waitFor(never, { signal: controller.signal })).rejects.toBe(reason);
    expect(machine.state).toBe('running');
    await machine.console.waitFor('gamma');
  });

  it('the end of the guest rejects waits, also later ones, with its reason and the last 20 lines', async () => {
    const machine = await start(
      bootSector(
        `mov cx, 40\n 1: push cx\n mov al, cl\n add al, 40\n call putc\n mov al, 10\n call putc\n pop cx\n loop 1b\n ${ending.panic}`,
      ),
    );
    const errors = [(await machine.console.waitFor(never).catch((reason: unknown) => reason)) as HaxError];
    errors.push((await machine.console.waitFor(never, { timeout: 10 }).catch((reason: unknown) => reason)) as HaxError);
    for (const { code, message, transcript } of errors) {
      expect(code).toBe('ERR_HAX_ENDED');
      const [first, ...last] = message.split('\n');
      expect(first).toBe(`the guest ended (panicked) before it printed ${JSON.stringify(never)}; its last lines:`);
      expect(last).toEqual([...Array.from({ length: 19 }, (_, i) => String.fromCharCode(40 + 19 - i)), '']);
      expect(transcript!.split('\n')).toHaveLength(41);
    }
    // What was printed before the end is found after it.
    expect((await machine.console.waitFor(/P\n/)).match).toBe('P\n');
  });

  it.each([
    ['an empty string', ''],
    ['no pattern', []],
    ['a number', 7],
    ['an array with a hole', ['x', undefined]],
  ])('refuses %s', async (_what, pattern) => {
    const { console } = await start(lines);
    expect(await codeOfAsync(() => console.waitFor(pattern as string))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('takes any time, and refuses what is none', async () => {
    const { console } = await start(lines);
    const waits = [Infinity, 2 ** 40].map((timeout) => console.waitFor('gamma', { timeout }).catch(() => 'rejected'));
    await waits[0];
    for (const timeout of [NaN, -1, 'soon' as never]) {
      expect(await codeOfAsync(() => console.waitFor(never, { timeout }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(await Promise.race([waits[1], sleep(50, 'pending')])).toBe('pending');
  });
});

describeKvm('the console as a stream', () => {
  it('for await gives everything up to the end of the guest', async () => {
    const machine = await start(flood(4096));
    let text = '';
    for await (const chunk of machine.console) text += (chunk as Buffer).toString();
    expect(text).toBe(flooded(4096));
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
  });

  it('a loop that is left does not stop the guest, and waits go on', async () => {
    const machine = await start(flood(8192));
    for await (const chunk of machine.console) if ((chunk as Buffer).length > 0) break;
    await machine.console.waitFor('ABC');
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    expect(machine.console.transcript.length).toBe(8192);
  });

  it('pipe and pipeline, there and back', async () => {
    const machine = await start(echo);
    const input = new PassThrough();
    const chunks: Buffer[] = [];
    const output = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
    });
    const done = pipeline(input, machine.console, output);
    input.write('one ');
    input.write('two');
    await machine.console.waitFor('two');
    input.end('\x04');
    await done;
    expect(Buffer.concat(chunks).toString()).toBe('one two');
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
  });

  it('write() says when the guest is behind, and drain when it has caught up', async () => {
    const machine = await start(echo);
    const text = flooded(16 * 1024);
    expect(machine.console.write(text)).toBe(false);
    const drained = once(machine.console, 'drain');
    const wait = machine.console.waitFor(text.slice(-5000) + '\x05');
    await drained;
    machine.console.write('\x05');
    await wait;
    expect(machine.console.transcript).toBe(`${text}\x05`);
  });

  it('input before the guest listens waits for it; input after its end vanishes', async () => {
    const machine = await start(
      bootSector(`${print('>')}\n mov cx, 60000\n 5: loop 5b\n call getc\n call putc\n call getc\n call putc\n ${ending.powerOff}`),
    );
    machine.console.write('ab');
    await machine.console.waitFor('>ab');
    await machine.ended;
    await new Promise<void>((resolve, reject) => machine.console.write('late', (error) => (error ? reject(error) : resolve())));
    machine.console.end();
    await once(machine.console, 'finish');
  });

  it('what is printed for nobody is not kept for a later reader, but in the transcript', async () => {
    const machine = await start(lines);
    await machine.console.waitFor('gamma\r\n');
    let seen = '';
    machine.console.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await sleep(50);
    expect(seen).toBe('');
    expect(machine.console.transcript).toContain('alpha');
    expect(machine.console.lastLines(2)).toBe('gamma\n');
  });
});

describeKvm('output', () => {
  it('gets every byte as fast as it takes them, up to the end, beside the stream', async () => {
    const count = 200_000;
    const pieces: Uint8Array[] = [];
    const output = new Writable({
      highWaterMark: 1000,
      write(bytes: Buffer, _encoding, done) {
        pieces.push(bytes);
        setImmediate(done);
      },
    });
    const machine = await start(flood(count), { output });
    let read = 0;
    machine.console.on('data', (bytes: Buffer) => (read += bytes.length));
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    await once(machine.console, 'end');
    await new Promise<void>((resolve) => output.end(resolve));
    expect([Buffer.concat(pieces).toString() === flooded(count), read]).toEqual([true, count]);
  });

  it('that throws ends the machine: at once, and at its end', async () => {
    for (const kernel of [flood(1e6), bootSector(`${print('x')}\n ${ending.powerOff}`)]) {
      const thrown = new Error('no more paper');
      const fails = (): never => {
        throw thrown;
      };
      const machine = await start(kernel, { output: fails });
      const error = (await machine.ended.catch((e: unknown) => e)) as HaxError;
      expect([error.code, error.message, error.cause]).toEqual(['ERR_HAX_DEVICE_FAILED', expect.stringContaining('no more paper'), thrown]);
      expect(machine.state).toBe('failed');
    }
  });

  it('of the debug console that throws does so too, also when it has held back before', async () => {
    const debugs = (count: number, end: string): Uint8Array =>
      elfProgram(`mov dx, ${place.debugConsole}\n mov ecx, ${count}\n 1: out dx, al\n loop 1b\n ${end}`);
    const cases: [Uint8Array, number][] = [
      [debugs(1, ending.spin), 0],
      [debugs(1, ending.powerOff), 0],
      [debugs(20_000, ending.powerOff), 1],
    ];
    for (const [kernel, held] of cases) {
      const thrown = new Error('no more paper');
      let calls = 0;
      const write = (): boolean => {
        if (calls++ < held) return false;
        throw thrown;
      };
      const machine = await start(kernel, { debugConsole: { output: { write } as unknown as Writable } });
      const error = (await machine.ended.catch((e: unknown) => e)) as HaxError;
      expect([error.code, error.message, error.cause]).toEqual([
        'ERR_HAX_DEVICE_FAILED',
        'the output of the debug console failed: no more paper',
        thrown,
      ]);
      expect(machine.state).toBe('failed');
    }
  });

  itIf(process.env.HAX_TEST_SOURCE !== '1', 'workers cannot load TypeScript', 'of a machine in a worker is on this thread', async () => {
    const count = 100_000;
    let text = '';
    await using machine = await launchInWorker({ kernel: flood(count), output: (bytes) => (text += Buffer.from(bytes).toString()) });
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    expect(text === flooded(count)).toBe(true);
    await using failing = await launchInWorker({
      kernel: flood(1e6),
      output: () => {
        throw new Error('no more paper');
      },
    });
    expect(await codeOfAsync(() => failing.ended)).toBe('ERR_HAX_DEVICE_FAILED');
  });
});
