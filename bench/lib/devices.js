'use strict';

/**
 * Devices as a machine has them: each keeps a little state, tells its registers apart by offset, and is a class of its own, so that a bus
 * with all eight sees eight functions and eight shapes.
 */

class Latch {
  value = 0;
  writes = 0;
  read() {
    return this.value;
  }
  write(offset, value) {
    this.value = value;
    this.writes++;
  }
}

class Counter {
  writes = 0;
  total = 0;
  read(offset) {
    return offset === 0 ? this.total & 0xff : 0xff;
  }
  write(offset, value) {
    this.writes++;
    this.total = (this.total + value) | 0;
  }
}

class IndexAndData {
  index = 0;
  writes = 0;
  registers = new Uint8Array(64);
  read(offset) {
    return offset === 0 ? this.index : this.registers[this.index];
  }
  write(offset, value) {
    this.writes++;
    if (offset === 0) this.index = value & 63;
    else this.registers[this.index] = value;
  }
}

class ShiftRegister {
  bits = 0;
  name = 'shift register';
  writes = 0;
  read() {
    return this.bits & 0xff;
  }
  write(offset, value) {
    this.bits = (this.bits << 1) | (value & 1);
    this.writes++;
  }
}

class Ring {
  bytes = new Uint8Array(256);
  head = 0;
  writes = 0;
  read() {
    return this.bytes[(this.head - 1) & 255];
  }
  write(offset, value) {
    this.bytes[this.head] = value;
    this.head = (this.head + 1) & 255;
    this.writes++;
  }
}

class Mask {
  #enabled = 0;
  #pending = 0;
  writes = 0;
  read(offset) {
    return offset === 0 ? this.#enabled : this.#pending;
  }
  write(offset, value) {
    this.writes++;
    if (offset === 0) this.#enabled = value;
    this.#pending |= value & ~this.#enabled;
  }
}

class Toggle {
  level = false;
  edges = 0;
  writes = 0;
  read() {
    return this.level ? 1 : 0;
  }
  write(offset, value) {
    const level = (value & 1) !== 0;
    if (level !== this.level) this.edges++;
    this.level = level;
    this.writes++;
  }
}

class Divisor {
  low = 0;
  high = 0;
  second = false;
  writes = 0;
  read(offset) {
    return offset === 0 ? this.low : this.high;
  }
  write(offset, value) {
    if (this.second) this.high = value;
    else this.low = value;
    this.second = !this.second;
    this.writes++;
  }
}

const classes = [Latch, Counter, IndexAndData, ShiftRegister, Ring, Mask, Toggle, Divisor];

/** `count` devices of as many classes. */
function makeDevices(count) {
  return classes.slice(0, count).map((Device) => new Device());
}

module.exports = { makeDevices };
