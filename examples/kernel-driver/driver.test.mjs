// A kernel's driver against its hardware, and against hardware that fails, which no real sensor does when it is asked to.
// node --test driver.test.mjs (needs as and ld of binutils)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Machine } from 'node-hax';
import { autoClose, needsHypervisor } from 'node-hax/testing';

const close = autoClose(afterEach);
const testVm = needsHypervisor(test, test.skip);

const directory = mkdtempSync(path.join(tmpdir(), 'driver-'));
const kernel = path.join(directory, 'kernel');
execFileSync('as', ['--32', '-o', `${kernel}.o`, fileURLToPath(new URL('kernel.s', import.meta.url))]);
execFileSync('ld', ['-m', 'elf_i386', '-N', '-Ttext', '0x100000', '-o', kernel, `${kernel}.o`]);

/** Busy for two reads of its status after each command, then it has the next value. */
class Sensor {
  maxWidth = 1;
  commands = 0;
  busy = 0;

  constructor(status = 0) {
    this.status = status;
  }

  read(offset) {
    if (offset === 1) return this.commands;
    return this.busy-- > 0 ? 1 : this.status;
  }

  write(offset, value) {
    if (offset === 0 && value === 1) {
      this.commands++;
      this.busy = 2;
    }
  }
}

/** Boots the kernel with this sensor; what it printed, and the status it left with. */
async function boot(sensor) {
  const printed = [];
  const output = new Writable({
    write(chunk, _encoding, done) {
      printed.push(chunk);
      done();
    },
  });
  // launch() would start it at once: here it gets its device first.
  const machine = close(new Machine({ kernel, memory: '16M', debugExit: true, debugConsole: { output } }));
  machine.vm.ports.add({ at: 0x300, length: 2 }, sensor);
  machine.start();
  const { status } = await machine.ended;
  return { text: Buffer.concat(printed).toString(), status };
}

testVm('reads four values', async () => {
  const sensor = new Sensor();
  assert.deepEqual(await boot(sensor), { text: '1234', status: 1 }); // a debug exit of 0 is status (0 << 1) | 1
  assert.equal(sensor.commands, 4);
});

testVm('gives up when the sensor reports an error', async () => {
  assert.deepEqual(await boot(new Sensor(0x80)), { text: '', status: 3 });
});

testVm('gives up when the sensor stays busy', async () => {
  assert.deepEqual(await boot(new Sensor(1)), { text: '', status: 3 });
});
