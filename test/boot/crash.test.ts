/** How Linux stops for good without powering off. */
import { itIf } from '../support/hosts';
import { boot, describeLinux, kernelModule } from './linux';

jest.setTimeout(110_000);

describeLinux('Linux stops', () => {
  it('halted, with nothing that could wake it', async () => {
    const machine = await boot('exec busybox halt -f');
    await machine.console.waitFor('reboot: System halted');
    expect(await machine.ended).toEqual({ reason: 'halted' });
  });

  const [pvpanic, mmio] = ['pvpanic.ko', 'pvpanic-mmio.ko'].map(kernelModule);
  itIf(
    pvpanic !== undefined && mmio !== undefined,
    "pvpanic's modules were not kept when the kernel was fetched",
    "crashed: Debian's pvpanic driver finds the device by ACPI and reports it",
    async () => {
      const script = 'mount -t proc proc /proc\ninsmod /pvpanic.ko\ninsmod /pvpanic-mmio.ko\necho loaded\necho c >/proc/sysrq-trigger';
      const machine = await boot(script, { files: { 'pvpanic.ko': pvpanic!, 'pvpanic-mmio.ko': mmio! } });
      await machine.console.waitFor('loaded');
      expect(await machine.ended).toMatchObject({ reason: 'panicked' });
      expect(machine.state).toBe('failed');
    },
  );
});
