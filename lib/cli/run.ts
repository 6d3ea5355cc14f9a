/** `hax run`: a machine with its console on this process's own, and an exit status that tells how it ended. */
import type { Writable } from 'node:stream';
import { inspect } from 'node:util';
import type { ByteSink } from '../host/byte-sink';
import { isCrash, type RunEnd } from '../hypervisor/end';
import { ExitTrace } from '../hypervisor/exit-trace';
import { ConsoleText, type WaitResult } from '../machine/console-text';
import { install } from '../machine/install';
import { describeLayout } from '../machine/layout';
import { Machine, type MachineOptions } from '../machine/machine';
import { HaxError } from '../util/errors';
import { checkOptions, type CheckedOptions } from './check-options';
import { commandName } from './name';
import { describeError } from './program';
import { FileAtEnd, fileOutput, type FileOutput } from './output-file';
import { loadProgress } from './progress';
import {
  inWordsOfTheCommand,
  layoutOptions,
  refuseLaterOptions,
  UsageError,
  type DebugConsoleTarget,
  type RunCommandOptions,
  type SerialTarget,
} from './run-options';
import { connectSerial } from './serial';
import { StandardOutput } from './standard-output';
import { describeStatistics } from './statistics';
import { status, type Verdict } from './status';
import { leave, stderrDrained, stderrStream, stdoutStream, tell } from './streams';

/** How long output that nobody takes is waited for once the user or the time-out wants an end, milliseconds. */
const grace = 1000;

