/**
 * The receiving half of the 16550A (uart16550a.ts, which has the reference and the scope): receiver FIFO, the errors that travel with its
 * characters, trigger level and character time-out, and the queue of input from the host behind it.
 */
import type { Clock, Timer } from '../time/clock';
import { Ring } from './ring';
import type { StateReader } from './state';

/** 8.4 Line Status Register, the receiver's bits. */
const dataReady = 0x01;
const overrunError = 0x02;
const framingError = 0x08;
const breakInterrupt = 0x10;
const errorInFifo = 0x80;
/** Errors of a character, which wait with it in the FIFO until it is at the top: parity, framing, break. */
const characterErrors = 0x1c;

/** 8.6 Interrupt Identification Register, table IV. */
const receivedDataAvailable = 0x04;
const characterTimeOut = 0x0c;

const fifoDepth = 16;
/** FCR bits 7 and 6: "RCVR FIFO trigger level (bytes)". */
const triggerLevels = [1, 4, 8, 14] as const;
/** "... longer than 4 continuous character times ago" (8.11 FIFO interrupt mode operation). */
const timeOutCharacters = 4;

/** Characters carry their errors, as LSR bits, above bit 7. */
const entryMask = 0xff | (characterErrors << 8);
/** A break is a zero character without a stop bit. */
const breakEntry = (breakInterrupt | framingError) << 8;

/** Input taken from the host before the guest has read it: a screenful of paste. More waits at the sender. */
export const receiveQueueSize = 4096;

export interface ReceiverState {
  /** FCR bit 0. */
  readonly fifoEnabled: boolean;
  /** FCR bits 7 and 6. */
  readonly trigger: number;
  /** The last character that was read. */
  readonly rbr: number;
  /** LSR bits 4 to 1 that have not been read. */
  readonly lineErrors: number;
  /** The character time-out is indicated. */
  readonly timedOut: boolean;
  /** Nanoseconds until the character time-out. */
  readonly timeOutIn: number;
  /** Characters with their errors, as LSR bits, above bit 7. */
  readonly receiver: readonly number[];
  /** Taken from the host, not yet received; as in `receiver`. */
  readonly queue: readonly number[];
}

export class Receiver {
  /** What the host sends does not arrive while this is set: loopback disconnects SIN. */
  disconnected = false;
  /** Nanoseconds; from LCR and divisor latch. */
  characterTime = 0;
  /** Called when `offer` took less than it was given and there is room again. */
  onReady: (() => void) | undefined;

  readonly #fifo = new Ring(fifoDepth);
  readonly #queue = new Ring(receiveQueueSize);
  #senderWaits = false;
  #fifoEnabled = false;
  #trigger = 0;
  #rbr = 0;
  #lineErrors = 0;
  #timedOut = false;
  #timeOutAt = 0;
  #timer: Timer | undefined;
  #timerAt = 0;
  #timeOutWanted = false;

  constructor(
    private readonly clock: Clock | undefined,
    private readonly onTimeOut: () => void,
  ) {}

  get fifoEnabled(): boolean {
    return this.#fifoEnabled;
  }

  get depth(): number {
    return this.#fifoEnabled ? fifoDepth : 1;
  }

  get hasLineErrors(): boolean {
    return this.#lineErrors !== 0;
  }

  /** No character is there and no error: LSR bits 7 and 4 to 0 are 0. */
  get empty(): boolean {
    return this.#fifo.length === 0 && this.#lineErrors === 0;
  }

