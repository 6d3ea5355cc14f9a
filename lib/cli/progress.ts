import type { ProgressListener } from '../machine/file-source';
import { printable } from './printable';

/** Files below this are read before anybody could see a bar. */
const worthShowing = 16 * 2 ** 20;

/** A bar on a terminal while large files go into guest memory; nothing elsewhere. `open` gives standard error once it is needed. */
export function loadProgress(open: () => NodeJS.WriteStream): { listener: ProgressListener; stop: () => void } {
  let bar: import('cli-progress').SingleBar | undefined;
  let shown: string | undefined;
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    bar?.stop();
  };
  const listener: ProgressListener = (name, done, total) => {
    // Later, at a reset, the terminal is the guest's.
    if (stopped || total < worthShowing) return;
    const stream = open();
    if (!stream.isTTY) return;
    if (shown !== name) {
      bar?.stop();
      // Loaded for the few runs that show it.
      const { SingleBar } = require('cli-progress') as typeof import('cli-progress'); // eslint-disable-line @typescript-eslint/no-require-imports
      // The terminal stays as it is: while a file is read no signal has a handler that could put it right.
      const asItIs = { hideCursor: false, linewrap: true };
      bar = new SingleBar({ stream, clearOnComplete: true, ...asItIs, format: `loading ${printable(name)} [{bar}] {percentage}%` });
      bar.start(total, 0);
      shown = name;
    }
    bar!.update(done);
    bar!.render();
  };
  return { listener, stop };
}
