/** Guests that reset the machine, also while an output holds them back. */
import { writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineOptions } from 'node-hax';
import { codeOfAsync } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, print } from './images';
import { launched, reset } from './launched';

const { files, start } = launched();

describeKvm('a reset', () => {
  it('starts the machine again and is told', async () => {
    const machine = await start(reset);
    let resets = 0;
    machine.on('reset', () => {
      if (++resets === 3) machine.kill();
    });
    expect(await machine.ended).toEqual({ reason: 'killed' });
    expect(resets).toBe(3);
    expect(machine.statistics.resets).toBe(3);
    expect(machine.console.transcript).toBe('boot.boot.boot.');
  });

  it('a listener may close the machine', async () => {
    const machine = await start(reset);
    const closed = new Promise<void>((resolve) => machine.once('reset', () => resolve(machine.close())));
    expect(await machine.ended).toEqual({ reason: 'killed' });
    await closed;
  });

  it.each([false, true])('a listener may pause the machine; threaded %s', async (threaded) => {
    const machine = await start(reset, { threaded });
    let resets = 0;
    await new Promise<void>((resolve) =>
      machine.on('reset', () => {
        if (++resets > 1) return;
        machine.pause();
        resolve();
      }),
    );
    await sleep(50);
    expect([machine.state, resets, machine.vcpu.paused, machine.vcpu.counters.entries]).toEqual(['paused', 1, true, 0]);
    machine.resume();
    await machine.console.waitFor('boot.boot.boot.');
    expect(machine.state).toBe('running');
  });

  describe('while an output holds the guest back', () => {
    const noisy = bootSector(
      `mov dx, 0x3f8\n mov cx, 0x6000\n mov al, 65\n 1: out dx, al\n out 0xe9, al\n loop 1b\n ${ending.keyboardReset}`,
    );
    /** A guest that has reset itself, which waits; `drain` has the output take all from now on. */
    async function waiting(which: 'output' | 'stream' | 'debugConsole', options: Partial<MachineOptions> = {}) {
      let [taken, room] = [0, false];
      let drain: () => void = () => undefined;
      const output = (bytes: Uint8Array, onDrain: () => void): boolean => {
        taken += bytes.length;
        drain = onDrain;
        return room;
      };
      const writable = new Writable({
        write: (bytes: Uint8Array, _encoding, done) => {
          if (output(bytes, done)) done();
        },
      });
      const machine = await start(noisy, {
        ...options,
        ...(which === 'output' && { output }),
        ...(which === 'debugConsole' && { debugConsole: { output: writable } }),
      });
      if (which === 'stream') machine.console.pipe(writable);
      while (machine.vcpu.running && machine.statistics.resets < 30) await sleep(2);
      return {
        machine,
        drain: () => {
          room = true;
          drain();
        },
        taken: () => taken,
      };
    }

    it.each(['output', 'stream', 'debugConsole'] as const)('(%s) it waits; then all is there', async (which) => {
      const { machine, drain, taken } = await waiting(which);
      const { resets } = machine.statistics;
      expect([machine.state, machine.vcpu.running, resets < 30]).toEqual(['running', false, true]);
      drain();
      while (machine.statistics.resets < resets + 3) await sleep(2);
      await machine.close();
      if (which === 'output') expect(taken()).toBe(machine.console.transcript.length);
      expect(taken()).toBeGreaterThanOrEqual((resets + 3) * 0x5f00);
    });

    it('it can be paused, killed, closed and aborted', async () => {
      const { machine, drain } = await waiting('output');
      machine.pause();
      expect(machine.state).toBe('paused');
      const begun = new Promise<void>((resolve) => machine.once('reset', resolve));
      drain();
      await begun;
      expect([machine.state, machine.vcpu.counters.entries]).toEqual(['paused', 0]);
      machine.resume();
      while (machine.vcpu.counters.entries === 0) await sleep(2);

      const killed = (await waiting('output')).machine;
      const { resets } = killed.statistics;
      killed.kill();
      expect(await killed.ended).toEqual({ reason: 'killed' });
      expect(killed.statistics.resets).toBe(resets);
      const closed = (await waiting('stream')).machine;
      await closed.close();
      expect(await closed.ended).toEqual({ reason: 'killed' });

      const controller = new AbortController();
      const aborted = (await waiting('debugConsole', { signal: controller.signal })).machine;
      controller.abort('enough');
      await expect(aborted.ended).rejects.toBe('enough');
    });
  });

  it('waits go on across it', async () => {
    const machine = await start(reset);
    const { before } = await machine.console.waitFor('boot.boot.');
    expect(before).toBe('');
    await machine.console.waitFor('boot.');
  });

  it('a kernel file that has gone since, or changed, ends the machine with an error of ours', async () => {
    const kernel = files.write('shrinking', elfProgram(`${print('boot.', 'esi')}\n mov ecx, 100000\n 1: loop 1b\n ${ending.acpiReset}`));
    const machine = await start(kernel);
    await machine.console.waitFor('boot.');
    writeFileSync(kernel, 'x');
    expect(await codeOfAsync(() => machine.ended)).toMatch(/^ERR_HAX_(FILE|IMAGE)$/);
    expect(machine.state).toBe('failed');
  });
});
