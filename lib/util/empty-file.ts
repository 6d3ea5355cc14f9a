import { fstatSync, ftruncateSync } from 'node:fs';

/** Takes out what an open file has; what is no regular file has nothing to lose. */
export function emptyFile(fd: number): void {
  if (fstatSync(fd).isFile()) ftruncateSync(fd);
}
