/**
 * The command `hax`. Each subcommand is loaded when it is called: a guest should not wait for code that it does not use.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { HaxError } from '../util/errors';
import { commandName } from './name';
import type { RunCommandOptions } from './run-options';
import { status } from './status';
import { stdoutStream, tell } from './streams';

/** Options of later versions: refused by name, so that a script learns what it asked for in vain. */
const laterOptions = [
  '--machine <type>',
  '--bios <file>',
  '--disk <file>',
  '--cdrom <file>',
  '--floppy <file>',
  '--screenshot <file>',
  '--screen-text <file>',
  '--type <text>',
];

/** What a timer can wait: 24 days. */
const maxSeconds = Math.floor(0x7fffffff / 1000);

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= maxSeconds))
    throw new InvalidArgumentError(`It must be a positive number of seconds, ${maxSeconds} at most.`);
  return value;
}

function integer(text: string): number {
  const value = /^(0x[0-9a-f]+|-?\d+)$/i.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a number such as 31744 or 0x7c00.');
  return value;
}

function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

function collectTexts(text: string, before?: string[]): string[] {
  if (text === '') throw new InvalidArgumentError('It must not be empty.');
  return collect(text, before);
}

/** An option with its choices, and a word of later versions: not in the help, but passed on to be refused by name. */
function choices(option: Option, now: readonly string[], later: string): Option {
  const parse = option.choices(now).parseArg as (text: string, before: unknown) => unknown;
  return option.argParser((text: string, before: unknown) => (text === later ? text : parse(text, before)));
}

/** Commander's refusal, in two lines where it knows a better word, as one sentence of ours. */
function refusal(text: string, name: string): string {
  const [problem, suggestion = ''] = text.trimEnd().split('\n');
  // As a whole: the line may be of a word of the user's, in which a search from each of its characters would take seconds.
  const better = /^\(Did you mean (.*)\?\)$/.exec(suggestion)?.[1];
  const advice = better ? `; did you mean ${better}?` : /unknown (command|option)/.test(problem) ? `; ${name} --help lists them` : '';
  return problem.replace(/^error: /, 'hax: ') + advice;
}

