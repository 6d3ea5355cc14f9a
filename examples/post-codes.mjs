// A port device: the display for POST codes (port 80h of the ISA bus, AMI and Phoenix BIOS manuals). A boot sector writes its progress to it.
import { Hypervisor, realMode } from 'node-hax';

/** One latch of eight bits. A read gives what was written last, as on boards that latch it. */
class PostDisplay {
  maxWidth = 1; // a wider access is split into bytes
  history = [];

  read() {
    return this.history.at(-1) ?? 0;
  }

  write(offset, value) {
    if (this.history.length < 1000) this.history.push(value); // a guest must not fill our memory
  }

  toString() {
    return this.history.map((code) => code.toString(16).padStart(2, '0')).join(' ');
  }
}

const guest = [
  [0xb0, 0x01], //       mov al, 1
  [0xe6, 0x80], // next: out 0x80, al
  [0x00, 0xc0], //       add al, al
  [0x75, 0xfa], //       jnz next
  [0xb0, 0xaa], //       mov al, 0xaa       ; done
  [0xe6, 0x80], //       out 0x80, al
  [0xf4], //             hlt
];

const hypervisor = Hypervisor.open();
try {
  const vm = hypervisor.createVm({ irqchip: 'user' });
  vm.mapMemory({ gpa: 0, size: '64K' });
  vm.memory.write(0x7c00, Uint8Array.from(guest.flat()));
  const display = new PostDisplay();
  vm.ports.add({ at: 0x80, length: 1 }, display);
  const vcpu = vm.createVcpu();
  vcpu.setState(realMode({ ip: 0x7c00 }));
  const { reason } = await vcpu.run();
  console.log(`${display}; ${reason}`);
} finally {
  hypervisor.close();
}
