import type { PortBus } from '../bus/port-bus';
import { PicPair } from '../devices/pic-pair';
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
