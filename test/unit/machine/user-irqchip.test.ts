import { PortBus } from '../../../lib/bus/port-bus';
import { makeUserIrqchip } from '../../../lib/machine/user-irqchip';

describe('makeUserIrqchip', () => {
  it('puts the controllers where a PC has them', () => {
    const ports = new PortBus();
    makeUserIrqchip({ ports });
    const owned: string[] = [];
    for (let port = 0; port < 0x10000; port++) {
      const owner = ports.ownerOf(port);
      if (owner !== undefined) owned.push(`${port.toString(16)} ${owner}`);
    }
    expect(owned).toEqual(['20 PIC', '21 PIC', 'a0 second PIC', 'a1 second PIC', '4d0 ELCR', '4d1 ELCR']);
  });

  it('serves a guest that programs them as Linux does', () => {
    const ports = new PortBus();
    const chip = makeUserIrqchip({ ports });
    const { source } = chip;
    const out = (port: number, ...bytes: number[]): void => bytes.forEach((byte) => void ports.write(port, byte, 1));
    out(0x20, 0x11);
    out(0x21, 0x30, 0x04, 0x01, 0xfa);
    out(0xa0, 0x11);
    out(0xa1, 0x38, 0x02, 0x01, 0xfe);
    // A word to the ELCR is two bytes.
    ports.write(0x4d0, 0xffff, 2);
    expect(ports.read(0x4d0, 2)).toBe(0xdef8);
    const woken = jest.fn();
    source.onPending = woken;
    chip.line(1).set(true);
    expect(source.pending).toBe(false);
    chip.line(8).set(true);
    expect([source.pending, woken.mock.calls.length]).toEqual([true, 1]);
    expect(source.acknowledge()).toBe(0x38);
    expect(source.pending).toBe(false);
  });
});
