/** The descriptors of standard input and output, in the place of node:fs, from which the mock of it is made: nothing here may import that. */

/** Standard input is /dev/null. */
export const standardInput = { isNull: false };

const fs = jest.requireActual<typeof import('node:fs')>('node:fs');
const devNull = { isCharacterDevice: () => true, rdev: 0x103 };
const other = { isCharacterDevice: () => false };
const output = { ...other, isFile: () => false, isSocket: () => false, isFIFO: () => false };
const standard = (fd: number): object => (fd !== 0 ? output : standardInput.isNull ? devNull : other);

/** The module in whose place it stands. */
export const scriptedFs = { ...fs, fstatSync: (fd: number) => (fd <= 1 ? standard(fd) : fs.fstatSync(fd)) };
