import { FwCfg } from '../../../lib/devices/fw-cfg';
import { codeOf } from '../../support/codes';
import { deviceLaws } from '../../support/device-laws';

const make = () => new FwCfg({ memory: 5 * 2 ** 30 + 4096, cpus: 300 });

deviceLaws('fw_cfg', make, { length: 2, widths: [1, 2] });

describe('FwCfg', () => {
  const item = (device: FwCfg, key: number, length: number): number[] => {
    device.write(0, key, 2);
    return Array.from({ length }, () => device.read(1, 1));
  };

  test.each([
    ['the signature, with zeros beyond its end', 0x00, [0x51, 0x45, 0x4d, 0x55, 0, 0]],
    ['the revision: ports only', 0x01, [1, 0, 0, 0]],
    ['the size of memory', 0x03, [0, 0x10, 0, 0x40, 1, 0, 0, 0]],
    ['the number of vCPUs', 0x05, [300 & 0xff, 1, 0]],
    ['the most that there can be', 0x0f, [300 & 0xff, 1, 0]],
    ['no files', 0x19, [0, 0, 0, 0]],
    ['nothing under other keys', 0xffff, [0, 0]],
  ])('tells %s', (_what, key, bytes) => {
    expect(item(make(), key, bytes.length)).toEqual(bytes);
  });

  test('a selection begins the item anew', () => {
    const device = make();
    item(device, 5, 2);
    expect(item(device, 5, 2)).toEqual([300 & 0xff, 1]);
  });

  test('only a write of 16 bits selects, and only the data port of 8 reads', () => {
    const device = make();
    device.write(0, 5, 1);
    device.write(1, 5, 1);
    expect([device.read(0, 1), device.read(0, 2), device.read(1, 2), device.read(1, 1)]).toEqual([
      0xffffffff, 0xffffffff, 0xffffffff, 0x51,
    ]);
  });

  test('a state beyond the end of its item is refused', () => {
    const device = make();
    expect(codeOf(() => device.restore({ device: 'fw_cfg', version: 1, selected: 5, position: 3 }))).toBe('ERR_HAX_DEVICE_STATE');
  });
});
