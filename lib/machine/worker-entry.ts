/** The worker's side of worker-machine.ts: a machine with its devices, driven over the port. */
import { parentPort, workerData } from 'node:worker_threads';
import { checkInteger } from '../util/numbers';
import { install } from './install';
import { Machine } from './machine';
import { packError, window, type Envelope, type FromWorker, type ToWorker, type WorkerStart } from './worker-protocol';

/** What a setup module exports. */
type Setup = (machine: Machine, data: unknown) => unknown;

const post = (nodeHax: FromWorker): void => parentPort!.postMessage({ nodeHax } satisfies Envelope);

async function main({ options, setup, listens }: WorkerStart): Promise<void> {
  install();
  const machine = new Machine({
    ...options,
    ...(listens.progress && { onProgress: (name, done, total) => post({ kind: 'progress', name, done, total }) }),
    ...(listens.unclaimed && { onUnclaimed: (access) => post({ kind: 'unclaimed', access }) }),
  });
  const host = new Host(machine);
  parentPort!.on('message', (message: ToWorker) => host.receive(message));
  if (setup) {
    const loaded = (await import(setup.module)) as { default: Setup | { default: Setup } };
    // A CommonJS module that was compiled from one with a default export has it one level further down.
    const run = typeof loaded.default === 'function' ? loaded.default : loaded.default.default;
    await run(machine, setup.data);
  }
  machine.start();
  post({ kind: 'started', state: machine.state });
}

class Host {
  #unread = 0;

  constructor(private readonly machine: Machine) {
    const { console } = machine;
    machine.on('reset', () => post({ kind: 'reset' }));
    console.on('data', (bytes: Buffer) => {
      post({ kind: 'output', bytes: Uint8Array.from(bytes) });
      this.#unread += bytes.length;
      if (this.#unread >= window && machine.state === 'running') console.pause();
    });
    const printed = new Promise((resolve) => console.once('end', resolve));
    // The end comes after all output, whether anybody has taken it or not.
    const tell = async (ended: { end: Awaited<Machine['ended']> } | { error: ReturnType<typeof packError> }): Promise<void> => {
      console.resume();
      await printed;
      post({ kind: 'ended', state: machine.state, ...ended });
    };
    void machine.ended.then(
      (end) => tell({ end }),
      (error: unknown) => tell({ error: packError(error) }),
    );
  }

  receive(message: ToWorker): void {
    const { console } = this.machine;
    switch (message.kind) {
      case 'kill':
        this.machine.kill();
        break;
      case 'input':
        console.write(message.bytes, () => post({ kind: 'taken', bytes: message.bytes.length }));
        break;
      case 'taken':
        this.#unread -= message.bytes;
        if (this.#unread < window) console.resume();
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
