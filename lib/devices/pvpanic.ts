/**
 * pvpanic: the guest's kernel tells that it has panicked.
 *
 * Reference: QEMU, docs/specs/pvpanic.rst; the ISA variant, one port, usually 0x505.
 * Emulated: reads give the supported events, writes report one: bit 0 panicked, bit 1 panicked with a crash kernel that takes over.
 * Not emulated: bit 2 (shutdown), which reads tell the guest not to use; the PCI variant.
 */
import type { Device, DeviceState } from '../bus/device';
import { StateReader } from './state';

/** PVPANIC_PANICKED: "a guest panic has happened and should be processed by the host". */
const panicked = 0x01;
/** PVPANIC_CRASH_LOADED: "a guest panic has happened and will be handled by the guest; the host should record it or report it". */
const crashLoaded = 0x02;

/** What a guest tells of: its panic, or that it has loaded its crash kernel. */
export type PvpanicEvent = 'panicked' | 'crash-loaded';

/** What save() gives. */
export interface PvpanicState extends DeviceState {
  readonly device: 'pvpanic';
  readonly version: 1;
}

export class Pvpanic implements Device<PvpanicState> {
  readonly name = 'pvpanic';
  readonly maxWidth = 1;

  constructor(private readonly onEvent: (event: PvpanicEvent) => void) {}

  read(offset: number): number {
    return offset === 0 ? panicked | crashLoaded : 0xffffffff;
  }

  /** As QEMU: with both bits set the guest has panicked. */
  write(offset: number, value: number): void {
    if (offset !== 0) return;
    if (value & panicked) this.onEvent('panicked');
    else if (value & crashLoaded) this.onEvent('crash-loaded');
  }

  reset(): void {
    // Nothing is kept.
  }

  save(): PvpanicState {
    return { device: 'pvpanic', version: 1 };
  }

  restore(state: PvpanicState): void {
    new StateReader(state, this.name, 1).end();
  }
}
