/**
 * Request numbers of the HAXM driver: a kind, a number and a size each, and the way that each host system makes a number of them.
 * native/backends/haxm/requests.h has the same table; test/support/haxm-requests.json holds what both must come to.
 */

/** Which way the argument goes. */
export type Transfer = 'none' | 'write' | 'read' | 'both';

export interface Request {
  readonly name: string;
  readonly transfer: Transfer;
  readonly number: number;
  /** Bytes of the argument. */
  readonly size: number;
  /** The function of CTL_CODE. */
  readonly windows: number;
}

const request = (name: string, transfer: Transfer, number: number, size: number, windows: number): Request => ({
  name,
  transfer,
  number,
  size,
  windows,
});

export const requests = {
  version: request('HAX_IOCTL_VERSION', 'both', 0x20, 8, 0x900),
  createVm: request('HAX_IOCTL_CREATE_VM', 'both', 0x21, 4, 0x901),
  capability: request('HAX_IOCTL_CAPABILITY', 'read', 0x23, 16, 0x910),
  setMemlimit: request('HAX_IOCTL_SET_MEMLIMIT', 'both', 0x24, 16, 0x911),
  vcpuCreate: request('HAX_VM_IOCTL_VCPU_CREATE', 'both', 0x80, 4, 0x902),
  allocRam: request('HAX_VM_IOCTL_ALLOC_RAM', 'both', 0x81, 16, 0x903),
  setRam: request('HAX_VM_IOCTL_SET_RAM', 'both', 0x82, 24, 0x904),
  notifyQemuVersion: request('HAX_VM_IOCTL_NOTIFY_QEMU_VERSION', 'write', 0x84, 8, 0x910),
  addRamblock: request('HAX_VM_IOCTL_ADD_RAMBLOCK', 'write', 0x85, 24, 0x913),
  setRam2: request('HAX_VM_IOCTL_SET_RAM2', 'both', 0x86, 40, 0x914),
  protectRam: request('HAX_VM_IOCTL_PROTECT_RAM', 'both', 0x87, 24, 0x915),
  run: request('HAX_VCPU_IOCTL_RUN', 'none', 0xc0, 0, 0x906),
  setMsrs: request('HAX_VCPU_IOCTL_SET_MSRS', 'both', 0xc1, 520, 0x907),
  getMsrs: request('HAX_VCPU_IOCTL_GET_MSRS', 'both', 0xc2, 520, 0x908),
  setFpu: request('HAX_VCPU_IOCTL_SET_FPU', 'write', 0xc3, 512, 0x909),
  getFpu: request('HAX_VCPU_IOCTL_GET_FPU', 'read', 0xc4, 512, 0x90a),
  setupTunnel: request('HAX_VCPU_IOCTL_SETUP_TUNNEL', 'both', 0xc5, 24, 0x90b),
  interrupt: request('HAX_VCPU_IOCTL_INTERRUPT', 'both', 0xc6, 4, 0x90c),
  setRegs: request('HAX_VCPU_SET_REGS', 'both', 0xc7, 512, 0x90d),
  getRegs: request('HAX_VCPU_GET_REGS', 'both', 0xc8, 512, 0x90e),
  /** The registers of the first binaries of 7.8.0, with XCR0. */
  setRegsWithXcr0: request('HAX_VCPU_SET_REGS', 'both', 0xc7, 520, 0x90d),
  getRegsWithXcr0: request('HAX_VCPU_GET_REGS', 'both', 0xc8, 520, 0x90e),
  debug: request('HAX_IOCTL_VCPU_DEBUG', 'write', 0xc9, 72, 0x916),
  /** The argument is the address of a pointer to the table. */
  setCpuid: request('HAX_VCPU_IOCTL_SET_CPUID', 'write', 0xca, 8, 0x917),
  getCpuid: request('HAX_VCPU_IOCTL_GET_CPUID', 'write', 0xcb, 8, 0x918),
} as const satisfies Record<string, Request>;

/** Answered by the addon, never sent to the driver: what the driver shares with the process that it maps its pages into. */
export const ours = {
  readTunnel: request('the tunnel', 'read', 0xe0, 120, 0),
  writeTunnel: request('the tunnel', 'write', 0xe1, 80, 0),
  vmNumbers: request('the numbers of the VM and its vCPUs', 'read', 0xe2, 8, 0),
} as const satisfies Record<string, Request>;

/** Direction in bits 31:30, size in 29:16, type 0 (asm-generic/ioctl.h). */
export function linuxCode({ transfer, size, number }: Request): number {
  const direction = { none: 0, write: 1, read: 2, both: 3 }[transfer];
  return direction * 2 ** 30 + size * 0x10000 + number;
}

/** Void, out (read) and in (write) in bits 31:29, 13 bits of size, group 0 (sys/ioccom.h): macOS and NetBSD. */
export function bsdCode({ transfer, size, number }: Request): number {
  const direction = { none: 0x20000000, read: 0x40000000, write: 0x80000000, both: 0xc0000000 }[transfer];
  return direction + size * 0x10000 + number;
}

/** CTL_CODE(0x4000, function, METHOD_BUFFERED, FILE_ANY_ACCESS). */
export function windowsCode({ windows }: Request): number {
  return 0x40000000 + windows * 4;
}

/** The number on this host. */
export function code(wanted: Request): number {
  if (process.platform === 'linux') return linuxCode(wanted);
  return process.platform === 'win32' ? windowsCode(wanted) : bsdCode(wanted);
}
