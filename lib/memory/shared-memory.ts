import { types } from 'node:util';
import { HaxError, invalidArgument } from '../util/errors';
import { parseSize } from '../util/numbers';
import type { RegionBacking } from './guest-memory';

/** A WebAssembly.Memory made with `shared: true`; the language's own type needs a library that programs for Node need not have. */
export interface SharedMemory {
  /** A SharedArrayBuffer; a multiple of 64 KiB long. */
  readonly buffer: ArrayBufferLike;
}

/** What a page of WebAssembly has; its memories are multiples of it, and 4 GiB at most. */
const wasmPage = 65536;
const maxPages = 65536;

interface WasmMemoryConstructor {
  new (descriptor: { initial: number; maximum: number; shared: true }): SharedMemory;
}

/**
 * Zero-filled memory of at least `size` bytes, or of text such as '128M', that threads can share. Throws ERR_HAX_INVALID_ARGUMENT above 4 GiB,
 * ERR_HAX_NO_MEMORY, and ERR_HAX_UNSUPPORTED where Node was started without WebAssembly.
 */
export function createSharedMemory(size: number | string): SharedMemory {
  const bytes = parseSize(size, 'size of shared guest memory');
  const pages = Math.ceil(bytes / wasmPage);
  if (pages > maxPages) throw invalidArgument(`shared guest memory has at most 4 GiB, not ${bytes} bytes`);
  const { WebAssembly } = globalThis as { WebAssembly?: { Memory: WasmMemoryConstructor } };
  if (!WebAssembly) {
    throw new HaxError('ERR_HAX_UNSUPPORTED', 'shared guest memory is a WebAssembly.Memory, and this runtime has no WebAssembly', {
      hint: 'Start Node without --jitless, or do without shared memory.',
    });
  }
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    throw new HaxError('ERR_HAX_NO_MEMORY', `the host has not ${bytes} bytes for shared guest memory`, { cause });
  }
}

/** Its bytes, which never move. Throws ERR_HAX_INVALID_ARGUMENT for anything but a shared WebAssembly.Memory. */
export function sharedBytes(memory: SharedMemory): Uint8Array {
  const isMemory = Object.prototype.toString.call(memory) === '[object WebAssembly.Memory]';
  if (!isMemory || !types.isSharedArrayBuffer(memory.buffer)) {
    throw invalidArgument('shared guest memory is a WebAssembly.Memory that was made with `shared: true`');
  }
  return new Uint8Array(memory.buffer);
}

/** Guest memory in an array of JavaScript's. Views of it stay what they are after the region is closed: the array has other owners. */
export class SharedBacking implements RegionBacking {
  constructor(
    private readonly bytes: Uint8Array,
    private readonly release: () => void,
  ) {}

  read(offset: number, target: Uint8Array): void {
    target.set(this.bytes.subarray(offset, offset + target.length));
  }

  write(offset: number, source: Uint8Array): void {
    this.bytes.set(source, offset);
  }

  view(offset: number, length: number): Uint8Array {
    return this.bytes.subarray(offset, offset + length);
  }

  /** Never asked for: there are views. */
  buffer(): ArrayBuffer {
    return new ArrayBuffer(0);
  }

  close(): void {
    this.release();
  }
}
