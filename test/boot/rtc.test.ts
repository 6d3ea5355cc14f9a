/** Linux's driver of the real-time clock, where the ACPI tables tell of one: with interrupt controllers of ours. */
import { boot, describeLinux } from './linux';

jest.setTimeout(110_000);

describeLinux("Linux's /dev/rtc0", () => {
  it('has the time and an alarm that interrupts', async () => {
    const before = Math.floor(Date.now() / 1000);
    const machine = await boot(
      `mount -t proc p /proc\n mount -t sysfs s /sys\n cd /sys/class/rtc/rtc0
       echo "time $(cat since_epoch)"
       echo $(($(cat since_epoch) + 2)) >wakealarm\n sleep 4
       echo "alarm ($(cat wakealarm))"\n cat /proc/interrupts
       poweroff -f`,
      { irqchip: 'user' },
    );
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    const { transcript } = machine.console;
    const time = Number(/^time (\d+)/m.exec(transcript)?.[1]);
    expect([time >= before, time <= Date.now() / 1000]).toEqual([true, true]);
    // Linux takes an alarm back when it has come.
    expect(transcript).toMatch(/^alarm \(\)/m);
    expect(transcript).toMatch(/^ *8: +1 .* rtc0\r$/m);
    expect(transcript).not.toMatch(/ACPI (Error|BIOS Error|Warning)/);
  });
});
