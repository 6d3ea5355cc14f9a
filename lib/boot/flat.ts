import { shown } from '../util/check';
import { invalidArgument } from '../util/errors';
import { checkInteger, hex } from '../util/numbers';
import type { BootResult, FlatOptions, Loader } from './loader';
import { realMode } from './registers';

const defaultLoadAddress = 0x7c00;
/** What cs:ip reaches without the A20 gate. */
const realModeTop = 0xfffff;

/**
 * Loads a file without any format as it is, and starts it in real, 32-bit or 64-bit mode with a small stack.
 * In real mode an entry below 64 KiB is 0:entry, with ds = es = 0; a higher one is (entry >> 4):(entry & 15), with ds = es = cs;
 * ss is 0 unless the image or the memory map leaves no room for a stack below 64 KiB.
 * In 64-bit mode the first 4 GiB are mapped to themselves.
 */
export function loadFlat(loader: Loader): BootResult {
  loader.refuse(['append', 'modules'], 'a flat image');
  const { load, entry, mode } = checkFlat(loader.options.flat);
  const { size } = loader.source;
  if (entry >= load + size) {
    throw invalidArgument(
      `entry ${hex(entry)} must be inside ${loader.source.name}, which is loaded at ${hex(load)} to ${hex(load + size - 1)}`,
    );
  }
  loader.claim('contents', load, size);
  const registers = enter(loader, entry, mode);
  loader.fill(0, size, load, size);
  return loader.result('flat', entry, registers);
}

/** What can be told to be wrong before there is a file; the defaults are put in. Throws ERR_HAX_INVALID_ARGUMENT. */
export function checkFlat({ load = defaultLoadAddress, entry = load, mode = 16 }: FlatOptions = {}): Required<FlatOptions> {
  checkInteger(load, 'load', 0, 0xffffffff);
  checkInteger(entry, 'entry', 0, 0xffffffff);
  if (mode !== 16 && mode !== 32 && mode !== 64) throw invalidArgument(`mode must be 16, 32 or 64, not ${shown(mode)}`);
  if (entry < load) throw invalidArgument(`entry ${hex(entry)} must not be below the load address ${hex(load)}`);
  if (mode === 16 && entry > realModeTop) throw invalidArgument(`entry ${hex(entry)} must be at most ${hex(realModeTop)} in 16-bit mode`);
  return { load, entry, mode };
}

function enter(loader: Loader, entry: number, mode: 16 | 32 | 64) {
  if (mode === 32) return loader.enter32(entry);
  if (mode === 64) return loader.enter64(entry);
  const stack = loader.realModeStack();
  const cs = entry > 0xffff ? entry >> 4 : 0;
  const ss = stack.end > 0x10000 ? stack.start >> 4 : 0;
  // A little below the end, which at 64 KiB would be sp = 0.
  return realMode({ ip: entry - cs * 16, cs, ds: cs, ss, sp: stack.end - 16 - ss * 16 });
}