export async function runCommand(image: string | undefined, options: RunCommandOptions): Promise<number> {
  let checked: CheckedOptions;
  try {
    if (image === undefined && !options.printLayout) {
      refuseLaterOptions(options);
      throw new UsageError(`say which IMAGE to boot; ${commandName()} run --help has the formats`);
    }
    checked = checkOptions(image, options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tell(`hax: ${error.message}\n`);
    return status.usage;
  }
  if (options.printLayout) {
    stdoutStream().write(`${describeLayout(layoutOptions(options))}\n`);
    return status.ok;
  }
  if (options.backend === 'auto') delete process.env.HAX_BACKEND;
  install();
  const progress = loadProgress(stderrStream);
  const losses = new Losses();
  const printed = new Printed(checked.serial);
  // All that is written is opened before the guest runs: what cannot be is refused, not missed at the end. It is emptied when the guest runs.
  const statsFile = options.statsFile === undefined ? undefined : new FileAtEnd(options.statsFile);
  const debugConsole = checked.debugConsole && (await connectDebugConsole(checked.debugConsole, losses));
  let trace: ExitTrace | undefined;
  let machine: Machine;
  try {
    trace = openTrace(options.trace, losses);
    machine = new Machine({
      ...checked.machine,
      ...(debugConsole && { debugConsole: { port: debugConsole.port, output: debugConsole.output } }),
      ...(trace && { trace }),
      onProgress: progress.listener,
      output: printed,
    });
  } catch (error) {
    trace?.close();
    throw inWordsOfTheCommand(error, options);
  } finally {
    progress.stop();
  }
  return new Run(machine, options, checked.serial, printed, debugConsole, trace, statsFile, losses).toEnd();
}

/** Outputs beside the console that were asked for and cannot be written: the guest goes on, but the run is no success. */
class Losses {
  any = false;
  readonly #told = new Set<string>();

  /** Once each: a stream may fail again at every write. */
  tell(message: string): void {
    this.any = true;
    if (this.#told.has(message)) return;
    this.#told.add(message);
    tell(`hax: ${message}\n`);
  }
}

/** What the guest prints: to standard output where the console leads there, and to who waits for a text. */
class Printed implements ByteSink {
  readonly standard = new StandardOutput();
  #text: ConsoleText | undefined;

  constructor(private readonly serial: SerialTarget) {}

  waitFor(texts: readonly string[]): Promise<WaitResult> {
    this.#text ??= new ConsoleText();
    return this.#text.waitFor(texts);
  }

  write(bytes: Uint8Array, onDrain: () => void): boolean {
    this.#text?.add(bytes);
    return this.serial.kind !== 'stdio' || this.standard.write(bytes, onDrain);
  }
}

class Run {
  #verdict: Verdict | undefined;
  #begun = false;
  #abandon!: () => void;
  /** Settles when output is not waited for any longer. */
  readonly #abandoned = new Promise<'abandoned'>((resolve) => (this.#abandon = () => resolve('abandoned')));

  constructor(
    private readonly machine: Machine,
    private readonly options: RunCommandOptions,
    private readonly serial: SerialTarget,
    private readonly printed: Printed,
    private readonly debugConsole: DebugConsoleOutput | undefined,
    private readonly trace: ExitTrace | undefined,
    private readonly statsFile: FileAtEnd | undefined,
    private readonly losses: Losses,
  ) {}

  async toEnd(): Promise<number> {
    // As long as there is anything to put in order: a second signal must not get in between.
    const ignoreSignals = this.#onSignals();
    try {
      return await this.#toEnd();
    } finally {
      ignoreSignals();
    }
  }

  async #toEnd(): Promise<number> {
    const { machine, options } = this;
    const undo: (() => void)[] = [() => this.trace?.close()];
    let end: RunEnd | undefined;
    let failure: unknown;
    let outputs: unknown;
    try {
      const serial = await connectSerial(machine, this.serial, this.printed.standard, (verdict) => this.#stop(verdict));
      undo.push(() => serial.close());
      this.#watch(options.exitOn ?? [], options.failOn ?? []);
      if (options.timeout !== undefined) {
        const message = `the guest did not end within ${options.timeout} s (--timeout)`;
        const timer = setTimeout(() => this.#stop({ status: status.timeout, message, impatient: true }), options.timeout * 1000);
        undo.push(() => clearTimeout(timer));
      }
      if (!this.#verdict) {
        serial.begin();
        this.debugConsole?.begin();
        this.#begun = true;
        machine.start();
        end = await machine.ended;
        outputs = await Promise.race([Promise.all([serial.drained(), this.debugConsole?.drained()]), this.#abandoned]);
      }
    } catch (error) {
      failure = error;
    } finally {
      for (const step of undo.reverse()) step();
    }
    const verdict = this.#conclude(end, failure);
    this.#statistics();
    await machine.close();
    // What is stuck in the standard streams would keep the process.
    if (outputs !== 'abandoned') outputs = await Promise.race([stderrDrained(), this.#abandoned]);
    const code = verdict === status.ok && this.losses.any ? status.error : verdict;
    if (outputs === 'abandoned') leave(code);
    return code;
  }

  /** The first reason counts; the second time that the user wants an end, output is not waited for. */
  #stop(verdict: Verdict): void {
    const again = this.#verdict?.impatient;
    this.#verdict ??= verdict;
    if (verdict.impatient) setTimeout(this.#abandon, again ? 0 : grace).unref();
    this.machine.kill();
  }

  #onSignals(): () => void {
    // SIGHUP is of a terminal that goes away, or from somebody who wants it back as it was.
    const signals = { SIGHUP: status.sighup, SIGINT: status.sigint, SIGQUIT: status.sigquit, SIGTERM: status.sigterm };
    const listeners = Object.entries(signals).map(
      ([signal, code]) => [signal, () => this.#stop({ status: code, impatient: true })] as const,
    );
    for (const [signal, listener] of listeners) process.on(signal, listener);
    return () => listeners.forEach(([signal, listener]) => process.off(signal, listener));
  }

  #watch(exitOn: readonly string[], failOn: readonly string[]): void {
    const texts = [...exitOn, ...failOn];
    if (texts.length === 0) return;
    void this.printed.waitFor(texts).then(({ index, match }) => {
      this.#stop(
        index < exitOn.length
          ? { status: status.ok }
          : { status: status.error, message: `the guest printed ${JSON.stringify(match)} (--fail-on)` },
      );
    });
  }

  #conclude(end: RunEnd | undefined, failure: unknown): number {
    if (this.#verdict) {
      if (this.#verdict.message) tell(`hax: ${this.#verdict.message}\n`);
      return this.#verdict.status;
    }
    if (!end) {
      tell(describeError(inWordsOfTheCommand(failure, this.options)));
      return isRefusal(failure) ? status.crash : status.error;
    }
    if (isCrash(end)) {
      tell(`hax: the guest crashed: ${describeCrash(end, this.machine)}\n`);
      return status.crash;
    }
    if (end.reason === 'reset') {
      tell('hax: the guest reset the machine (--no-reboot)\n');
      return status.reset;
    }
    return end.reason === 'exit-code' ? end.status & 0xff : status.ok;
  }

  #statistics(): void {
    const { statsFile } = this;
    const { stats, append } = this.options;
    if (!this.#begun) return statsFile?.close();
    if (!stats && !statsFile) return;
    const statistics = { commandLine: append ?? '', ...this.machine.statistics };
    // As with a debug console there, nobody is left to tell.
    if (stats) {
      stderrStream().once('error', () => (this.losses.any = true));
      tell(describeStatistics(statistics));
    }
    try {
      statsFile?.write(`${JSON.stringify(statistics, null, 2)}\n`);
    } catch (error) {
      this.losses.tell(`${this.options.statsFile} cannot be written: ${(error as Error).message}`);
    } finally {
      statsFile?.close();
    }
  }
}

/** By the hypervisor, and not by the rest of the host, where no descriptor is left for a timer for example. */
function isRefusal(failure: unknown): boolean {
  return failure instanceof HaxError && failure.code === 'ERR_HAX_IOCTL' && /^(KVM|HAX)_/.test(failure.operation ?? '');
}

function describeCrash(end: RunEnd, machine: Machine): string {
  const lines: string[] = [end.reason];
  if (end.reason === 'internal-error') {
    lines[0] += `, suberror ${end.suberror}`;
    if (end.suberror === 1) lines[0] += ' (an instruction that the hypervisor cannot emulate)';
    if (end.instruction.length > 0)
      lines.push(`instruction bytes: ${Buffer.from(end.instruction).toString('hex').replace(/../g, '$& ').trim()}`);
  }
  if (end.reason === 'fail-entry') lines[0] += `, hardware reason 0x${end.hardwareReason.toString(16)}`;
  if (end.reason === 'unhandled-exit') lines[0] += ` ${end.kind}, number ${end.rawCode}`;
  const registers = ('registers' in end && end.registers) || machine.vcpu.getState();
  lines.push(inspect(registers, { breakLength: 120, compact: 6 }));
  return lines.join('\n');
}

function openTrace(path: string | undefined, losses: Losses): ExitTrace | undefined {
  if (path === undefined) return undefined;
  return new ExitTrace(path, { onError: ({ message }) => losses.tell(`--trace: ${message}`) });
}

type DebugConsoleOutput = NonNullable<MachineOptions['debugConsole']> & Pick<FileOutput, 'begin'> & { drained(): Promise<void> };

async function connectDebugConsole({ port, path }: DebugConsoleTarget, losses: Losses): Promise<DebugConsoleOutput> {
  const file = path === undefined ? undefined : await fileOutput('--debugcon', path);
  const output: Writable = file?.stream ?? stderrStream();
  // What is lost on standard error cannot be told there: that would fail too, and be told again, for ever.
  output.on('error', (error: Error) => (path === undefined ? (losses.any = true) : losses.tell(`--debugcon: ${error.message}`)));
  const drained = async (): Promise<void> => {
    if (path === undefined) return stderrDrained();
    const { finished } = await import('node:stream/promises');
    await finished(output.end()).catch(() => undefined);
  };
  return { port, output, begin: () => file?.begin(), drained };
}
