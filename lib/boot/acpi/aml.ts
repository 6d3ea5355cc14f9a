import { invalidArgument } from '../../util/errors';

/** The part of ACPI Machine Language that a static DSDT needs (ACPI 6.3, section 20.2 and, for resources, 6.4). */

const opcode = { zero: 0x00, one: 0x01, name: 0x08, byte: 0x0a, word: 0x0b, dword: 0x0c, string: 0x0d, scope: 0x10, buffer: 0x11 } as const;
const packageOp = 0x12;
const deviceOp = [0x5b, 0x82] as const;
const rootChar = 0x5c;

/** An encoded term or object. */
export type Aml = Buffer;

/** An integer in the shortest encoding, up to 32 bits (20.2.3). */
export function amlInteger(value: number): Aml {
  if (value === 0) return Buffer.of(opcode.zero);
  if (value === 1) return Buffer.of(opcode.one);
  if (value <= 0xff) return Buffer.of(opcode.byte, value);
  if (value <= 0xffff) return Buffer.of(opcode.word, value & 0xff, value >> 8);
  const encoded = Buffer.alloc(5, opcode.dword);
  encoded.writeUInt32LE(value, 1);
  return encoded;
}

/** A NUL-terminated ASCII string. */
export function amlString(text: string): Aml {
  return Buffer.concat([Buffer.of(opcode.string), Buffer.from(`${text}\0`, 'ascii')]);
}

/** A Plug and Play identifier, three letters and four hexadecimal digits, as the integer that _HID takes (19.6.37). */
export function amlEisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw invalidArgument(`an EISA id must look like PNP0501, not ${JSON.stringify(id)}`);
  const letters = [...id.slice(0, 3)].reduce((bits, letter) => (bits << 5) | (letter.charCodeAt(0) - 0x40), 0);
  return Buffer.concat([Buffer.of(opcode.dword, letters >> 8, letters & 0xff), Buffer.from(id.slice(3), 'hex')]);
}

/** Names an object: `Name (path, value)`. */
export function amlName(path: string, value: Aml): Aml {
  return Buffer.concat([Buffer.of(opcode.name), nameString(path), value]);
}

export function amlDevice(name: string, ...terms: Aml[]): Aml {
  return Buffer.concat([Buffer.from(deviceOp), withLength([nameString(name), ...terms])]);
}

export function amlScope(path: string, ...terms: Aml[]): Aml {
  return Buffer.concat([Buffer.of(opcode.scope), withLength([nameString(path), ...terms])]);
}

export function amlPackage(...elements: Aml[]): Aml {
  return Buffer.concat([Buffer.of(packageOp), withLength([Buffer.of(elements.length), ...elements])]);
}

/** A buffer of resource descriptors with the end tag, for _CRS (6.4.2.9: a checksum of 0 is taken as right). */
export function amlResources(...descriptors: Buffer[]): Aml {
  const bytes = Buffer.concat([...descriptors, Buffer.of(0x79, 0)]);
  return Buffer.concat([Buffer.of(opcode.buffer), withLength([amlInteger(bytes.length), bytes])]);
}

/** I/O port descriptor: fixed ports, 16-bit decode (6.4.2.5). */
export function ioResource(port: number, length: number): Buffer {
  const descriptor = Buffer.of(0x47, 1, 0, 0, 0, 0, 1, length);
  descriptor.writeUInt16LE(port, 2);
  descriptor.writeUInt16LE(port, 4);
  return descriptor;
}

/** IRQ descriptor without flags: edge triggered, active high, exclusive (6.4.2.1). */
export function irqResource(irq: number): Buffer {
  const descriptor = Buffer.of(0x22, 0, 0);
  descriptor.writeUInt16LE(1 << irq, 1);
  return descriptor;
}

/** One name segment, padded to four characters, or a path of one from the root (20.2.2). */
function nameString(path: string): Buffer {
  const match = /^(\\?)([A-Z_][A-Z0-9_]{0,3})$/.exec(path);
  if (!match) throw invalidArgument(`an AML name must have one to four of A-Z, 0-9 and _, not ${JSON.stringify(path)}`);
  const segment = Buffer.from(match[2].padEnd(4, '_'), 'ascii');
  return match[1] ? Buffer.concat([Buffer.of(rootChar), segment]) : segment;
}

/**
 * PkgLength and the contents it counts, itself included (20.2.4): one byte up to 63, else a low nibble and one to three more bytes.
 */
function withLength(parts: readonly Buffer[]): Buffer {
  const contents = Buffer.concat(parts);
  if (contents.length + 1 <= 0x3f) return Buffer.concat([Buffer.of(contents.length + 1), contents]);
  const extra = contents.length + 2 < 2 ** 12 ? 1 : contents.length + 3 < 2 ** 20 ? 2 : 3;
  const total = contents.length + 1 + extra;
  const length = [(extra << 6) | (total & 0xf)];
  for (let shift = 4; length.length <= extra; shift += 8) length.push((total >> shift) & 0xff);
  return Buffer.concat([Buffer.from(length), contents]);
}
