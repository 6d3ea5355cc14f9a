import { loadElf32 } from './elf';
import type { BootResult, Loader } from './loader';

/** Loads a 32-bit i386 executable by physical addresses and enters it in flat protected mode, with a small stack, at its entry point. */
export function loadElfEntry(loader: Loader): BootResult {
  loader.refuse(['append', 'modules'], 'an ELF program');
  const { entry } = loadElf32(loader);
  return loader.result('elf', entry, loader.enter32(entry));
}
