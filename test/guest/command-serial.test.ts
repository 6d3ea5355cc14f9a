/** `--serial`, `--debugcon`, and the standard streams of `hax run`. */
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { hax, shell, startHax, type RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, Files, place, print } from './images';

const files = new Files();
afterAll(() => files.remove());

/** Echoes each byte; the byte 4 (Ctrl-D) powers off. */
const pollingEcho = files.write(
  'polling-echo',
  bootSector(`2: call getc\n cmp al, 4\n je 3f\n call putc\n jmp 2b\n 3: ${ending.powerOff}`),
);

/**
 * The same by interrupts: COM1 is line 4, the PIC puts it at vector 0x0c after this set-up; the handler reads while there is data. The
 * processor sleeps in between.
 */
const interruptEcho = files.write(
  'interrupt-echo',
  bootSector(`
    cli
    xor ax, ax
    mov ds, ax
    lea ax, [handler]
    mov [0x0c * 4], ax
    mov word ptr [0x0c * 4 + 2], 0
    mov al, 0x11
    out 0x20, al
    mov al, 8        /* vectors 8 to 15 */
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xef     /* line 4 alone */
    out 0x21, al
    mov dx, 0x3fa    /* FIFOs on, trigger level 8 */
    mov al, 0x81
    out dx, al
    mov dx, 0x3fc    /* OUT2 */
    mov al, 0x0b
    out dx, al
    mov dx, 0x3f9    /* received data */
    mov al, 1
    out dx, al
    ${print('>')}
  sleep:
    sti
    hlt
    jmp sleep
  handler:
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jz done
    mov dx, 0x3f8
    in al, dx
    cmp al, 4
    je off
    call putc
    jmp handler
  done:
    mov al, 0x20
    out 0x20, al
    iret
  off: ${ending.powerOff}`),
);

/** Sends 16 bytes at a time, as the FIFO has room for, numbered so that a lost one shows; then powers off. */
const flood = (count: number): string =>
  `mov dx, ${place.com1 + 2}\n mov al, 1\n out dx, al\n xor ebx, ebx
   chunk: mov dx, ${place.com1 + 5}
   1: in al, dx\n test al, 0x20\n jz 1b
   mov dx, ${place.com1}\n mov ecx, 16
   2: mov eax, ebx\n shr eax, 6\n add eax, ebx\n and al, 63\n add al, 48\n out dx, al\n inc ebx\n dec ecx\n jnz 2b
   cmp ebx, ${count}\n jb chunk\n ${ending.powerOff}`;

function flooded(count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => (((i >> 6) + i) & 63) + 48));
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).filter((byte) => byte !== 4);

/** A connection to the socket of the command, once that listens. */
async function connected(path: string, { child }: RunningCommand): Promise<Socket> {
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(path)) {
      const socket = createConnection(path);
      const ok = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
      if (ok) return socket;
    }
    await sleep(25);
  }
  throw new Error(`nobody listens at ${path}`);
}

function collect(socket: Socket): { text: () => string; until: (text: string) => Promise<void> } {
  let text = '';
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
  const until = async (wanted: string): Promise<void> => {
    while (!text.includes(wanted))
      await new Promise((resolve, reject) => socket.once('data', resolve).once('close', () => reject(new Error(`closed: ${text}`))));
  };
  return { text: () => text, until };
}

