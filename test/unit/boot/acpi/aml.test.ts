import {
  amlDevice,
  amlEisaId,
  amlInteger,
  amlName,
  amlPackage,
  amlResources,
  amlScope,
  amlString,
  ioResource,
  irqResource,
} from '../../../../lib/boot/acpi/aml';
import { refusal } from '../images';

const hex = (bytes: Buffer) => bytes.toString('hex');

test.each([
  [0, '00'],
  [1, '01'],
  [2, '0a02'],
  [0xff, '0aff'],
  [0x100, '0b0001'],
  [0xffff, '0bffff'],
  [0x10000, '0c00000100'],
  [0xffffffff, '0cffffffff'],
])('integer %i', (value, encoded) => expect(hex(amlInteger(value))).toBe(encoded));

test('strings, names and identifiers', () => {
  expect(hex(amlString('AB'))).toBe('0d414200');
  expect(hex(amlName('_UID', amlInteger(1)))).toBe('085f55494401');
  expect(hex(amlName('\\_S5', amlInteger(0)))).toBe('085c5f53355f00');
  expect(hex(amlEisaId('PNP0501'))).toBe('0c41d00501');
});

test('devices, scopes and packages count their length', () => {
  expect(hex(amlDevice('A'))).toBe('5b8205415f5f5f');
  expect(hex(amlScope('\\_SB', amlDevice('AB')))).toBe('100d5c5f53425f' + '5b820541425f5f');
  expect(hex(amlPackage(amlInteger(5), amlInteger(0)))).toBe('1205020a0500');
});

test.each([
  [62, '3f'],
  [63, '4104'],
  [0xffd, '4fff'],
  [0xffe, '810001'],
  [0xffffc, '8fffff'],
  [0xffffd, 'c1000001'],
])('the length of %i bytes of contents', (size, encoded) => {
  const scope = amlScope('A', Buffer.alloc(size - 4));
  expect(hex(scope.subarray(1, 1 + encoded.length / 2))).toBe(encoded);
  expect(scope.length).toBe(1 + encoded.length / 2 + size);
});

test('resource templates', () => {
  expect(hex(ioResource(0x3f8, 8))).toBe('4701f803f8030108');
  expect(hex(irqResource(4))).toBe('221000');
  expect(hex(irqResource(15))).toBe('220080');
  expect(hex(amlResources(irqResource(4)))).toBe('11080a05' + '221000' + '7900');
});

test.each([
  ['a name', () => amlName('lower', amlInteger(0)), '"lower"'],
  ['a name', () => amlDevice('TOOLONG'), '"TOOLONG"'],
  ['an identifier', () => amlEisaId('QEMU0001'), '"QEMU0001"'],
])('%s that does not fit is refused', (_, action, shown) => {
  const error = refusal(action);
  expect(error.code).toBe('ERR_HAX_INVALID_ARGUMENT');
  expect(error.message).toContain(shown);
});
