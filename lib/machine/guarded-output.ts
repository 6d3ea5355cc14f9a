import { writerOf, type ByteOutput, type ByteSink } from '../host/byte-sink';

/** The function of an output. What it throws goes to `onFailure`, and the output gets nothing more then. */
export function guarded(output: ByteOutput | undefined, onFailure: (cause: unknown) => void): ByteSink['write'] | undefined {
  let write = writerOf(output);
  if (!write) return undefined;
  return (bytes, onDrain) => {
    try {
      return write?.(bytes, onDrain);
    } catch (cause) {
      write = undefined;
      onFailure(cause);
      return true;
    }
  };
}
