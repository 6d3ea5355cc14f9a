/** `--serial unix:` without a guest behind it: many clients. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { runInThisContext } from 'node:vm';
import { connectSerial, type SerialConnection } from '../../../lib/cli/serial';
import type { Console } from '../../../lib/machine/console';

let directory: string;
let socketPath: string;
let serial: SerialConnection;
/** Jest's own process is told of no warnings. */
const node = runInThisContext('process') as NodeJS.Process;
const warnings: Error[] = [];
const note = (warning: Error): void => void warnings.push(warning);

async function listen(console: Duplex): Promise<void> {
  serial = await connectSerial({ console: console as unknown as Console }, { kind: 'unix', path: socketPath }, undefined as never, () => {
    throw new Error('the run would stop');
  });
}

async function client(): Promise<Socket> {
  const socket = connect(socketPath);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-serial-'));
  socketPath = path.join(directory, 'console');
  warnings.length = 0;
  node.on('warning', note);
});
afterEach(() => {
  serial.close();
  node.off('warning', note);
  rmSync(directory, { recursive: true });
});

it('of many that wait for the end of another one is served, and Node has nothing to warn of', async () => {
  const endless = new Duplex({
    read() {
      setImmediate(() => this.push(Buffer.alloc(65536)));
    },
    write: (_bytes, _encoding, done) => done(),
  });
  await listen(endless);
  const first = await client();
  // It does not read: what was printed for it keeps it from closing.
  while (endless.readableFlowing !== false) await turn();
  first.end();
  let turnedAway = 0;
  const others: Socket[] = [];
  const settled = new Promise<void>((resolve) => {
    for (let i = 0; i < 12; i++) {
      const other = connect(socketPath).resume();
      other.once('close', () => ++turnedAway === 11 && resolve());
      others.push(other);
    }
  });
  await Promise.all(others.map((each) => once(each, 'connect')));
  for (let i = 0; i < 20; i++) await turn();
  first.destroy();
  await settled;
  const served = others.find((each) => !each.closed)!;
  await once(served, 'data');
  served.destroy();
  endless.destroy();
  expect(warnings).toEqual([]);
});

it('clients whose input nobody takes leave no listener behind', async () => {
  const full = new Duplex({ read: () => undefined, write: () => undefined, writableHighWaterMark: 1 });
  await listen(full);
  const listeners = full.listenerCount('drain');
  full.write(Buffer.alloc(2 ** 20));
  for (let i = 0; i < 12; i++) {
    const socket = await client();
    socket.write('x');
    while (full.listenerCount('drain') === listeners) await turn();
    socket.destroy();
    while (full.listenerCount('drain') > listeners) await turn();
  }
  expect(warnings).toEqual([]);
});
