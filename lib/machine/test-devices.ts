import { disconnected } from '../bus/irq-line';
import { TestInterrupts } from '../devices/test-interrupts';
import { TestMemory } from '../devices/test-memory';
import type { VirtualMachine } from '../hypervisor/vm';
import { ports, testMemory } from './layout';

/** What kvm-unit-tests need beside a debug exit: pc-testdev. */
export function addTestDevices(vm: VirtualMachine): void {
  const { testData } = ports;
  const { at, length, cascade } = ports.testInterrupts;
  const lines = Array.from({ length }, (_, n) => (n === cascade ? disconnected : vm.irqLine(n)));
  vm.ports.add({ at, length }, new TestInterrupts(lines));
  vm.ports.add(testData, new TestMemory(testData.length));
  vm.mmio.add({ at: testMemory.start, length: testMemory.size }, new TestMemory(testMemory.size));
}
