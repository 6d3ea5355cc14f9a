/** The worker's side of worker-machine.ts: a machine with its devices, driven over the port. */
import { parentPort, workerData } from 'node:worker_threads';
import { invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';
import type { ConsolePort } from './console-port';
import { install } from './install';
import { Machine, portOf } from './machine';
import { packError, window, type Envelope, type FromWorker, type ToWorker, type WorkerStart } from './worker-protocol';

/** What a setup module exports. */
type Setup = (machine: Machine, data: unknown) => unknown;

const post = (nodeHax: FromWorker): void => parentPort!.postMessage({ nodeHax } satisfies Envelope);

async function main({ options, setup, listens }: WorkerStart): Promise<void> {
  install();
  const printed = new Printed();
  const machine = new Machine({
    ...options,
    output: (bytes, onDrain) => printed.send(bytes, onDrain),
    ...(listens.progress && { onProgress: (name, done, total) => post({ kind: 'progress', name, done, total }) }),
    ...(listens.unclaimed && { onUnclaimed: (access) => post({ kind: 'unclaimed', access }) }),
  });
  const host = new Host(machine, printed);
  parentPort!.on('message', (message: ToWorker) => host.receive(message));
  if (setup) await (await loadSetup(setup.module))(machine, setup.data);
  machine.start();
  post({ kind: 'started', state: machine.state });
}

async function loadSetup(module: string): Promise<Setup> {
  const loaded = (await import(module)) as { default?: Setup | { default?: Setup } | null };
  // A CommonJS module that was compiled from one with a default export has it one level further down.
  const setup = typeof loaded.default === 'function' ? loaded.default : loaded.default?.default;
  if (typeof setup !== 'function') throw invalidArgument(`the setup module ${module} must export a function as its default`);
  return setup;
}

/** What the guest prints, on its way to the other thread, of which no more than a window has not been taken there. */
class Printed {
  #unread = 0;
  #held: (() => void) | undefined;

  send(bytes: Uint8Array, onDrain: () => void): boolean {
    post({ kind: 'output', bytes: new Uint8Array(bytes) });
    this.#unread += bytes.length;
    if (this.#unread < window) return true;
    this.#held = onDrain;
    return false;
  }

  taken(count: number): void {
    this.#unread -= count;
    if (this.#unread >= window) return;
    const held = this.#held;
    this.#held = undefined;
    held?.();
  }
}

/** It leaves the console's stream to the setup module. */
class Host {
  readonly #port: ConsolePort;

  constructor(
    private readonly machine: Machine,
    private readonly printed: Printed,
  ) {
    this.#port = portOf(machine);
    machine.on('reset', () => post({ kind: 'reset' }));
    // All output has been sent by then.
    void machine.ended.then(
      (end) => post({ kind: 'ended', state: machine.state, end }),
      (error: unknown) => post({ kind: 'ended', state: machine.state, error: packError(error) }),
    );
  }

  receive(message: ToWorker): void {
    switch (message.kind) {
      case 'kill':
        this.machine.kill();
        break;
      case 'input':
        this.#port.send(message.bytes, () => post({ kind: 'taken', bytes: message.bytes.length }));
        break;
      case 'taken':
        this.printed.taken(message.bytes);
        break;
      case 'call':
        this.#answer(message);
    }
  }

  #answer({ id, call, vcpu }: Extract<ToWorker, { kind: 'call' }>): void {
    const calls = {
      pause: () => this.machine.pause(),
      resume: () => this.machine.resume(),
      statistics: () => this.machine.statistics,
      registers: () => {
        checkInteger(vcpu, 'number of a vCPU', 0, this.machine.vcpus.length - 1);
        return { ...this.machine.vcpus[vcpu].getState() };
      },
    };
    try {
      post({ kind: 'reply', id, value: calls[call]() });
    } catch (error) {
      post({ kind: 'reply', id, value: undefined, error: packError(error) });
    }
  }
}

main(workerData as WorkerStart).catch((error: unknown) => post({ kind: 'failed', error: packError(error) }));
