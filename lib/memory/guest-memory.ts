/** Guest-physical memory as boot loaders and users see it: addresses are guest-physical, safe-integer numbers. */
export interface GuestMemoryAccess {
  /** Copies `bytes` to guest-physical `gpa`; throws ERR_HAX_MEMORY and writes nothing when the range is not all mapped. */
  write(gpa: number, bytes: Uint8Array): void;
  /** A copy of `length` bytes at `gpa`; throws ERR_HAX_MEMORY when the range is not all mapped. */
  read(gpa: number, length: number): Uint8Array;
}
