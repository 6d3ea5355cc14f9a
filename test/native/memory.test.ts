import { childReport } from '../support/child';
import { describeEachBackend, itIf } from '../support/hosts';

describeEachBackend('what a process keeps', (backend) => {
  const counts = process.env.HAX_SANITIZER === undefined;
  itIf(counts, "the resident memory of a process is its sanitizer's", 'is the same after 1,000 VMs as after 100', async () => {
    const script = `
      const { readdirSync } = require('node:fs');
      const descriptors = () => readdirSync('/proc/self/fd').length;
      const resident = () => { global.gc(); global.gc(); return process.memoryUsage.rss(); };
      (async () => {
        const before = { descriptors: 0, resident: 0 };
        for (let i = 1; i <= 1000; i++) {
          const { hypervisor, vm, region, vcpu } = make('${backend.name}', i % 10 ? 'out' : 'spin');
          vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => undefined });
          region.bytes[0x8000] = 1;
          if (i % 10 === 0) setTimeout(() => vcpu.stop(), 0);
          const run = vcpu.run();
          await run;
          hypervisor.close();
          // Collected handles are finalized between turns of the loop.
          if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
          if (i === 100) Object.assign(before, { descriptors: descriptors(), resident: resident() });
        }
        const grown = resident() - before.resident;
        report({ opened: descriptors() - before.descriptors, grown });
      })();`;
    // V8's nursery, which it lets grow to 16 MiB when it likes, is no VM's.
    const flags = ['--expose-gc', '--max-semi-space-size=1'];
    const { opened, grown } = await childReport<{ opened: number; grown: number }>(script, { flags });
    expect(opened).toBe(0);
    expect(grown).toBeLessThanOrEqual(4 * 2 ** 20);
  });
});
