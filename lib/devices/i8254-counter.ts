/** One counter of an 8254 (i8254.ts). Reference: the datasheet's "Mode Definitions" and "Operation Common to All Modes". */
import type { StateReader } from './state';

/** Control word, bits 5 to 0: RW1 and RW0, M2 to M0, BCD. */
const rwShift = 4;
const leastSignificantOnly = 1;
const mostSignificantOnly = 2;
const both = 3;
const modeShift = 1;
const bcdBit = 0x01;
/** After power-on "the mode, count value and output of all counters are undefined": mode 0 without a count, as quiet as can be. */
const initialControl = both << rwShift;

/** Status byte: "OUT pin is 1", "null count"; below them the control word. */
const outStatus = 0x80;
const nullCountStatus = 0x40;

/** One of the three counters, as plain data. Ticks are relative to the moment of saving. */
export interface CounterState {
  /** "The counter's programmed mode exactly as written in the last mode control word", bits 5 to 0. */
  readonly control: number;
  readonly gate: boolean;
  /** CR, the count register, as a number of ticks; 0 when nothing was written since the control word. */
  readonly count: number;
  /** CR has not gone into CE yet. */
  readonly nullCount: boolean;
  /** In how many ticks CR goes into CE; 0 when it does not. */
  readonly loadIn: number;
  /** It does so because the cycle ends then: not if the gate stops it. */
  readonly loadAtCycleEnd: boolean;
  /** Mode 3: what begins then is the low half. */
  readonly loadLowHalf: boolean;
  /** The number that CE, the counting element, has started from; 0 when there is none since the control word. */
  readonly loaded: number;
  readonly counting: boolean;
  /** How many ticks CE has counted since it was loaded. */
  readonly counted: number;
  /** What CE reads as while nothing is loaded. */
  readonly residue: number;
  readonly lowByte: number;
  /** The next byte written is the most significant of two. */
  readonly writeHigh: boolean;
  readonly readHigh: boolean;
  readonly latchedCount: number;
  /** How many bytes of it are still to be read. */
  readonly latchedBytes: number;
  readonly latchedStatus: number;
  readonly statusLatched: boolean;
}

/**
 * A counter as a function of the ticks of its CLK: nothing happens between two calls but that a later tick is named. Whoever calls anything
 * calls advance() first, for the tick that it is.
 */
export class Counter {
  #gate: boolean;
  #control = initialControl;
  #count = 0;
  #nullCount = false;
  /** The tick at which CR goes into CE; 0 for none. */
  #loadAt = 0;
  #loadAtCycleEnd = false;
  #loadLowHalf = false;
  #loaded = 0;
  #counting = false;
  /** While counting, the tick at which CE was loaded; pauses move it. */
  #start = 0;
  /** While not counting, how far it has come. */
  #held = 0;
  #residue = 0;
  #lowByte = 0;
  #writeHigh = false;
  #readHigh = false;
  #latchedCount = 0;
  #latchedBytes = 0;
  #latchedStatus = 0;
  #statusLatched = false;
  /** The tick that it is. */
  #now = 0;

  constructor(gate: boolean) {
    this.#gate = gate;
  }

  get gate(): boolean {
    return this.#gate;
  }

  /** 0 to 5; "don't care" bits make 6 and 7 the modes 2 and 3. */
  get #mode(): number {
    const bits = (this.#control >> modeShift) & 7;
    return bits > 5 ? bits & 3 : bits;
  }

