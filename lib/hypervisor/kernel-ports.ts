/** The ports of the chips that KVM has in the kernel (arch/x86/kvm/i8259.c, i8254.c): accesses of the guest end there. */
import type { PortBus } from '../bus/port-bus';

const controllers = [
  { at: 0x20, length: 2 },
  { at: 0xa0, length: 2 },
  { at: 0x4d0, length: 2 },
];
/** The 8254 and the speaker's port, which the kernel makes with it. */
const timer = [
  { at: 0x40, length: 4 },
  { at: 0x61, length: 1 },
];

/** What the kernel serves never comes to the bus: no handler may be there and wait for it in vain. */
export function claimKernelPorts(bus: PortBus, pit: boolean): void {
  const handler = { read: () => 0xff, write: () => undefined };
  for (const range of controllers) bus.add({ ...range, name: "the kernel's interrupt controllers" }, handler);
  if (pit) for (const range of timer) bus.add({ ...range, name: "the kernel's timer" }, handler);
}
