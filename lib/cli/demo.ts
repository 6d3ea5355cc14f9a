/** `hax demo`: the smallest whole machine. Integer instructions of real mode only, so that it works on every backend and host. */
import { realMode } from '../boot/registers';
import { Uart16550 } from '../devices/uart16550a';
import { Hypervisor } from '../hypervisor/hypervisor';
import { install } from '../machine/install';
import { status } from './status';
import { stdoutStream, tell } from './streams';

const loadAddress = 0x1000;

/** 16-bit code, one instruction a line. */
const guest = [
  [0xbe, 0x1b, 0x10], //       mov  si, message
  [0xfc], //                   cld
  [0xac], //             next: lodsb
  [0x84, 0xc0], //             test al, al          ; the text ends with a zero
  [0x74, 0x11], //             jz   done
  [0x88, 0xc4], //             mov  ah, al
  [0xba, 0xfd, 0x03], //       mov  dx, 0x3fd       ; line status register
  [0xec], //             wait: in   al, dx
  [0xa8, 0x20], //             test al, 0x20        ; transmitter holding register empty
  [0x74, 0xfb], //             jz   wait
  [0xb2, 0xf8], //             mov  dl, 0xf8        ; transmitter holding register
  [0x88, 0xe0], //             mov  al, ah
  [0xee], //                   out  dx, al
  [0xeb, 0xea], //             jmp  next
  [0xf4], //             done: hlt
];

const message = 'Hello from a guest on PLACE, through a UART written in TypeScript.\r\n';

export async function demoCommand(): Promise<number> {
  install();
  const hypervisor = Hypervisor.open();
  try {
    const vm = hypervisor.createVm({ irqchip: 'user' });
    vm.mapMemory({ gpa: 0, size: '64K' });
    const { device } = hypervisor.capabilities;
    const code = guest.flat();
    vm.memory.write(loadAddress, Uint8Array.from([...code, ...Buffer.from(`${message.replace('PLACE', device)}\0`)]));
    const uart = new Uart16550({ output: stdoutStream() });
    vm.ports.add({ at: 0x3f8, length: 8 }, uart);
    const vcpu = vm.createVcpu();
    vcpu.setState(realMode({ ip: loadAddress }));
    const end = await vcpu.run();
    uart.flush();
    const { io = 0 } = vcpu.exits.snapshot().kinds;
    tell(`The guest ended: ${end.reason}. It left for the UART ${io} times.\n`);
    return end.reason === 'halted' ? status.ok : status.crash;
  } finally {
    hypervisor.close();
  }
}