function program(finish: (result: Promise<number>) => void): Command {
  const name = commandName();
  const hax = new Command(name)
    .description('Run virtual machines on /dev/HAX or /dev/kvm whose hardware is written in TypeScript.')
    .helpCommand(false)
    .configureHelp({ helpWidth: 100 })
    .exitOverride();
  const run = hax
    .command('run')
    .description("Boot IMAGE; the guest's serial console is on standard input and output.")
    .argument('[image]', 'bzImage, multiboot 1 kernel, 32-bit ELF file or boot sector')
    .addOption(
      choices(
        new Option('--format <format>', 'what IMAGE is'),
        ['auto', 'bzimage', 'multiboot', 'elf', 'bootsector', 'flat'],
        'pvh',
      ).default('auto'),
    )
    .option('--load <address>', 'flat: load address (default: 0x7c00)', integer)
    .option('--entry <address>', 'flat: first instruction (default: the load address)', integer)
    .addOption(new Option('--mode <bits>', 'flat: processor mode (default: 16)').choices(['16', '32', '64']))
    .addOption(
      new Option('--backend <name>', 'hypervisor to use (default: HAX_BACKEND, or the first device that exists)').choices([
        'auto',
        'haxm',
        'kvm',
      ]),
    )
    .option('--memory <size>', 'guest memory', '128M')
    .option('--cpus <n>', 'vCPUs', integer, 1)
    .addOption(
      choices(
        new Option('--irqchip <where>', 'who has the interrupt controllers (default: kernel where it can)'),
        ['kernel', 'user'],
        'split',
      ),
    )
    .option('--initrd <file>', 'initial RAM disk; multiboot: a module, may repeat', collect)
    .option('--append <string>', 'kernel command line')
    .option('--serial <where>', 'stdio, null, file:PATH or unix:PATH', 'stdio')
    .option('--debugcon <port[,file:path]>', 'debug console at a port such as 0xe9, to standard error or a file')
    .option('--debug-exit', 'a write of V to port 0xf4 ends the run with status (V<<1)|1')
    .option('--debug-exit-port <port>', 'another port for --debug-exit', integer)
    .option('--no-reboot', 'end with status 4 when the guest resets')
    .option('--exit-on <text>', 'end with status 0 when the guest prints TEXT; may repeat', collectTexts)
    .option('--fail-on <text>', 'end with status 1 when the guest prints TEXT; may repeat', collectTexts)
    .option('--timeout <seconds>', 'end with status 124 after so long', seconds)
    .option('--stats', 'print exits by kind and port at the end')
    .option('--stats-file <file>', 'write them as JSON')
    .option('--trace <file>', 'write each exit with its times, for Perfetto: the first million events')
    .option('--print-layout', "print the machine's addresses and ports and end")
    .action((image: string | undefined, options: RunCommandOptions) => {
      finish(import('./run.js').then(({ runCommand }) => runCommand(image, options)));
    });
  for (const flags of laterOptions) run.addOption(new Option(flags).hideHelp());
  hax
    .command('doctor')
    .description('Tell which hypervisor devices exist, what they can do, what is wrong and what to do.')
    .option('--json', 'for scripts')
    .action((options: { json?: boolean }) => {
      finish(import('./doctor.js').then(({ doctorCommand }) => doctorCommand({ json: options.json ?? false }, stdoutStream())));
    });
  hax
    .command('demo')
    .description('Run a built-in guest that prints a line through the UART.')
    .action(() => finish(import('./demo.js').then(({ demoCommand }) => demoCommand())));
  // Commander's own shows the help of all to who asks for that of a command that there is not, and does not say so.
  hax
    .command('help')
    .description('Show the help of a command.')
    .argument('[command]')
    .action((wanted: string | undefined) => {
      const found = wanted === undefined ? hax : hax.commands.find((each) => each.name() === wanted);
      if (!found) return hax.error(`error: unknown command '${wanted}'`);
      found.help();
    });
  for (const each of [hax, ...hax.commands]) {
    const called = each === hax ? name : `${name} ${each.name()}`;
    each.configureOutput({
      writeOut: (text) => stdoutStream().write(text),
      writeErr: tell,
      outputError: (text, write) => write(`${refusal(text, called)}\n`),
    });
  }
  hax.version((require('../../package.json') as { version: string }).version); // eslint-disable-line @typescript-eslint/no-require-imports
  return hax;
}

/** One line for a person: what is wrong, and what to do about it. */
export function describeError(error: unknown): string {
  if (!(error instanceof HaxError)) return `hax: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
  const needsHint = error.code !== 'ERR_HAX_IMAGE' && error.code !== 'ERR_HAX_FILE' && !usageErrors.includes(error.code);
  // Who owns the device, and why there is none (a container, a virtual machine), differs from host to host.
  const more = ['ERR_HAX_NO_PERMISSION', 'ERR_HAX_NO_DEVICE'].includes(error.code)
    ? ` ${commandName()} doctor tells what this host needs.`
    : '';
  return `hax: ${error.message}${needsHint ? `\n${error.hint}${more}` : ''}\n`;
}

/** Errors that only another command line can put right. */
const usageErrors: readonly string[] = ['ERR_HAX_INVALID_ARGUMENT', 'ERR_HAX_OVERLAP'];

/** Runs the command line; resolves to the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let result = Promise.resolve<number>(status.ok);
  const finish = (value: Promise<number>): void => {
    result = value;
  };
  try {
    program(finish).parse(args, { from: 'user' });
    return await result;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? status.ok : status.usage;
    tell(describeError(error));
    return error instanceof HaxError && usageErrors.includes(error.code) ? status.usage : status.error;
  }
}
