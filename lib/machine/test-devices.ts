import { disconnected } from '../bus/irq-line';
import { FwCfg, type FwCfgOptions } from '../devices/fw-cfg';
import { TestInterrupts } from '../devices/test-interrupts';
import { TestMemory } from '../devices/test-memory';
import type { VirtualMachine } from '../hypervisor/vm';
import { ports, testMemory } from './layout';

/** What kvm-unit-tests need beside a debug exit: pc-testdev, and fw_cfg, where they look how many vCPUs to wait for. */
export function addTestDevices(vm: VirtualMachine, options: FwCfgOptions): void {
  const { testData, fwCfg } = ports;
  const { at, length, cascade } = ports.testInterrupts;
  const lines = Array.from({ length }, (_, n) => (n === cascade ? disconnected : vm.irqLine(n)));
  vm.ports.add({ at, length }, new TestInterrupts(lines));
  vm.ports.add(testData, new TestMemory(testData.length));
  vm.ports.add(fwCfg, new FwCfg(options));
  vm.mmio.add({ at: testMemory.start, length: testMemory.size }, new TestMemory(testMemory.size));
}
