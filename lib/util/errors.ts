/**
 * Every error of node-hax is a {@link HaxError}: a code to branch on, the call that failed, and what to do about it.
 * The table below is the one source of the code type, the hints and the documentation.
 */

const brand = Symbol.for('node-hax.HaxError');

/** Code → the remedy shown with it. A hint given at the throw site replaces the table's. */
export const errorTable = {
  ERR_HAX_API_VERSION: 'Use a kernel whose hypervisor device speaks the version that node-hax knows.',
  ERR_HAX_CLOSED: 'Do not use an object after its close(), or after its parent was closed.',
  ERR_HAX_DEVICE_FAILED: 'Fix the device model named in the message; `cause` is what it threw.',
  ERR_HAX_DEVICE_STATE: 'Restore a state that the same device and version saved.',
  ERR_HAX_ENDED: 'The guest ended before what was waited for; look at `cause` and at the last lines of its console.',
  ERR_HAX_FILE: 'Check that the file exists and can be read.',
  ERR_HAX_IMAGE: 'Give an intact image of a supported format, or name its format.',
  ERR_HAX_INVALID_ARGUMENT: 'Correct the argument named in the message.',
  ERR_HAX_IOCTL: 'The hypervisor refused the call; `operation` and `errno` say which and why.',
  ERR_HAX_MEMORY: 'Map guest memory that covers the whole range first.',
  ERR_HAX_NO_ADDON: 'Let npm build it: `npm install-scripts approve node-hax && npm rebuild node-hax` (before npm 12 the second alone).',
  ERR_HAX_NO_DEVICE: 'Enable virtualization and load the module: `modprobe kvm_intel` or `modprobe kvm_amd`.',
  ERR_HAX_NO_IRQCHIP: "Create the VM with an interrupt controller: createVm({ irqchip: 'kernel' }).",
  ERR_HAX_NO_MEMORY: 'Ask for less guest memory, or free some on the host.',
  ERR_HAX_NO_PERMISSION: 'Join the group that owns the device, for example `usermod -aG kvm $USER`, and log in again.',
  ERR_HAX_OVERLAP: 'Choose a range that no other mapping or device occupies.',
  ERR_HAX_RUNNING: 'Stop or pause the vCPU first.',
  ERR_HAX_TIMEOUT: 'Allow more time, or look at what the guest printed instead.',
  ERR_HAX_UNKNOWN_BACKEND: "Use 'kvm' or 'haxm'.",
  ERR_HAX_UNSUPPORTED: 'Ask `hypervisor.capabilities` before using the feature.',
  ERR_HAX_WRONG_THREAD: 'Use a vCPU only on the thread that created it; other threads may only kick it.',
} as const;

/** The codes that there are; each has a page in docs/errors. */
export type HaxErrorCode = keyof typeof errorTable;

/** The page about a code, in the package and in the repository. */
export function errorPage(code: HaxErrorCode): string {
  return `node-hax/docs/errors/${code}.md`;
}

/** What an error knows beside its message. */
export interface HaxErrorDetails {
  /** The ioctl or call that failed, by its kernel name where it has one. */
  operation?: string | undefined;
  /** The operating system's error number, positive. */
  errno?: number | undefined;
  /** `kvm` or `haxm`. */
  backend?: string | undefined;
  /** What to do, as sentences; the table's hint by default. The page about the code is named behind it. */
  hint?: string | undefined;
  /** Where the guest was, for errors of device models. */
  rip?: bigint | undefined;
  /** What the guest had printed, for waits that failed. */
  transcript?: string | undefined;
  /** What was thrown below. */
  cause?: unknown;
}

/** Every error of node-hax. `instanceof` recognises those of other realms and of another copy of node-hax too. */
export class HaxError extends Error {
  /** For programs to branch on; never changes its meaning. */
  readonly code: HaxErrorCode;
  /** The ioctl or call that failed, by its kernel name where it has one. */
  readonly operation: string | undefined;
  /** The operating system's error number, positive. */
  readonly errno: number | undefined;
  /** `kvm` or `haxm`, where one of them refused. */
  readonly backend: string | undefined;
  /** What to do, and the page that tells more. */
  readonly hint: string;
  /** Where the guest was, for errors of device models. */
  readonly rip: bigint | undefined;
  /** What the guest had printed, for waits that failed. */
  readonly transcript: string | undefined;

  constructor(code: HaxErrorCode, message: string, details: HaxErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.operation = details.operation;
    this.errno = details.errno;
    this.backend = details.backend;
    this.hint = `${details.hint ?? errorTable[code]} See ${errorPage(code)}.`;
    this.rip = details.rip;
    this.transcript = details.transcript;
    // Long, and told by the message already as far as it helps.
    Object.defineProperty(this, 'transcript', { enumerable: false });
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of other realms, workers and duplicate installs of node-hax. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

Object.defineProperty(HaxError.prototype, 'name', { value: 'HaxError', configurable: true, writable: true });

/** An ERR_HAX_INVALID_ARGUMENT; the message names the argument and what it must be. */
export function invalidArgument(message: string): HaxError {
  return new HaxError('ERR_HAX_INVALID_ARGUMENT', message);
}
