/** What all ACPI tables share (ACPI 6.3, section 5.2). */

/** Size of the header before a table's own fields. */
export const headerSize = 36;

const oemId = 'NODHAX';
const oemTableId = 'NODE-HAX';
const creatorId = 'NHAX';

/** A table of `size` bytes whose header lacks only the checksum (5.2.6); {@link seal} it when its fields are set. */
export function newTable(signature: string, revision: number, size: number): Buffer {
  const table = Buffer.alloc(size);
  table.write(signature, 0, 4, 'ascii');
  table.writeUInt32LE(size, 4);
  table.writeUInt8(revision, 8);
  table.write(oemId, 10, 6, 'ascii');
  table.write(oemTableId, 16, 8, 'ascii');
  table.writeUInt32LE(1, 24); // OEM revision
  table.write(creatorId, 28, 4, 'ascii');
  table.writeUInt32LE(1, 32); // creator revision
  return table;
}

/** Sets the header's checksum byte. */
export function seal(table: Buffer): Buffer {
  setChecksum(table, 9, table.length);
  return table;
}

/** Sets the byte at `offset` so that the first `length` bytes add up to 0. */
export function setChecksum(bytes: Buffer, offset: number, length: number): void {
  bytes[offset] = 0;
  let sum = 0;
  for (let index = 0; index < length; index++) sum += bytes[index];
  bytes[offset] = -sum & 0xff;
}

/** Generic address structure for `bytes` I/O ports from `port`, with accesses of that width (5.2.3.2). */
export function writePortAddress(table: Buffer, offset: number, port: number, bytes: 1 | 2 | 4): void {
  const systemIo = 1;
  table.writeUInt8(systemIo, offset);
  table.writeUInt8(bytes * 8, offset + 1);
  table.writeUInt8({ 1: 1, 2: 2, 4: 3 }[bytes], offset + 3);
  table.writeBigUInt64LE(BigInt(port), offset + 4);
}

/** RSDP of revision 2 (5.2.5.3). */
export function rootPointer(rsdt: number, xsdt: number): Buffer {
  const pointer = Buffer.alloc(36);
  pointer.write('RSD PTR ', 0, 8, 'ascii');
  pointer.write(oemId, 9, 6, 'ascii');
  pointer.writeUInt8(2, 15);
  pointer.writeUInt32LE(rsdt, 16);
  pointer.writeUInt32LE(pointer.length, 20);
  pointer.writeBigUInt64LE(BigInt(xsdt), 24);
  setChecksum(pointer, 8, 20);
  setChecksum(pointer, 32, pointer.length);
  return pointer;
}

/** RSDT: 32-bit pointers to the other tables, for systems older than ACPI 2.0 (5.2.7). */
export function rsdt(tables: readonly number[]): Buffer {
  const table = newTable('RSDT', 1, headerSize + tables.length * 4);
  tables.forEach((address, index) => table.writeUInt32LE(address, headerSize + index * 4));
  return seal(table);
}

/** XSDT: 64-bit pointers to the other tables (5.2.8). */
export function xsdt(tables: readonly number[]): Buffer {
  const table = newTable('XSDT', 1, headerSize + tables.length * 8);
  tables.forEach((address, index) => table.writeBigUInt64LE(BigInt(address), headerSize + index * 8));
  return seal(table);
}

/** FACS with a free global lock, and no waking vector (5.2.10); it has no checksum and must be 64-byte aligned. */
export function facs(): Buffer {
  const table = Buffer.alloc(64);
  table.write('FACS', 0, 4, 'ascii');
  table.writeUInt32LE(table.length, 4);
  table.writeUInt8(2, 32); // version
  return table;
}
