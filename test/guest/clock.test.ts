/** The clock of a PC at ports 0x70 and 0x71, whoever has the interrupt controllers: what no BIOS is there to tell, guests read there. */
import { launch, type Machine } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { bootSector, ending } from './images';

/** Prints a byte of the clock in hexadecimal, as it has it in BCD. */
const printByte = (index: number): string => `mov al, ${index}\n out 0x70, al\n in al, 0x71\n call hex`;

/** A digit above 9 is a character behind that one. */
const digits = `
hex: push ax\n shr al, 4\n call digit\n pop ax\n and al, 15
digit: add al, 0x30\n jmp putc`;

/** Waits for the beginning of a second, as those do who want to read the time undisturbed: an update begins, and is over. */
const sector = bootSector(`
    mov al, 0x0a\n out 0x70, al
2:  in al, 0x71\n test al, 0x80\n jz 2b
3:  in al, 0x71\n test al, 0x80\n jnz 3b
    ${[0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00].map(printByte).join('\n')}
    ${ending.halt}
${digits}`);

/** Memory below 640K, from 1M on, twice, and from 16M on, the high byte of each first. */
const sizes = bootSector(`
    ${[0x16, 0x15, 0x18, 0x17, 0x31, 0x30, 0x35, 0x34].map(printByte).join('\n')}
    ${ending.halt}
${digits}`);

let machine: Machine | undefined;
afterEach(() => machine?.close());

describeKvm('a guest reads the clock', () => {
  it.each(['kernel', 'user'] as const)('with the interrupt controllers of the %s', async (irqchip) => {
    const before = Math.floor(Date.now() / 1000);
    machine = await launch({ kernel: sector, irqchip });
    expect(await machine.ended).toEqual({ reason: 'halted' });
    const [, century, year, month, day, hour, minute, second] = /^(..)(..)(..)(..)(..)(..)(..)$/.exec(machine.console.transcript)!;
    const told = Date.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000;
    expect(told).toBeGreaterThanOrEqual(before);
    expect(told).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000));
  });

  it('and how much memory there is', async () => {
    machine = await launch({ kernel: sizes, memory: '24M' });
    expect(await machine.ended).toEqual({ reason: 'halted' });
    const told = Array.from(machine.console.transcript, (digit) => (digit.charCodeAt(0) - 0x30).toString(16)).join('');
    expect(told.match(/..../g)!.map((word) => parseInt(word, 16))).toEqual([640, 23 * 1024, 23 * 1024, 8 * 16]);
  });
});