  /** The code of the interrupt that the characters ask for, 0 for none. */
  get interrupt(): number {
    if (this.#timedOut) return characterTimeOut;
    return this.#fifo.length >= (this.#fifoEnabled ? triggerLevels[this.#trigger] : 1) ? receivedDataAvailable : 0;
  }

  /** RBR. */
  read(): number {
    const entry = this.#fifo.shift();
    if (entry === undefined) return this.#rbr;
    this.#rbr = entry & 0xff;
    this.#timedOut = false;
    this.#revealErrors();
    this.#startTimeOut();
    return this.#rbr;
  }

  /** LSR bits 7 and 4 to 0; reading resets the errors. */
  readLineStatus(): number {
    let value = this.#lineErrors;
    this.#lineErrors = 0;
    if (this.#fifo.length === 0) return this.#fifoEnabled && value & characterErrors ? value | errorInFifo : value;
    value |= dataReady;
    return this.#fifoEnabled && (value & characterErrors || this.#errorWaits) ? value | errorInFifo : value;
  }

  /** FCR bits 7, 6 and 0. Changing the mode clears the FIFO. */
  configure(fifoEnabled: boolean, trigger: number): void {
    if (fifoEnabled !== this.#fifoEnabled) this.clear();
    this.#fifoEnabled = fifoEnabled;
    this.#trigger = trigger;
    this.#startTimeOut();
  }

  get trigger(): number {
    return this.#trigger;
  }

  /** FCR bit 1: "clears all bytes in the RCVR FIFO". */
  clear(): void {
    this.#fifo.clear();
    this.#timedOut = false;
  }

  /** IER bit 0: without it no time-out can be seen, and no timer runs. */
  enableTimeOut(wanted: boolean): void {
    this.#timeOutWanted = wanted;
    if (!wanted) this.#stopTimer();
    else if (this.clock && this.#canTimeOut && this.clock.now() >= this.#timeOutAt) this.#timedOut = true;
    else this.#armTimer();
  }

  /** Takes input from the host, as much as there is room for; returns how many bytes. */
  offer(bytes: Uint8Array): number {
    this.#senderWaits = false;
    let taken = 0;
    for (; taken < bytes.length; taken++) {
      if (this.#queue.free === 0) this.feed();
      if (!this.#queue.push(bytes[taken])) break;
    }
    this.#senderWaits = taken < bytes.length;
    this.feed();
    return taken;
  }

  offerBreak(): boolean {
    const taken = this.#queue.push(breakEntry);
    this.feed();
    return taken;
  }

  /** Lets characters from the host arrive as far as there is room. */
  feed(): void {
    while (this.#queue.length > 0 && this.#fifo.length < this.depth && !this.disconnected) this.arrive(this.#queue.shift()!);
  }

  /** Tells a sender that waits when half of the queue is free. */
  callSender(): void {
    if (!this.#senderWaits || this.#queue.free < receiveQueueSize / 2) return;
    this.#senderWaits = false;
    this.onReady?.();
  }

  /** A character has been received completely. */
  arrive(entry: number): void {
    if (this.#fifo.length < this.depth) {
      this.#fifo.push(entry);
    } else {
      this.#lineErrors |= overrunError;
      // Without FIFOs the new character destroys the previous one; with them it "is overwritten, but it is not transferred to the FIFO".
      if (!this.#fifoEnabled) this.#fifo.set(0, entry);
    }
    this.#revealErrors();
    this.#startTimeOut();
  }

  reset(): void {
    this.#stopTimer();
    this.#timeOutWanted = this.#timedOut = this.#fifoEnabled = this.disconnected = false;
    this.#trigger = this.#rbr = this.#lineErrors = 0;
    this.#fifo.clear();
    this.#queue.clear();
  }

  save(): ReceiverState {
    return {
      fifoEnabled: this.#fifoEnabled,
      trigger: this.#trigger,
      rbr: this.#rbr,
      lineErrors: this.#lineErrors,
      timedOut: this.#timedOut,
      timeOutIn: this.clock && this.#canTimeOut ? Math.max(0, Math.round(this.#timeOutAt - this.clock.now())) : 0,
      receiver: this.#fifo.toArray(),
      queue: this.#queue.toArray(),
    };
  }

  static read(from: StateReader): ReceiverState {
    const state = {
      fifoEnabled: from.boolean('fifoEnabled'),
      trigger: from.integer('trigger', 0, triggerLevels.length - 1),
      rbr: from.integer('rbr', 0, 0xff),
      lineErrors: from.integer('lineErrors', 0, characterErrors | overrunError),
      timedOut: from.boolean('timedOut'),
      timeOutIn: from.integer('timeOutIn', 0, Number.MAX_SAFE_INTEGER),
      receiver: from.integers('receiver', fifoDepth, entryMask),
      queue: from.integers('queue', receiveQueueSize, entryMask),
    };
    from.check((state.lineErrors & dataReady) === 0, 'has unknown line errors');
    from.check(
      [...state.receiver, ...state.queue].every((each) => (each & ~entryMask) === 0),
      'has characters with unknown errors',
    );
    from.check(state.fifoEnabled || state.receiver.length <= 1, 'has more characters than the receiver holds');
    from.check(!state.timedOut || (state.fifoEnabled && state.receiver.length > 0), 'has a time-out without characters');
    return state;
  }

  /** What `read` has checked; then set `disconnected` and call enableTimeOut(). */
  restore(state: ReceiverState): void {
    this.#stopTimer();
    this.#timeOutWanted = false;
    this.#fifoEnabled = state.fifoEnabled;
    this.#trigger = state.trigger;
    this.#rbr = state.rbr;
    this.#lineErrors = state.lineErrors;
    this.#timedOut = state.timedOut;
    this.#timeOutAt = (this.clock?.now() ?? 0) + state.timeOutIn;
    this.#fifo.load(state.receiver);
    this.#queue.load(state.queue);
  }

  /** Errors show in LSR "when its associated character is at the top of the FIFO". */
  #revealErrors(): void {
    const top = this.#fifo.at(0);
    if (top === undefined || top <= 0xff) return;
    this.#lineErrors |= top >> 8;
    this.#fifo.set(0, top & 0xff);
  }

  get #errorWaits(): boolean {
    for (let index = 1; index < this.#fifo.length; index++) {
      if (this.#fifo.at(index)! > 0xff) return true;
    }
    return false;
  }

  get #canTimeOut(): boolean {
    return this.#fifoEnabled && this.#fifo.length > 0;
  }

  /** Starts the time-out anew; one that has occurred stays until the receiver is read. */
  #startTimeOut(): void {
    if (!this.clock) {
      this.#timedOut = this.#canTimeOut && this.#fifo.length < triggerLevels[this.#trigger];
    } else if (this.#canTimeOut) {
      this.#timeOutAt = this.clock.now() + timeOutCharacters * this.characterTime;
      this.#armTimer();
    }
  }

  /** One timer serves many characters: it looks at the deadline when it fires. A deadline before it, of shorter characters, has a new one. */
  #armTimer(): void {
    if (!this.clock || !this.#timeOutWanted || !this.#canTimeOut || this.#timedOut) return;
    if (this.#timer && this.#timerAt <= this.#timeOutAt) return;
    this.#stopTimer();
    const { clock } = this;
    this.#timerAt = this.#timeOutAt;
    this.#timer = clock.at(this.#timeOutAt, () => {
      this.#timer = undefined;
      if (!this.#canTimeOut) return;
      if (clock.now() < this.#timeOutAt) {
        this.#armTimer();
      } else {
        this.#timedOut = true;
        this.onTimeOut();
      }
    });
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
