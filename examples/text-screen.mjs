// An MMIO device: the text screen of a VGA (80 x 25 cells at b8000h, a character and an attribute each), shown when the guest has halted.
import { Hypervisor, realMode } from 'node-hax';

const COLUMNS = 80;
const ROWS = 25;

/** Memory that is not RAM: each access of the guest arrives here, at widths 1, 2 and 4. */
class TextScreen {
  cells = Buffer.alloc(COLUMNS * ROWS * 2);

  read(offset, width) {
    return this.cells.readUIntLE(offset, width);
  }

  write(offset, value, width) {
    this.cells.writeUIntLE(value, offset, width);
  }

  /** The text, without what is blank at the ends. */
  toString() {
    const rows = Array.from({ length: ROWS }, (_, row) => {
      const cells = this.cells.subarray(row * COLUMNS * 2, (row + 1) * COLUMNS * 2);
      return Array.from({ length: COLUMNS }, (_, column) => String.fromCharCode(cells[column * 2] || 0x20)).join('');
    });
    return rows
      .map((row) => row.trimEnd())
      .join('\n')
      .trimEnd();
  }
}

const text = 'Hello from b8000h';
const guest = [
  [0xb8, 0x00, 0xb8], //       mov  ax, 0xb800
  [0x8e, 0xc0], //             mov  es, ax
  [0x31, 0xff], //             xor  di, di
  [0xbe, 0x00, 0x02], //       mov  si, message
  [0xb4, 0x07], //             mov  ah, 7           ; light grey on black
  [0xfc], //                   cld
  [0xac], //             next: lodsb
  [0x84, 0xc0], //             test al, al
  [0x74, 0x08], //             jz   done
  [0x26, 0x89, 0x05], //       mov  es:[di], ax
  [0x83, 0xc7, 0x02], //       add  di, 2
  [0xeb, 0xf3], //             jmp  next
  [0xf4], //             done: hlt
];

const hypervisor = Hypervisor.open();
try {
  const vm = hypervisor.createVm({ irqchip: 'user' });
  vm.mapMemory({ gpa: 0, size: '64K' });
  vm.memory.write(0x100, Uint8Array.from(guest.flat()));
  vm.memory.write(0x200, Buffer.from(`${text}\0`));
  const screen = new TextScreen();
  vm.mmio.add({ at: 0xb8000, length: COLUMNS * ROWS * 2 }, screen);
  const vcpu = vm.createVcpu();
  vcpu.setState(realMode({ ip: 0x100 }));
  await vcpu.run();
  console.log(String(screen));
} finally {
  hypervisor.close();
}
