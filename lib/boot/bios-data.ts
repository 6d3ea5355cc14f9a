import { kibibytesFrom } from './e820';
import { biosDataEnd } from './loader';
import type { Loader } from './loader';

/**
 * What programs that expect a PC BIOS find in low memory where there is none: an interrupt table whose every call fails politely, and
 * the serial ports and the size of conventional memory (IBM PC/AT Technical Reference, "BIOS data area"). Xen, for one, places its real-mode
 * code by the latter, and kernels look for COM1 in the former.
 */

const vectors = 256;
/** Two bytes each: the first ports of COM1 to COM4, 0 for none. */
const serialBases = 0x400;
const maxSerialPorts = 4;
/** Two bytes: the equipment, with the number of serial ports in bits 11 to 9. */
const equipment = 0x410;
const serialCountShift = 9;
/** Two bytes: KiB of memory from address 0. */
const baseMemorySize = 0x413;
/** The 16 bytes that the BIOS data area leaves to applications. */
const handlers = 0x4f0;

/** Sets the carry flag, the BIOS's sign of failure, in the caller's flags, and returns with the rest of them as they were. */
const failingCall = [
  0x55, // push bp
  0x89,
  0xe5, // mov bp, sp
  0x80,
  0x4e,
  0x06,
  0x01, // or byte [bp+6], 1
  0x5d, // pop bp
  0xcf, // iret
] as const;
/** Of its last instruction, which alone serves interrupts of devices. */
const ignoredInterrupt = handlers + failingCall.length - 1;

/** Interrupts 0 to 7 and 8 to 15 of the two 8259s, where a BIOS puts them. Before that, as here, they all come at vectors 0 to 7. */
const firstIrqs = 0x08;
const secondIrqs = 0x70;

/** Writes the first 1280 bytes of memory, unless the image is there or it is not RAM. */
export function storeBiosData(loader: Loader): void {
  if (!loader.placement.claim('BIOS data', 0, biosDataEnd)) return;
  const data = Buffer.alloc(biosDataEnd);
  for (let vector = 0; vector < vectors; vector++) {
    const isIrq = vector < firstIrqs + 8 || (vector & ~7) === secondIrqs;
    data.writeUInt32LE(isIrq ? ignoredInterrupt : handlers, vector * 4);
  }
  const ports = (loader.options.serialPorts ?? []).slice(0, maxSerialPorts);
  ports.forEach((port, index) => data.writeUInt16LE(port, serialBases + 2 * index));
  data.writeUInt16LE(ports.length << serialCountShift, equipment);
  data.writeUInt16LE(kibibytesFrom(loader.options.memoryMap, 0, 640), baseMemorySize);
  data.set(failingCall, handlers);
  loader.memory.write(0, data);
}
