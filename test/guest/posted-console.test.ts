/** A console that polls: after a while its bytes cost JavaScript no exit instead of two, and arrive as they were sent. */
import { launch } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { ending, flat16 } from './images';

const count = 1500;

describeKvm('a console without interrupts', () => {
  it('has its writes posted after a while, and loses nothing', async () => {
    // 1500 bytes from '0' to 'o' over and over, each after a look at the line status register; then one more line.
    const source = `mov sp, 0x7000; mov cx, ${count}; mov bl, 0x30
      3: mov al, bl; call putc; inc bl; and bl, 0x3f; or bl, 0x30; loop 3b; mov al, 10; call putc; ${ending.powerOff}`;
    const machine = await launch({ kernel: flat16(source), format: 'flat', load: 0x7c00, mode: 16 });
    try {
      expect(await machine.ended).toEqual({ reason: 'powered-off' });
      const cycle = Array.from({ length: 16 }, (_, i) => String.fromCharCode(0x30 + i)).join('');
      expect(machine.console.transcript).toBe(`${cycle.repeat(count / 16 + 1).slice(0, count)}\n`);
      const { ports, taken } = machine.statistics;
      // Answers stand from the next slice on; a full ring of KVM's makes a write an exit.
      expect(ports['0x3fd'] + taken).toBeGreaterThanOrEqual(count + 1);
      expect(ports['0x3fd']).toBeLessThan(count);
      expect(ports['0x3f8']).toBeGreaterThanOrEqual(256);
      // Less than 300, but where the process stood still for as long as posting outlasts a guest that is silent: then it has to begin anew.
      expect(ports['0x3f8']).toBeLessThan(600);
    } finally {
      await machine.close();
    }
  });
});