describeKvm('standard input and output', () => {
  it('every byte of a pipe reaches a guest that polls, and comes back', async () => {
    const input = Buffer.concat([everyByte, Buffer.from('x'.repeat(6000)), Buffer.from([4])]);
    const { status, stdout, stderr } = await hax(['run', pollingEcho], { input });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.equals(input.subarray(0, -1))).toBe(true);
  });

  it('every byte reaches a guest that takes interrupts, and comes back', async () => {
    const running = startHax(['run', interruptEcho], { keepInput: true });
    // Enabling the FIFOs has cleared the receiver: what came before is lost, as on the chip.
    await running.printed('>');
    const input = Buffer.concat([everyByte, Buffer.from('x'.repeat(6000)), Buffer.from([4])]);
    running.child.stdin.end(input);
    const { status, stdout, stderr } = await running.end();
    expect({ status, stderr, length: stdout.length }).toEqual({ status: 0, stderr: '', length: input.length });
    expect(stdout.subarray(1).equals(input.subarray(0, -1))).toBe(true);
  });

  it('what is typed one by one, with pauses, is answered at once', async () => {
    const running = startHax(['run', interruptEcho], { keepInput: true });
    await running.printed('>');
    for (const text of ['a', 'bc', 'd'.repeat(20)]) {
      await sleep(60);
      running.child.stdin.write(text);
      await running.printed(text);
    }
    running.child.stdin.write('\x04');
    expect(await running.end()).toMatchObject({ status: 0, stderr: '' });
    expect(running.stdout.toString()).toBe(`>abc${'d'.repeat(20)}`);
  });

  it('works with standard input closed, or at its end', async () => {
    const image = files.write('hello', bootSector(`${print('hello')}\n${ending.halt}`));
    const closed = await shell(`hax run ${image} <&-; echo " status $?"; hax run ${image} </dev/null; echo " status $?"`);
    expect(closed.stdout.toString()).toBe('hello status 0\nhello status 0\n');
    expect(closed.stderr).toBe('');
  });

  it('a reader that is slow loses nothing', async () => {
    // More than the pipe (64 KiB), the stream, the console and the UART's backlog together hold.
    const count = 240_000;
    const image = files.write('flood', elfProgram(flood(count)));
    const running = startHax(['run', image], { keepOutput: true });
    await sleep(5000);
    expect(running.child.exitCode).toBeNull();
    running.read();
    const { status, stdout, stderr } = await running.end();
    expect({ status, stderr, length: stdout.length }).toEqual({ status: 0, stderr: '', length: count });
    expect(stdout.equals(flooded(count))).toBe(true);
  });

  it('--timeout and SIGTERM end a run whose output nobody reads', async () => {
    const image = files.write('flood-for-ever', elfProgram(`2: ${flood(1 << 30)}`));
    const timed = startHax(['run', image, '--timeout', '4'], { keepOutput: true });
    const stopped = startHax(['run', image], { keepOutput: true });
    // The command's handlers are there when the guest prints, and its output is stuck some time after that.
    await once(stopped.child.stdout, 'readable');
    await sleep(4000);
    stopped.child.kill('SIGTERM');
    expect(await timed.end()).toMatchObject({ status: 124, stderr: 'hax: the guest did not end within 4 s (--timeout)\n' });
    expect(await stopped.end()).toMatchObject({ status: 143, stderr: '' });
  });

  it('a reader that goes away ends the run: clear message, status 1', async () => {
    const image = files.write('chatter', bootSector(`2: ${print('chatter\r\n')}\n jmp 2b`));
    const { stdout, stderr } = await shell(`{ hax run ${image}; echo "status $?" >&2; } | head -c 7`);
    expect(stdout.toString()).toBe('chatter');
    expect(stderr).toBe('hax: standard output cannot be written: its reader is gone\nstatus 1\n');
    const full = await shell(`hax run ${image} >/dev/full; echo "status $?" >&2`);
    expect(full.stderr).toBe('hax: standard output cannot be written: ENOSPC: no space left on device, write\nstatus 1\n');
  });

  it('a closed standard error changes nothing', async () => {
    const { stdout } = await shell(
      `hax run --no-reboot ${files.write('r', bootSector(`${print('r')}\n${ending.acpiReset}`))} 2>&-; echo " status $?"`,
    );
    expect(stdout.toString()).toBe('r status 4\n');
  });
});

describeKvm('--serial', () => {
  const hello = files.write('hello-serial', bootSector(`${print('hello\r\n')}\n${ending.powerOff}`));

  it('null: nothing goes out, the guest runs all the same', async () => {
    const { status, stdout, stderr } = await hax(['run', hello, '--serial', 'null'], { input: 'x' });
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('null: texts are watched all the same', async () => {
    expect(await hax(['run', hello, '--serial', 'null', '--fail-on', 'hello'])).toMatchObject({ status: 1 });
  });

  it('file: the file has every byte', async () => {
    const count = 20_000;
    const path = files.at('serial.txt');
    const image = files.write('flood-file', elfProgram(flood(count)));
    const { status, stdout } = await hax(['run', image, '--serial', `file:${path}`]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: '' });
    expect(readFileSync(path).equals(flooded(count))).toBe(true);
  });

  it('file: one that cannot be written ends the run with status 1', async () => {
    const { status, stderr } = await hax(['run', hello, '--serial', `file:${files.at('absent')}/x`]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^hax: --serial: ENOENT.*\n$/);
  });

  it('file: a FIFO has every byte, is told when nobody reads it, and keeps no run from its end', async () => {
    const count = 100_000;
    const path = files.at('serial-fifo');
    const image = files.write('flood-fifo', elfProgram(flood(count)));
    const run = ['run', image, '--serial', `file:${path}`];
    const read = await shell(`mkfifo ${path}; { sleep 3; cat; } <${path} & hax ${run.join(' ')}; echo " status $?" >&2; wait`);
    expect([read.stderr, read.stdout.equals(flooded(count))]).toEqual([' status 0\n', true]);
    const stderr = `hax: ${path} is a FIFO that nobody reads; start its reader first\n`;
    expect(await hax(run)).toMatchObject({ status: 1, stderr });
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    expect(await hax([...run, '--timeout', '2'], { limit: 200_000 })).toMatchObject({ status: 124 });
    closeSync(reader);
  });

  it('unix: a client types and reads; the next one too; a second one is turned away', async () => {
    const path = files.at('socket');
    const running = startHax(['run', pollingEcho, '--serial', `unix:${path}`]);
    const first = await connected(path, running);
    const seen = collect(first);
    first.write('one');
    await seen.until('one');
    const intruder = await connected(path, running);
    await new Promise((resolve) => intruder.resume().once('close', resolve));
    first.destroy();
    // Until the command has noticed, the next one is turned away as well.
    const served = async (): Promise<{ second: Socket; seenBySecond: ReturnType<typeof collect> }> => {
      for (;;) {
        const second = await connected(path, running);
        const seenBySecond = collect(second);
        second.write('two');
        const isServed = await seenBySecond.until('two').then(
          () => true,
          () => false,
        );
        if (isServed) return { second, seenBySecond };
      }
    };
    const { second, seenBySecond } = await served();
    second.write('\x04');
    const { status, stdout, stderr } = await running.end();
    expect({ status, stdout: stdout.toString(), stderr, left: existsSync(path) }).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
      left: false,
    });
    expect([seen.text(), seenBySecond.text()]).toEqual(['one', 'two']);
  });

  it('unix: a slow client gets everything up to the end', async () => {
    const count = 20_000;
    const path = files.at('socket-flood');
    const image = files.write('flood-socket', elfProgram(`call getc\n ${flood(count)}`));
    const running = startHax(['run', image, '--serial', `unix:${path}`]);
    const client = await connected(path, running);
    const chunks: Buffer[] = [];
    client.on('data', (bytes: Buffer) => {
      chunks.push(bytes);
      client.pause();
      setTimeout(() => client.resume(), 20);
    });
    client.write('g');
    await new Promise((resolve) => client.once('end', resolve));
    client.destroy();
    expect(await running.end()).toMatchObject({ status: 0, stderr: '' });
    expect(Buffer.concat(chunks).equals(flooded(count))).toBe(true);
  });

  it('unix: the end of the run ends the client; SIGTERM removes the socket', async () => {
    const path = files.at('socket-term');
    const running = startHax(['run', pollingEcho, '--serial', `unix:${path}`]);
    const client = await connected(path, running);
    const closed = new Promise((resolve) => client.resume().once('close', resolve));
    running.child.kill('SIGTERM');
    expect(await running.end()).toMatchObject({ status: 143, stderr: '' });
    await closed;
    expect(existsSync(path)).toBe(false);
  });

  it('unix: a path that cannot be', async () => {
    const { status, stderr } = await hax(['run', hello, '--serial', `unix:${files.at('absent')}/x`]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^hax: --serial unix:\S+ cannot be made: .*\n$/);
  });
});

