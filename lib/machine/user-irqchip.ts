import type { UserIrqchip } from '../bus/interrupts';
import type { PortBus } from '../bus/port-bus';
import { Pit8254 } from '../devices/i8254';
import { PicPair } from '../devices/pic-pair';
import { SpeakerPort } from '../devices/speaker-port';
import type { Clock } from '../time/clock';
import { ports } from './layout';

/** The interrupt controllers of a VM with `irqchip: 'user'`: makes them and puts them on its ports. */
export function makeUserIrqchip(vm: { readonly ports: PortBus }): PicPair {
  const pair = new PicPair();
  const { pic, elcr } = ports;
  vm.ports.add({ at: pic.master, length: pic.length, name: 'PIC' }, pair.master);
  vm.ports.add({ at: pic.slave, length: pic.length, name: 'second PIC' }, pair.slave);
  vm.ports.add({ ...elcr, name: 'ELCR' }, pair.elcr);
  return pair;
}

/** The kernel brings a timer of its own together with its interrupt controllers. */
export function addUserTimers(vm: { readonly ports: PortBus }, irqchip: UserIrqchip, clock: Clock): void {
  const pit = new Pit8254({ clock, irq: irqchip.line(ports.pit.irq), tellsServed: true });
  irqchip.onServed = (line) => line === ports.pit.irq && pit.served();
  vm.ports.add({ at: ports.pit.at, length: ports.pit.length }, pit);
  vm.ports.add(ports.speaker, new SpeakerPort(pit));
}
