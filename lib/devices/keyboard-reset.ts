/**
 * The part of the 8042 keyboard controller that resets a PC and opens its A20 gate.
 *
 * Reference: Intel UPI-41/8042 as in the IBM PC AT Technical Reference, "Keyboard Controller" (commands 0xd0, 0xd1 and 0xf0 to 0xff).
 * Emulated: at offset 4 (port 0x64) the commands that pulse output line 0, 0xfe first of all, and the status register; command 0xd1 with its
 * byte at offset 0 (port 0x60), where bit 0 clear resets and the A20 bit is taken and ignored, since A20 is always on; command 0xd0, whose
 * answer those wait for who open the A20 gate.
 * Not emulated: keyboard and mouse, and so every other command that answers; self-test, command byte, password, interrupts. Port 0x60 reads 0
 * where no answer waits.
 * The ACPI tables should tell guests that there is no 8042: one that looks for it waits for answers.
 */
import type { Device, DeviceState } from '../bus/device';
import { StateReader } from './state';

/** Ports 0x60 and 0x64. */
const dataPort = 0;
const commandPort = 4;

/** "Read Output Port": the output port goes to the output buffer, port 0x60. */
const readOutputPort = 0xd0;
/** "Write Output Port": the next byte to port 0x60 goes to the output port. */
const writeOutputPort = 0xd1;
/** "Pulse Output Port": the lines whose bits 3 to 0 are 0 go low for about 6 microseconds. */
const pulseOutputPort = 0xf0;
/** Status register: "Output Buffer Full". */
const outputBufferFull = 0x01;
/** Output port bit 0, and bit 0 of the pulse commands: "System Reset", active low. */
const systemReset = 0x01;
/** Output port bit 1: "Gate A20". */
const gateA20 = 0x02;

/** What save() gives. */
export interface KeyboardResetState extends DeviceState {
  readonly device: '8042-reset';
  readonly version: 1;
  /** Command 0xd1 waits for its byte. */
  readonly outputPortNext: boolean;
  /** The answer to command 0xd0 waits at port 0x60. */
  readonly answerWaits: boolean;
}

export class KeyboardReset implements Device<KeyboardResetState> {
  readonly name = '8042-reset';
  readonly maxWidth = 1;
  #outputPortNext = false;
  #answerWaits = false;

  /** `onReset` is called when the guest pulls the reset line. */
  constructor(private readonly onReset: () => void) {}

  read(offset: number): number {
    if (offset === commandPort) return this.#answerWaits ? outputBufferFull : 0;
    if (offset !== dataPort) return 0xffffffff;
    const answer = this.#answerWaits ? systemReset | gateA20 : 0;
    this.#answerWaits = false;
    return answer;
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (offset === commandPort) {
      this.#outputPortNext = byte === writeOutputPort;
      this.#answerWaits ||= byte === readOutputPort;
      if ((byte & 0xf0) === pulseOutputPort && !(byte & systemReset)) this.onReset();
    } else if (offset === dataPort && this.#outputPortNext) {
      this.#outputPortNext = false;
      if (!(byte & systemReset)) this.onReset();
    }
  }

  reset(): void {
    this.#outputPortNext = false;
    this.#answerWaits = false;
  }

  save(): KeyboardResetState {
    return { device: '8042-reset', version: 1, outputPortNext: this.#outputPortNext, answerWaits: this.#answerWaits };
  }

  restore(state: KeyboardResetState): void {
    const from = new StateReader(state, this.name, 1);
    const outputPortNext = from.boolean('outputPortNext');
    const answerWaits = from.boolean('answerWaits');
    from.end();
    this.#outputPortNext = outputPortNext;
    this.#answerWaits = answerWaits;
  }
}
