/**
 * The part of the 8042 keyboard controller that resets a PC.
 *
 * Reference: Intel UPI-41/8042 as in the IBM PC AT Technical Reference, "Keyboard Controller" (commands 0xd1 and 0xf0 to 0xff).
 * Emulated: at offset 4 (port 0x64) the commands that pulse output line 0, 0xfe first of all, and the status register with both buffers
 * empty; command 0xd1 with its byte at offset 0 (port 0x60), where bit 0 clear resets and the A20 bit is taken and ignored, since A20 is
 * always on.
 * Not emulated: keyboard and mouse, and so every command that answers; self-test, command byte, password, interrupts. Port 0x60 reads 0.
 * The ACPI tables should tell guests that there is no 8042: one that looks for it waits for answers.
 */
import type { Device, DeviceState } from '../bus/device';
import { StateReader } from './state';

/** Ports 0x60 and 0x64. */
const dataPort = 0;
const commandPort = 4;

/** "Write Output Port": the next byte to port 0x60 goes to the output port. */
const writeOutputPort = 0xd1;
/** "Pulse Output Port": the lines whose bits 3 to 0 are 0 go low for about 6 microseconds. */
const pulseOutputPort = 0xf0;
/** Output port bit 0, and bit 0 of the pulse commands: "System Reset", active low. */
const systemReset = 0x01;

export interface KeyboardResetState extends DeviceState {
  readonly device: '8042-reset';
  readonly version: 1;
  /** Command 0xd1 waits for its byte. */
  readonly outputPortNext: boolean;
}

export class KeyboardReset implements Device<KeyboardResetState> {
  readonly name = '8042-reset';
  readonly maxWidth = 1;
  #outputPortNext = false;

  /** `onReset` is called when the guest pulls the reset line. */
  constructor(private readonly onReset: () => void) {}

  read(offset: number): number {
    // Status 0: "output buffer full" and "input buffer full" are clear.
    return offset === dataPort || offset === commandPort ? 0 : 0xffffffff;
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (offset === commandPort) {
      this.#outputPortNext = byte === writeOutputPort;
      if ((byte & 0xf0) === pulseOutputPort && !(byte & systemReset)) this.onReset();
    } else if (offset === dataPort && this.#outputPortNext) {
      this.#outputPortNext = false;
      if (!(byte & systemReset)) this.onReset();
    }
  }

  reset(): void {
    this.#outputPortNext = false;
  }

  save(): KeyboardResetState {
    return { device: '8042-reset', version: 1, outputPortNext: this.#outputPortNext };
  }

  restore(state: KeyboardResetState): void {
    const from = new StateReader(state, this.name, 1);
    const outputPortNext = from.boolean('outputPortNext');
    from.end();
    this.#outputPortNext = outputPortNext;
  }
}
