/**
 * Guests are readable source, assembled when a test runs with binutils. What was assembled once is kept below node_modules/.cache by the
 * hash of its source, so that a slow host (host B) does not assemble again what this machine has.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

export interface AssembleOptions {
  /** Mode of the processor at the first instruction; the source may switch with `.code32` and so on. */
  bits?: 16 | 32 | 64;
  /** Linear address of the first byte, for the addresses of labels. */
  origin?: number;
}

const cache = new Map<string, Uint8Array>();
/** Where test support keeps what it made; a directory that may be missing or read-only. */
export const cacheDirectory = path.resolve(__dirname, '../../node_modules/.cache/node-hax-tests');

/** Machine code of a source in Intel syntax, without prefixes on registers (`mov al, 1`). Only its `.text` is taken. */
export function assemble(source: string, { bits = 16, origin = 0 }: AssembleOptions = {}): Uint8Array {
  const text = `.intel_syntax noprefix\n.code${bits}\n.text\n${source}\n`;
  const key = createHash('sha256').update(`${bits} ${origin}\n${text}`).digest('hex').slice(0, 32);
  let code = cache.get(key);
  if (!code) {
    const file = path.join(cacheDirectory, `${key}.bin`);
    code = readIfThere(file) ?? keep(file, build(text, bits, origin));
    cache.set(key, code);
  }
  return code.slice();
}

function build(text: string, bits: number, origin: number): Buffer {
  const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-as-'));
  try {
    const object = path.join(directory, 'guest.o');
    const linked = path.join(directory, 'guest.elf');
    const binary = path.join(directory, 'guest.bin');
    // Labels are addresses only after linking; 64-bit mode has its own relocations.
    run('as', [bits === 64 ? '--64' : '--32', '-mx86-used-note=no', '-o', object, '-'], text);
    run('ld', ['-m', bits === 64 ? 'elf_x86_64' : 'elf_i386', `-Ttext=0x${origin.toString(16)}`, '-e', '0', '-o', linked, object]);
    run('objcopy', ['-O', 'binary', '-j', '.text', linked, binary]);
    return readFileSync(binary);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(tool: string, args: string[], input?: string): void {
  try {
    execFileSync(tool, args, { input, stdio: ['pipe', 'ignore', 'pipe'], encoding: 'utf8' });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    throw new Error(code === 'ENOENT' ? `${tool} is missing: install the package binutils` : `${tool} refuses the guest:\n${stderr}`, {
      cause: error,
    });
  }
}

export function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

/** Keeps `bytes` in the cache if that can be; several test processes may do so at once. */
export function keep(file: string, bytes: Buffer): Buffer {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    const temporary = `${file}.${randomUUID()}`;
    writeFileSync(temporary, bytes);
    renameSync(temporary, file);
  } catch {
    // A checkout that somebody else owns: without a cache, then.
  }
  return bytes;
}