  /** Modes 2 and 3, which begin again by themselves. */
  get #periodic(): boolean {
    const mode = this.#mode;
    return mode === 2 || mode === 3;
  }

  /** Modes 1 and 5, which begin at a rising gate and then do not look at it. */
  get #triggered(): boolean {
    const mode = this.#mode;
    return mode === 1 || mode === 5;
  }

  get #access(): number {
    return this.#control >> rwShift;
  }

  /** Ticks of a period of modes 2 and 3; 0 in other modes or without a count. */
  get period(): number {
    return this.#periodic ? this.#loaded || this.#count : 0;
  }

  /** OUT. */
  get out(): boolean {
    return outAt(this.#mode, this.#loaded, this.#counting, this.#counted);
  }

  /** The first tick after this one at which OUT rises, if nothing is done to the counter until then; Infinity for never. */
  get nextRise(): number {
    const mode = this.#mode;
    const rise = this.#counting ? riseAfter(mode, this.#loaded, this.#start, this.#now) : Infinity;
    const at = this.#loadAt;
    if (at === 0 || rise < at) return rise;
    // What CE gets then decides.
    const [count, head] = [this.#count, this.#headStart];
    const counting = this.#gate || this.#triggered;
    const before = outAt(mode, this.#loaded, this.#counting, this.#counting ? at - 1 - this.#start : this.#held);
    if (!before && outAt(mode, count, counting, head)) return at;
    return counting ? riseAfter(mode, count, at - head, at) : Infinity;
  }

  /** Goes on to a tick; returns how often OUT has risen on the way. */
  advance(tick: number): number {
    let rises = 0;
    if (this.#loadAt !== 0 && this.#loadAt <= tick) {
      rises = this.#go(this.#loadAt - 1);
      const before = this.out;
      this.#now++;
      this.#load();
      if (!before && this.out) rises++;
    }
    return rises + this.#go(tick);
  }

  /** "When a control word is written to a counter, all control logic is immediately reset and OUT goes to a known initial state." */
  setControl(word: number): void {
    this.#stop();
    this.#control = word & 0x3f;
    this.#count = 0;
    this.#nullCount = true;
    this.#writeHigh = false;
    this.#readHigh = false;
    this.#latchedBytes = 0;
    this.#statusLatched = false;
  }

  write(byte: number): void {
    if (this.#access !== both) {
      this.#setCount(this.#access === leastSignificantOnly ? byte : byte << 8);
    } else if (this.#writeHigh) {
      this.#writeHigh = false;
      this.#setCount((byte << 8) | this.#lowByte);
    } else {
      this.#lowByte = byte;
      this.#writeHigh = true;
      // "Writing the first byte disables counting. OUT is set low immediately."
      if (this.#mode === 0) this.#stop();
    }
  }

  /** The status if it is latched, else the count, latched or as it is. */
  read(): number {
    if (this.#statusLatched) {
      this.#statusLatched = false;
      return this.#latchedStatus;
    }
    const count = this.#latchedBytes > 0 ? this.#latchedCount : this.#value;
    if (this.#latchedBytes > 0) this.#latchedBytes--;
    const high = this.#access === both ? this.#readHigh : this.#access === mostSignificantOnly;
    if (this.#access === both) this.#readHigh = !this.#readHigh;
    return high ? count >> 8 : count & 0xff;
  }

  /** "If a counter is latched and then, some time later, latched again before the count is read, the second latch command is ignored." */
  latchCount(): void {
    if (this.#latchedBytes > 0) return;
    this.#latchedCount = this.#value;
    this.#latchedBytes = this.#access === both ? 2 : 1;
  }

  latchStatus(): void {
    if (this.#statusLatched) return;
    this.#statusLatched = true;
    this.#latchedStatus = (this.out ? outStatus : 0) | (this.#nullCount ? nullCountStatus : 0) | this.#control;
  }

  /** GATE: a level in modes 0, 2, 3 and 4, where low stops counting; its rising edge is the trigger of modes 1, 2, 3 and 5. */
  setGate(level: boolean): void {
    if (level === this.#gate) return;
    this.#gate = level;
    if (level && (this.#periodic || this.#triggered)) {
      if (this.#count !== 0) this.#scheduleLoad(this.#now + 1);
    } else if (this.#triggered) {
      return;
    } else if (level) {
      this.#start = this.#now - this.#held;
      this.#counting = this.#loaded !== 0;
    } else {
      this.#held = this.#counted;
      this.#counting = false;
      if (this.#loadAtCycleEnd) this.#scheduleLoad(0);
    }
  }

  save(): CounterState {
    return {
      control: this.#control,
      gate: this.#gate,
      count: this.#count,
      nullCount: this.#nullCount,
      loadIn: this.#loadAt === 0 ? 0 : this.#loadAt - this.#now,
      loadAtCycleEnd: this.#loadAtCycleEnd,
      loadLowHalf: this.#loadLowHalf,
      loaded: this.#loaded,
      counting: this.#counting,
      counted: this.#counted,
      residue: this.#residue,
      lowByte: this.#lowByte,
      writeHigh: this.#writeHigh,
      readHigh: this.#readHigh,
      latchedCount: this.#latchedCount,
      latchedBytes: this.#latchedBytes,
      latchedStatus: this.#latchedStatus,
      statusLatched: this.#statusLatched,
    };
  }

  /** The members of counter `n` out of a state of the chip, where its number follows each name. */
  static read(from: StateReader, n: number): CounterState {
    const state: CounterState = {
      control: from.integer(`control${n}`, leastSignificantOnly << rwShift, 0x3f),
      gate: from.boolean(`gate${n}`),
      count: from.integer(`count${n}`, 0, 0x10000),
      nullCount: from.boolean(`nullCount${n}`),
      loadIn: from.integer(`loadIn${n}`, 0, 0x10000),
      loadAtCycleEnd: from.boolean(`loadAtCycleEnd${n}`),
      loadLowHalf: from.boolean(`loadLowHalf${n}`),
      loaded: from.integer(`loaded${n}`, 0, 0x10000),
      counting: from.boolean(`counting${n}`),
      counted: from.integer(`counted${n}`, 0, Number.MAX_SAFE_INTEGER),
      residue: from.integer(`residue${n}`, 0, 0xffff),
      lowByte: from.integer(`lowByte${n}`, 0, 0xff),
      writeHigh: from.boolean(`writeHigh${n}`),
      readHigh: from.boolean(`readHigh${n}`),
      latchedCount: from.integer(`latchedCount${n}`, 0, 0xffff),
      latchedBytes: from.integer(`latchedBytes${n}`, 0, 2),
      latchedStatus: from.integer(`latchedStatus${n}`, 0, 0xff),
      statusLatched: from.boolean(`statusLatched${n}`),
    };
    from.check(state.loadIn === 0 || state.count !== 0, `has a counter ${n} that is about to load no count`);
    from.check(!state.counting || state.loaded !== 0, `has a counter ${n} that counts without a count`);
    return state;
  }

  restore(state: CounterState, tick: number): void {
    this.#now = tick;
    this.#control = state.control;
    this.#gate = state.gate;
    this.#count = state.count;
    this.#nullCount = state.nullCount;
    this.#loadAt = state.loadIn === 0 ? 0 : tick + state.loadIn;
    this.#loadAtCycleEnd = state.loadAtCycleEnd;
    this.#loadLowHalf = state.loadLowHalf;
    this.#loaded = state.loaded;
    this.#counting = state.counting;
    this.#start = tick - state.counted;
    this.#held = state.counted;
    this.#residue = state.residue;
    this.#lowByte = state.lowByte;
    this.#writeHigh = state.writeHigh;
    this.#readHigh = state.readHigh;
    this.#latchedCount = state.latchedCount;
    this.#latchedBytes = state.latchedBytes;
    this.#latchedStatus = state.latchedStatus;
    this.#statusLatched = state.statusLatched;
  }

  get #counted(): number {
    return this.#counting ? this.#now - this.#start : this.#held;
  }

  get #bcd(): boolean {
    return (this.#control & bcdBit) !== 0;
  }

  /** How far along the first cycle after the load begins: at the low half of mode 3, or not at all. */
  get #headStart(): number {
    return this.#loadLowHalf ? highHalf(this.#count) : 0;
  }

  /** CE, as it is read: 16 bits, or four decimal digits. */
  get #value(): number {
    const loaded = this.#loaded;
    if (loaded === 0) return this.#residue;
    const limit = this.#bcd ? 10_000 : 0x10000;
    let value: number;
    const counted = this.#counted;
    if (this.#mode === 2) value = loaded - (counted % loaded);
    else if (this.#mode === 3) value = squareWaveCount(loaded, counted);
    else value = loaded - (counted % limit) + limit;
    value %= limit;
    return this.#bcd ? parseInt(String(value), 16) : value;
  }

  /** As far as a tick before which nothing is loaded; the rises on the way. */
  #go(tick: number): number {
    const first = this.#counting ? riseAfter(this.#mode, this.#loaded, this.#start, this.#now) : Infinity;
    this.#now = tick;
    if (first > tick) return 0;
    return this.#periodic ? Math.floor((tick - first) / this.#loaded) + 1 : 1;
  }

  #setCount(bits: number): void {
    // Digits above 9 count as what they are worth.
    const digits = [12, 8, 4, 0].reduce((sum, shift) => sum * 10 + ((bits >> shift) & 0xf), 0);
    this.#count = this.#bcd ? digits % 10_000 || 10_000 : bits || 0x10000;
    this.#nullCount = true;
    const mode = this.#mode;
    if (mode === 0) this.#stop();
    if (mode === 0 || mode === 4) {
      this.#scheduleLoad(this.#now + 1);
    } else if (this.#periodic && this.#loadAt === 0) {
      // "Otherwise, the new count will be loaded at the end of the current counting cycle", in mode 3 half-cycle.
      if (this.#loaded === 0) this.#scheduleLoad(this.#now + 1);
      else if (this.#counting) this.#scheduleLoadAtCycleEnd();
    }
  }

  #scheduleLoadAtCycleEnd(): void {
    const loaded = this.#loaded;
    const phase = this.#counted % loaded;
    const half = highHalf(loaded);
    const toLowHalf = this.#mode === 3 && phase < half && half < loaded;
    this.#scheduleLoad(this.#now + (toLowHalf ? half : loaded) - phase);
    this.#loadAtCycleEnd = true;
    this.#loadLowHalf = toLowHalf;
  }

  #scheduleLoad(tick: number): void {
    this.#loadAt = tick;
    this.#loadAtCycleEnd = false;
    this.#loadLowHalf = false;
  }

  /** CR into CE. "This CLK pulse does not decrement the count." */
  #load(): void {
    this.#held = this.#headStart;
    this.#start = this.#now - this.#held;
    this.#loaded = this.#count;
    this.#counting = this.#gate || this.#triggered;
    this.#nullCount = false;
    this.#scheduleLoad(0);
  }

  #stop(): void {
    this.#residue = this.#value;
    this.#loaded = 0;
    this.#counting = false;
    this.#held = 0;
    this.#scheduleLoad(0);
  }
}

/** Mode 3: "for odd counts, OUT will be high for (N + 1)/2 counts and low for (N - 1)/2 counts". */
function highHalf(count: number): number {
  return (count + 1) >> 1;
}

/** Mode 3 counts down by two, once in each half; an odd count starts from the even one below it. */
function squareWaveCount(loaded: number, counted: number): number {
  const phase = counted % loaded;
  const half = highHalf(loaded);
  return loaded - (loaded & 1) - 2 * (phase < half ? phase : phase - half);
}

/** OUT of a counter that has counted so many ticks. A count of 1, which is illegal in modes 2 and 3, keeps it high there. */
function outAt(mode: number, loaded: number, counting: boolean, counted: number): boolean {
  if (loaded === 0) return mode !== 0;
  switch (mode) {
    case 0:
    case 1:
      return counted >= loaded;
    case 2:
      return !counting || loaded === 1 || counted % loaded !== loaded - 1;
    case 3:
      return !counting || counted % loaded < highHalf(loaded);
    default:
      return counted !== loaded;
  }
}

/** The first tick after `tick` at which OUT rises, of a counter that was loaded at `start`. */
function riseAfter(mode: number, loaded: number, start: number, tick: number): number {
  if (mode === 2 || mode === 3) return loaded === 1 ? Infinity : start + (Math.floor((tick - start) / loaded) + 1) * loaded;
  // Modes 4 and 5 are low for the tick at which the count expires.
  const rise = mode < 2 ? start + loaded : start + loaded + 1;
  return rise > tick ? rise : Infinity;
}
