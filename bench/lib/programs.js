'use strict';

// What the guest of a KVM row executes: its memory from 0 on, the registers it begins with, how it ends and how many writes it makes.

const { root } = require('./raw.js');

const firstPort = 0xb0; // eight ports eight apart from here on belong to nobody else
const codeAt = 0x1000;

/** Real mode: eight OUTs of a byte, `ecx` times, then HLT. */
function outLoop(devices) {
  const code = [];
  for (let i = 0; i < 8; i++) code.push(0xe6, firstPort + 8 * (i % devices)); // out port, al
  code.push(0x66, 0x49); // dec ecx
  code.push(0x75, -(code.length + 2) & 0xff); // jnz to the first out
  code.push(0xf4); // hlt
  return Uint8Array.from(code);
}

const lostAt = 0x8000;

/**
 * 64-bit mode: looks at the time stamp counter until `rcx` of its ticks have passed, and adds up at `lostAt` those of every look that was
 * 1,000 ticks and more after the one before, in which it was not running. Its HLT ends a guest in user mode with a triple fault: no IDT.
 */
const spinLoop = Uint8Array.of(
  ...[0x45, 0x31, 0xc9], // xor r9d, r9d
  ...[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0], // rdtsc; shl rdx, 32; or rax, rdx
  ...[0x48, 0x89, 0xc6, 0x48, 0x01, 0xc1], // mov rsi, rax; add rcx, rax
  ...[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0], // look: rdtsc; shl rdx, 32; or rax, rdx
  ...[0x48, 0x89, 0xc3, 0x48, 0x29, 0xf3, 0x48, 0x89, 0xc6], // mov rbx, rax; sub rbx, rsi; mov rsi, rax
  ...[0x48, 0x81, 0xfb, 0xe8, 0x03, 0x00, 0x00], // cmp rbx, 1000
  ...[0x72, 0x03, 0x49, 0x01, 0xd9], // jb next; add r9, rbx
  ...[0x48, 0x39, 0xc8, 0x72, 0xdd], // next: cmp rax, rcx; jb look
  ...[0x4c, 0x89, 0x0c, 0x25, 0x00, 0x80, 0x00, 0x00], // mov [lostAt], r9
  0xf4, // hlt
);

const tablesAt = 0x2000; // PML4, then a page directory pointer table, then a page directory

/** Page tables of the first 2 MiB as they are, open to user mode (Intel SDM vol. 3, 4.5). */
function writePageTables(memory) {
  const present = 0x7n; // and writable, and for user mode
  const large = 1n << 7n;
  const pages = Buffer.from(memory.buffer);
  pages.writeBigUInt64LE(BigInt(tablesAt + 0x1000) | present, tablesAt);
  pages.writeBigUInt64LE(BigInt(tablesAt + 0x2000) | present, tablesAt + 0x1000);
  pages.writeBigUInt64LE(large | present, tablesAt + 0x2000);
}

/** 64-bit user mode, in which even a software KVM leaves the processor alone. */
function userMode() {
  const { long64 } = require(`${root}/dist/index.js`);
  const ring3 = (segment) => ({ ...segment, selector: segment.selector | 3, attributes: segment.attributes | 0x60 });
  const { cs, ds, es, ss, ...state } = long64({ ip: codeAt, cr3: tablesAt });
  return { ...state, cs: ring3(cs), ds: ring3(ds), es: ring3(es), ss: ring3(ss) };
}

/** `exits` OUTs to `devices` devices, or `ticks` of the time stamp counter without an exit. */
function kvmProgram({ devices, exits, ticks }) {
  const memory = new Uint8Array(tablesAt + 0x3000);
  if (ticks) {
    memory.set(spinLoop, codeAt);
    writePageTables(memory);
    return { memory, state: { ...userMode(), rcx: ticks }, cr3: tablesAt, rcx: ticks, writes: 0, end: 'triple-fault' };
  }
  const { realMode } = require(`${root}/dist/index.js`);
  const rcx = exits / 8;
  memory.set(outLoop(devices), codeAt);
  return { memory, state: { ...realMode({ ip: codeAt }), rcx, rax: 0x5a }, cr3: 0, rcx, writes: exits, end: 'halted' };
}

module.exports = { codeAt, firstPort, kvmProgram, lostAt, outLoop };
