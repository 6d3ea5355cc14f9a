/** The interrupt of a PC's real-time clock, by the interrupt controllers of the kernel and by ours. */
import { launch, type Machine } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, print } from './images';

/** `value` to a byte of the clock. */
const put = (index: number, value: number): string => `mov al, ${index}\n out 0x70, al\n mov al, ${value}\n out 0x71, al\n`;
const [pie, aie, uie] = [0x40, 0x20, 0x10];

/** Waits for so many interrupts of the kind; each prints a point, and a wrong kind a question mark. Interrupts 8 to 15 are vectors 0x70 to 0x77. */
const waits = (kind: number, times: number): Uint8Array =>
  bootSector(`
    cli\n mov word ptr [0x70 * 4], offset 1f\n mov word ptr [0x70 * 4 + 2], 0
    mov al, 0x11\n out 0x20, al\n out 0xa0, al\n mov al, 8\n out 0x21, al\n mov al, 0x70\n out 0xa1, al
    mov al, 4\n out 0x21, al\n mov al, 2\n out 0xa1, al\n mov al, 1\n out 0x21, al\n out 0xa1, al
    mov al, 0xfb\n out 0x21, al\n mov al, 0xfe\n out 0xa1, al
    ${[1, 3, 5].map((index) => put(index, 0xff)).join('')}${put(0x0a, 0x2d)}${put(0x0b, 0x02 | kind)}
    mov bx, ${times}
2:  sti\n hlt\n cli\n test bx, bx\n jnz 2b
    ${print('done')}
    ${ending.halt}
1:  push ax\n push dx\n mov al, 0x0c\n out 0x70, al\n in al, 0x71
    and al, ${0x80 | kind}\n cmp al, ${0x80 | kind}\n mov al, 0x2e\n je 3f\n mov al, 0x3f
3:  call putc\n dec bx\n mov al, 0x20\n out 0xa0, al\n out 0x20, al\n pop dx\n pop ax\n iret`);

let machine: Machine | undefined;
afterEach(() => machine?.close());

describeKvm('interrupt 8', () => {
  it.each([
    ['periodic', 'kernel', pie, 8],
    ['alarm', 'kernel', aie, 1],
    ['update-ended', 'kernel', uie, 1],
    ['periodic', 'user', pie, 8],
    ['alarm', 'user', aie, 1],
  ] as const)('%s, with the interrupt controllers of the %s', async (_, irqchip, kind, times) => {
    machine = await launch({ kernel: waits(kind, times), irqchip });
    expect(await machine.ended).toEqual({ reason: 'halted' });
    expect(machine.console.transcript).toBe(`${'.'.repeat(times)}done`);
  });
});
