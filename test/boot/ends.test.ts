/** How Linux resets the machine. */
import { boot, describeLinux } from './linux';

jest.setTimeout(110_000);

describeLinux('Linux resets the machine', () => {
  it('by reboot -f: it starts again', async () => {
    const machine = await boot('echo init is here\nreboot -f');
    for (let i = 0; i < 2; i++) await machine.console.waitFor('init is here');
    expect(machine.statistics.resets).toBe(1);
  });

  it('after a panic, with panic=-1', async () => {
    const machine = await boot('exit 7', { append: 'panic=-1', reboot: false });
    await machine.console.waitFor('Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000700');
    expect(await machine.ended).toEqual({ reason: 'reset' });
  });
});
