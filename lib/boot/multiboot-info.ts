import { kibibytesFrom } from './e820';
import type { E820Entry } from './e820';
import type { Loader } from './loader';

/** The information structure a multiboot kernel finds in EBX (Multiboot Specification 0.6.96, 3.3). */

const infoSize = 120;
const moduleSize = 16;
/** A map entry's size field does not count itself. */
const mapEntrySize = 20;

const flag = { memory: 1 << 0, commandLine: 1 << 2, modules: 1 << 3, memoryMap: 1 << 6, bootLoaderName: 1 << 9 } as const;

export interface LoadedModule {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly text: string;
}

export interface MultibootInfo {
  readonly commandLine: string;
  readonly modules: readonly LoadedModule[];
  readonly memoryMap: readonly E820Entry[];
}

/** Writes the structure and everything it points to into the boot area; returns its address. */
export function storeMultibootInfo(loader: Loader, { commandLine, modules, memoryMap }: MultibootInfo): number {
  const map = mapEntries(memoryMap);
  const info = Buffer.alloc(infoSize);
  info.writeUInt32LE(flag.memory | flag.commandLine | flag.modules | flag.memoryMap | flag.bootLoaderName, 0);
  info.writeUInt32LE(kibibytesFrom(memoryMap, 0, 640), 4); // mem_lower
  info.writeUInt32LE(kibibytesFrom(memoryMap, 2 ** 20, 0xffffffff), 8); // mem_upper
  info.writeUInt32LE(loader.storeString('command line', commandLine), 16);
  info.writeUInt32LE(modules.length, 20);
  info.writeUInt32LE(modules.length === 0 ? 0 : storeModuleList(loader, modules), 24);
  info.writeUInt32LE(map.length, 44);
  info.writeUInt32LE(loader.store('memory map', map), 48);
  info.writeUInt32LE(loader.storeString('boot loader name', 'node-hax'), 64);
  return loader.store('multiboot information', info);
}

function storeModuleList(loader: Loader, modules: readonly LoadedModule[]): number {
  const list = Buffer.alloc(modules.length * moduleSize);
  modules.forEach(({ start, end, text }, index) => {
    list.writeUInt32LE(start, index * moduleSize);
    list.writeUInt32LE(end, index * moduleSize + 4);
    list.writeUInt32LE(loader.storeString('module string', text), index * moduleSize + 8);
  });
  return loader.store('module list', list);
}

function mapEntries(memoryMap: readonly E820Entry[]): Buffer {
  const stride = mapEntrySize + 4;
  const map = Buffer.alloc(memoryMap.length * stride);
  memoryMap.forEach(({ start, size, type }, index) => {
    map.writeUInt32LE(mapEntrySize, index * stride);
    map.writeBigUInt64LE(BigInt(start), index * stride + 4);
    map.writeBigUInt64LE(BigInt(size), index * stride + 12);
    map.writeUInt32LE(type, index * stride + 20);
  });
  return map;
}