describeKvm('--debugcon', () => {
  const image = files.write(
    'debugcon',
    bootSector(`in al, 0xe9\n cmp al, 0xe9\n jne 9f\n lea si, [text]\n 1: lodsb\n test al, al\n jz 2f\n out 0xe9, al\n jmp 1b\n 2: ${print('serial\r\n')}\n 9: ${ending.powerOff}
      text: .asciz "debug line\\n"`),
  );

  it('goes to standard error', async () => {
    const { status, stdout, stderr } = await hax(['run', image, '--debugcon', '0xe9']);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'serial\r\n', stderr: 'debug line\n' });
  });

  it('goes to a file, every byte', async () => {
    const count = 30_000;
    const path = files.at('debug.txt');
    const flooding = files.write(
      'debugcon-flood',
      elfProgram(`mov dx, 0x402\n xor ebx, ebx\n 1: mov al, bl\n out dx, al\n inc ebx\n cmp ebx, ${count}\n jb 1b\n ${ending.powerOff}`),
    );
    expect(await hax(['run', flooding, '--debugcon', `0x402,file:${path}`])).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(path).equals(Buffer.from(Array.from({ length: count }, (_, i) => i & 0xff)))).toBe(true);
  });

  it('is not there unless asked for', async () => {
    expect((await hax(['run', image])).stdout.toString()).toBe('');
  });

  it('a file that cannot be written: a message, and no guest runs', async () => {
    const { status, stdout, stderr } = await hax(['run', image, '--debugcon', `0xe9,file:${files.at('absent')}/x`]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^hax: --debugcon: ENOENT.*\n$/);
  });

  it('a FIFO has every byte, is told when nobody reads it, and keeps no run from its end', async () => {
    const path = files.at('debug-fifo');
    const run = ['run', image, '--debugcon', `0xe9,file:${path}`];
    const read = await shell(`mkfifo ${path}; cat ${path} >&2 & sleep 1; hax ${run.join(' ')}; wait`);
    expect(read.stderr).toBe('debug line\n');
    expect(await hax(run)).toMatchObject({ status: 1, stderr: `hax: ${path} is a FIFO that nobody reads; start its reader first\n` });
    const flooding = files.write('debugcon-flood-for-ever', bootSector('mov dx, 0xe9\n 1: out dx, al\n jmp 1b'));
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stuck = await hax(['run', flooding, '--debugcon', `0xe9,file:${path}`, '--timeout', '4'], { limit: 200_000 });
    expect(stuck).toMatchObject({ status: 124 });
    closeSync(reader);
  });

  it('nor does --stats-file wait for the reader of one', async () => {
    const path = files.at('stats');
    await shell(`mkfifo ${path}`);
    const { status, stderr } = await hax(['run', image, '--stats-file', path], { limit: 200_000 });
    expect(status).toBe(1);
    expect(stderr).toBe(`hax: ${path} is a FIFO that nobody reads; start its reader first\n`);
  });
});
