import type { BackendName } from '../hypervisor/hypervisor';
import { minMemory, ports, type LayoutOptions } from '../machine/layout';
import type { MachineOptions } from '../machine/machine';
import type { ImageFormat } from '../boot/loader';
import { HaxError, invalidArgument } from '../util/errors';
import { parseSize } from '../util/numbers';

/** As commander hands them over. */
export interface RunCommandOptions {
  format: ImageFormat | 'auto';
  load?: number;
  entry?: number;
  mode?: '16' | '32' | '64';
  backend?: 'auto' | BackendName;
  memory: string;
  cpus: number;
  irqchip?: 'kernel' | 'split' | 'user';
  initrd?: string[];
  append?: string;
  serial: string;
  debugcon?: string;
  debugExit?: boolean;
  debugExitPort?: number;
  reboot: boolean;
  exitOn?: string[];
  failOn?: string[];
  timeout?: number;
  stats?: boolean;
  statsFile?: string;
  trace?: string;
  printLayout?: boolean;
  /** Options of later versions. */
  machine?: string;
  bios?: string;
  disk?: string;
  cdrom?: string;
  floppy?: string;
  screenshot?: string;
  screenText?: string;
  type?: string;
}

/** A use of the command that cannot work: status 2. */
export class UsageError extends Error {}

export type SerialTarget = { kind: 'stdio' } | { kind: 'null' } | { kind: 'file'; path: string } | { kind: 'unix'; path: string };

export interface DebugConsoleTarget {
  port: number;
  /** Standard error without one. */
  path: string | undefined;
}

const later = {
  bios: '--bios',
  disk: '--disk',
  cdrom: '--cdrom',
  floppy: '--floppy',
  screenshot: '--screenshot',
  screenText: '--screen-text',
  type: '--type',
} as const;

/** Refuses what this version cannot do, by the name of the option. */
export function refuseLaterOptions(options: RunCommandOptions): void {
  for (const [key, flag] of Object.entries(later)) {
    if (options[key as keyof typeof later] !== undefined)
      throw new UsageError(`${flag} needs a device that this version does not have yet`);
  }
  if (options.machine !== undefined && options.machine !== 'micro') {
    throw new UsageError(`--machine ${options.machine} is not there yet; this version has the machine micro`);
  }
  if (options.irqchip === 'split') throw new UsageError('--irqchip split is not there yet; this version has kernel and user');
}

/** What fits into Linux's sockaddr_un (unix(7)); Node cuts the rest off. */
const maxSocketPath = 107;

export function parseSerial(text: string): SerialTarget {
  if (text === 'stdio' || text === 'null') return { kind: text };
  const match = /^(file|unix):(.+)$/s.exec(text);
  if (!match) throw new UsageError(`--serial takes stdio, null, file:PATH or unix:PATH, not '${text}'`);
  const [, kind, path] = match;
  if (kind === 'unix' && Buffer.byteLength(path) > maxSocketPath) {
    throw new UsageError(
      `--serial unix: takes a path of ${maxSocketPath} bytes at most, such as one in /tmp; this one has ${Buffer.byteLength(path)}`,
    );
  }
  return { kind: kind as 'file' | 'unix', path };
}

export function parseDebugConsole(text: string): DebugConsoleTarget {
  const match = /^(0x[0-9a-f]+|\d+)(?:,file:(.+))?$/is.exec(text);
  const port = match ? Number(match[1]) : NaN;
  if (!match || port > 0xffff)
    throw new UsageError(`--debugcon takes a port such as 0xe9, and ,file:PATH after it if wanted, not '${text}'`);
  return { port, path: match[2] };
}

/** The part of the options that the machine takes. */
export function machineOptions(image: string, options: RunCommandOptions): MachineOptions {
  if (options.format !== 'flat') {
    for (const name of ['load', 'entry', 'mode'] as const) {
      if (options[name] !== undefined) throw new UsageError(`--${name} goes with --format flat`);
    }
  }
  return {
    kernel: image,
    format: options.format,
    memory: checkMemory(options.memory),
    cpus: options.cpus,
    reboot: options.reboot,
    debugExit: options.debugExitPort ?? options.debugExit ?? false,
    ...(options.load !== undefined && { load: options.load }),
    ...(options.entry !== undefined && { entry: options.entry }),
    ...(options.mode !== undefined && { mode: Number(options.mode) as 16 | 32 | 64 }),
    ...(options.backend !== undefined && options.backend !== 'auto' && { backend: options.backend }),
    ...((options.irqchip === 'kernel' || options.irqchip === 'user') && { irqchip: options.irqchip }),
    ...(options.initrd && { initrd: options.initrd }),
    ...(options.append !== undefined && { append: options.append }),
  };
}

/** The part of the options that --print-layout takes. */
export function layoutOptions({ memory, irqchip, debugcon, debugExit, debugExitPort }: RunCommandOptions): LayoutOptions {
  return {
    memory: checkMemory(memory),
    irqchip: irqchip === 'user' ? irqchip : 'kernel',
    debugExit: debugExitPort ?? (debugExit ? ports.debugExit : undefined),
    debugConsole: debugcon === undefined ? undefined : parseDebugConsole(debugcon).port,
  };
}

/** RAM comes in pages: the size is rounded up to one. */
export function checkMemory(text: string): number {
  let bytes: number;
  try {
    bytes = parseSize(/^\d+$/.test(text) ? Number(text) : text, '--memory');
  } catch (error) {
    throw error instanceof HaxError ? new UsageError(error.message) : error;
  }
  if (bytes < minMemory) throw new UsageError(`--memory ${text} is ${bytes} bytes, and the machine needs at least 1M`);
  if (bytes > 2 ** 46) throw invalidArgument(`--memory ${text} is more than any x86 processor can address`);
  return Math.ceil(bytes / 4096) * 4096;
}

/** The machine's refusal with the options of the command for those of launch(). */
export function inWordsOfTheCommand(error: unknown, { memory }: RunCommandOptions): unknown {
  if (!(error instanceof HaxError)) return error;
  const told = (message: string): HaxError => new HaxError(error.code, message, { cause: error });
  if (error.code === 'ERR_HAX_NO_MEMORY') return told(`--memory ${memory}: ${error.message}`);
  if (error.code === 'ERR_HAX_IMAGE') return told(inOptions(error.message));
  if (error.code !== 'ERR_HAX_INVALID_ARGUMENT') return error;
  return told(error.message.replace(/^(append|load|entry)\b|^initrd:/, '--$&'));
}

/** The remedy of a message about an image, which is behind its last semicolon; the file's name is before it. */
function inOptions(message: string): string {
  const at = message.lastIndexOf(';') + 1;
  const remedy = message
    .slice(at)
    .replace(/\bformat: '(\w+)'( with load and mode)?/, (_, format, more) => `--format ${format}${more ? ' with --load and --mode' : ''}`)
    .replace(/\bleave out format\b/, 'leave out --format');
  return message.slice(0, at) + remedy;
}
