/**
 * KVM's structures as plain objects and as bytes. Members have the kernel's names; 64-bit ones are bigints when read, and numbers or
 * bigints when written. Padding and reserved members are left out and written as zero.
 */
import { checkBytes, checkObject, shown } from '../../util/check';
import { invalidArgument } from '../../util/errors';
import { structs, type Field, type ScalarType, type StructName, type StructTypes } from './generated/uapi';

/** What a structure takes when it is written. */
export type Input<T> = T extends bigint
  ? number | bigint
  : T extends Uint8Array
    ? Uint8Array
    : T extends readonly (infer E)[]
      ? readonly Input<E>[]
      : T extends object
        ? { readonly [K in keyof T]: Input<T[K]> }
        : T;

const scalars: Record<ScalarType, { readonly bytes: number; readonly min: bigint; readonly max: bigint }> = {
  u8: { bytes: 1, min: 0n, max: 0xffn },
  u16: { bytes: 2, min: 0n, max: 0xffffn },
  u32: { bytes: 4, min: 0n, max: 0xffffffffn },
  u64: { bytes: 8, min: 0n, max: (1n << 64n) - 1n },
  s8: { bytes: 1, min: -0x80n, max: 0x7fn },
  s16: { bytes: 2, min: -0x8000n, max: 0x7fffn },
  s32: { bytes: 4, min: -0x80000000n, max: 0x7fffffffn },
  s64: { bytes: 8, min: -(1n << 63n), max: (1n << 63n) - 1n },
};

const isScalar = (type: string): type is ScalarType => type in scalars;
const sizeOfType = (type: Field['type']): number => (isScalar(type) ? scalars[type].bytes : structs[type].size);

/** Bytes of a structure, without the open array that some end in. */
export function sizeOf(name: StructName): number {
  return structs[name].size;
}

/** Offset of a member from the start of its structure. */
export function offsetOf(name: StructName, member: string): number {
  return structs[name].fields[member].offset;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is a whole number that fits; `name` goes into the message. */
export function checkScalar(value: unknown, type: ScalarType, name: string): bigint {
  const { min, max } = scalars[type];
  const whole = typeof value === 'bigint' ? value : typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined;
  if (whole === undefined || whole < min || whole > max) {
    throw invalidArgument(`${name} must be a whole number from ${min} to ${max}, not ${shown(value)}`);
  }
  return whole;
}

function putScalar(view: DataView, at: number, type: ScalarType, value: unknown, name: string): void {
  const bits = BigInt.asUintN(64, checkScalar(value, type, name));
  for (let i = 0; i < scalars[type].bytes; i++) view.setUint8(at + i, Number((bits >> BigInt(8 * i)) & 0xffn));
}

function getScalar(view: DataView, at: number, type: ScalarType): number | bigint {
  const { bytes, min } = scalars[type];
  let bits = 0n;
  for (let i = bytes - 1; i >= 0; i--) bits = (bits << 8n) | BigInt(view.getUint8(at + i));
  const value = min < 0n ? BigInt.asIntN(8 * bytes, bits) : bits;
  return bytes === 8 ? value : Number(value);
}

function putOne(bytes: Uint8Array, at: number, type: Field['type'], value: unknown, name: string): void {
  if (isScalar(type)) putScalar(viewOf(bytes), at, type, value, name);
  else put(bytes, at, type, value, name);
}

function putField(bytes: Uint8Array, at: number, { type, count }: Field, value: unknown, name: string): void {
  if (count === undefined) {
    putOne(bytes, at, type, value, name);
  } else if (type === 'u8') {
    checkBytes(value, name);
    if ((value as Uint8Array).length !== count) throw invalidArgument(`${name} has ${count} bytes, not ${(value as Uint8Array).length}`);
    bytes.set(value as Uint8Array, at);
  } else {
    if (!Array.isArray(value) || value.length > count)
      throw invalidArgument(`${name} must be a list of at most ${count}, not ${shown(value)}`);
    // Holes too, which forEach() would leave out.
    Array.from(value as unknown[]).forEach((each, i) => putOne(bytes, at + i * sizeOfType(type), type, each, `${name}[${i}]`));
  }
}

function put(bytes: Uint8Array, at: number, struct: StructName, value: unknown, name: string): void {
  checkObject(value, name);
  const { fields, union } = structs[struct];
  const given = Object.keys(value as object).filter((key) => (value as Record<string, unknown>)[key] !== undefined);
  for (const key of given) {
    if (!Object.hasOwn(fields, key)) throw invalidArgument(`${name} has no member ${shown(key)}; it has ${Object.keys(fields).join(', ')}`);
  }
  if (union && given.length !== 1) throw invalidArgument(`${name} takes one of ${Object.keys(fields).join(', ')}`);
  for (const [key, field] of Object.entries(fields)) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) {
      if (union || field.optional) continue;
      throw invalidArgument(`${name}.${key} is missing`);
    }
    putField(bytes, at + field.offset, field, member, `${name}.${key}`);
  }
}

/** The bytes of a structure, with room for an open array behind it. */
export function encode<S extends StructName>(struct: S, value: Input<StructTypes[S]>, extra = 0): Uint8Array {
  const bytes = new Uint8Array(structs[struct].size + extra);
  put(bytes, 0, struct, value, struct);
  return bytes;
}

/** Writes a structure at an offset; nothing is written when a member does not fit. */
export function encodeAt<S extends StructName>(bytes: Uint8Array, at: number, struct: S, value: Input<StructTypes[S]>): void {
  bytes.set(encode(struct, value), at);
}

function getOne(bytes: Uint8Array, at: number, type: Field['type']): unknown {
  return isScalar(type) ? getScalar(viewOf(bytes), at, type) : decode(type, bytes, at);
}

/** A structure out of bytes; of a union every member. */
export function decode<S extends StructName>(struct: S, bytes: Uint8Array, at = 0): StructTypes[S] {
  const value: Record<string, unknown> = {};
  for (const [key, { offset, type, count }] of Object.entries(structs[struct].fields)) {
    if (count === undefined) value[key] = getOne(bytes, at + offset, type);
    else if (type === 'u8') value[key] = bytes.slice(at + offset, at + offset + count);
    else value[key] = Array.from({ length: count }, (_, i) => getOne(bytes, at + offset + i * sizeOfType(type), type));
  }
  return value as unknown as StructTypes[S];
}

/** A header and the entries of the open array behind it, as many as `count` says. */
export function encodeList<H extends StructName, E extends StructName>(
  header: H,
  head: Input<StructTypes[H]>,
  entry: E,
  entries: readonly Input<StructTypes[E]>[],
): Uint8Array {
  const bytes = encode(header, head, entries.length * sizeOf(entry));
  entries.forEach((each, i) => encodeAt(bytes, sizeOf(header) + i * sizeOf(entry), entry, each));
  return bytes;
}

export function decodeList<E extends StructName>(entry: E, bytes: Uint8Array, at: number, count: number): StructTypes[E][] {
  return Array.from({ length: count }, (_, i) => decode(entry, bytes, at + i * sizeOf(entry)));
}
