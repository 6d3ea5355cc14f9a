/** The code that opens the A20 gate by the keyboard controller, as countless boot sectors have it, whether the gate is open or not. */
import { launch, type Machine } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, print } from './images';

const sector = bootSector(`
    call empty\n mov al, 0xad\n out 0x64, al
    call empty\n mov al, 0xd0\n out 0x64, al
2:  in al, 0x64\n test al, 1\n jz 2b
    in al, 0x60\n push ax
    call empty\n mov al, 0xd1\n out 0x64, al
    call empty\n pop ax\n or al, 2\n out 0x60, al
    call empty\n mov al, 0xae\n out 0x64, al
    call empty
    ${print('A20\r\n')}
    ${ending.halt}
empty: in al, 0x64\n test al, 2\n jnz empty\n ret`);

let machine: Machine | undefined;
afterEach(() => machine?.close());

describeKvm('a boot sector that opens the A20 gate', () => {
  it('gets the output port that it waits for, and does not reset the machine with it', async () => {
    machine = await launch({ kernel: sector, reboot: false });
    await machine.console.waitFor('A20\r\n', { timeout: 20_000 });
    expect(await machine.ended).toEqual({ reason: 'halted' });
  });
});
