/** What of a command line can be told to be wrong before there is a device: for runs and for --print-layout the same. */
import { readlinkSync, type Stats } from 'node:fs';
import { basename, dirname, isAbsolute } from 'node:path';
import { checkFlat } from '../boot/flat';
import { ports, takenPorts, testPorts } from '../machine/layout';
import type { MachineOptions } from '../machine/machine';
import { hex } from '../util/numbers';
import { standardStream, statOf } from './output-file';
import {
  inWordsOfTheCommand,
  machineOptions,
  parseDebugConsole,
  parseSerial,
  refuseLaterOptions,
  UsageError,
  type DebugConsoleTarget,
  type RunCommandOptions,
  type SerialTarget,
} from './run-options';

export interface CheckedOptions {
  serial: SerialTarget;
  machine: MachineOptions;
  debugConsole: DebugConsoleTarget | undefined;
}

/** `image` is undefined where none is needed. Throws a UsageError that names the option. */
export function checkOptions(image: string | undefined, options: RunCommandOptions): CheckedOptions {
  refuseLaterOptions(options);
  if (image === '') throw new UsageError('IMAGE must not be empty');
  if (options.initrd?.includes('')) throw new UsageError('--initrd must not be empty');
  if (options.trace === '') throw new UsageError('--trace must not be empty');
  if (options.statsFile === '') throw new UsageError('--stats-file must not be empty');
  const serial = parseSerial(options.serial);
  const debugConsole = options.debugcon === undefined ? undefined : parseDebugConsole(options.debugcon);
  const machine = machineOptions(image ?? '', options);
  checkCpus(options);
  checkFormat(options, machine);
  checkPorts(options, debugConsole?.port);
  const outputs = outputsOf(options, serial, debugConsole);
  refuseInputs(image, options, outputs);
  refuseOneFileForTwo(outputs);
  return { serial, machine, debugConsole };
}

/** What goes with a format that was named, whatever IMAGE is. */
function checkFormat(options: RunCommandOptions, machine: MachineOptions): void {
  const { format, append, initrd } = options;
  if (['elf', 'bootsector', 'flat'].includes(format)) {
    if (append) throw new UsageError(`--append does not go with --format ${format}, which takes no command line`);
    if (initrd) throw new UsageError(`--initrd does not go with --format ${format}, which takes no initrd or module`);
  }
  try {
    if (format === 'flat') checkFlat(machine);
  } catch (error) {
    throw inWordsOfTheCommand(error, options);
  }
}

/** Local APICs have identifiers for so many. */
const maxCpus = 255;

function checkCpus({ cpus, irqchip }: RunCommandOptions): void {
  if (cpus < 1 || cpus > maxCpus) throw new UsageError(`--cpus must be a whole number from 1 to ${maxCpus}, not ${cpus}`);
  if (cpus > 1 && irqchip === 'user') {
    throw new UsageError(`--cpus ${cpus} needs the interrupt controllers of the kernel; leave out --irqchip user`);
  }
}

/** A debug exit takes 32 bits. */
const debugExitLength = 4;

/** The devices that are asked for must find their ports free. */
function checkPorts({ irqchip, debugExit, debugExitPort }: RunCommandOptions, debugConsole: number | undefined): void {
  const taken: { at: number; length: number; owner: string }[] = takenPorts(irqchip === 'user' ? 'user' : 'kernel');
  const claim = (option: string, range: (typeof taken)[number]): void => {
    const found = taken.find(({ at, length }) => range.at < at + length && at < range.at + range.length);
    if (found) throw new UsageError(`${option} is at ${hex(range.at)}, where ${found.owner}`);
    taken.push(range);
  };
  const exitAt = debugExitPort ?? (debugExit ? ports.debugExit : undefined);
  if (exitAt !== undefined) {
    const highest = 0x10000 - debugExitLength;
    if (exitAt > highest) throw new UsageError(`--debug-exit-port takes four ports, ${hex(highest)} at most, not ${exitAt}`);
    claim(debugExitPort === undefined ? '--debug-exit' : '--debug-exit-port', {
      at: exitAt,
      length: debugExitLength,
      owner: 'the debug exit is',
    });
    if (exitAt === ports.debugExit) taken.push(...testPorts);
  }
  if (debugConsole !== undefined) claim('--debugcon', { at: debugConsole, length: 1, owner: 'the debug console is' });
}

interface Output {
  option: string;
  path: string;
}

/** The files that a run writes. */
function outputsOf({ trace, statsFile }: RunCommandOptions, serial: SerialTarget, debugConsole: DebugConsoleTarget | undefined): Output[] {
  const outputs = [
    { option: '--serial', path: serial.kind === 'file' ? serial.path : undefined },
    { option: '--debugcon', path: debugConsole?.path },
    { option: '--trace', path: trace },
    { option: '--stats-file', path: statsFile },
  ];
  return outputs.filter((output): output is Output => output.path !== undefined);
}

/** Each begins its file anew; not where it is standard output or error, which are gone on with, nor in what is no file (a FIFO, /dev/null). */
function refuseOneFileForTwo(outputs: readonly Output[]): void {
  const owners = new Map<string, string>();
  for (const { option, path } of outputs) {
    const file = statOf(path);
    if (file && (!file.isFile() || standardStream(path) !== undefined)) continue;
    const target = file ? path : targetOf(path);
    const directory = file ? undefined : statOf(dirname(target));
    const key = file ? identity(file) : directory ? `${identity(directory)}/${basename(target)}` : target;
    const owner = owners.get(key);
    if (owner) throw new UsageError(`${option} ${path} would overwrite what ${owner} writes there; give it a file of its own`);
    owners.set(key, option);
  }
}

/** What Linux follows (path_resolution(7)). */
const maxLinks = 40;

/** Where symbolic links lead that have nothing at their end: the file is made there. */
function targetOf(path: string): string {
  let target = path;
  try {
    for (let links = 0; links < maxLinks; links++) {
      const link = readlinkSync(target);
      target = isAbsolute(link) ? link : `${dirname(target)}/${link}`;
    }
  } catch {
    // no link any more
  }
  return target;
}

/** The same for all names of a file. */
function identity({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

/** An output is emptied when it is opened: it must not be what the machine boots. */
function refuseInputs(image: string | undefined, { initrd = [], trace }: RunCommandOptions, outputs: readonly Output[]): void {
  if (trace !== undefined && standardStream(trace) !== undefined) {
    throw new UsageError(`--trace ${trace} would overwrite what else goes there; give it a file of its own`);
  }
  for (const { option, path } of outputs) {
    const file = statOf(path);
    if (!file?.isFile()) continue;
    const same = [...(image === undefined ? [] : [image]), ...initrd].find((input) => {
      const other = statOf(input);
      return other?.ino === file.ino && other.dev === file.dev;
    });
    if (same !== undefined) throw new UsageError(`${option} ${path} would overwrite ${same}, which the machine boots from`);
  }
}
