import { sumStatistics, type ExitStatistics } from '../hypervisor/exit-counters';
import type { ExitTrace } from '../hypervisor/exit-trace';
import type { RunEnd } from '../hypervisor/end';
import type { RunOptions, Vcpu, VcpuCounters } from '../hypervisor/vcpu';

export interface ProcessorsOptions {
  /** Each vCPU on a native thread; always so where there are several. */
  threaded: boolean;
  /** The host's CPUs for each vCPU's thread, in their order. */
  affinity: readonly (readonly number[])[];
  trace: ExitTrace | undefined;
}

/** The vCPUs of a machine, which run, wait and end together. The first is the boot processor. */
export class Processors {
  constructor(
    readonly all: readonly Vcpu[],
    private readonly options: ProcessorsOptions,
  ) {}

  get first(): Vcpu {
    return this.all[0];
  }

  get running(): boolean {
    return this.first.running;
  }

  get paused(): boolean {
    return this.first.paused;
  }

  /** Runs all, which begin paused or not, until one has come to an end, which is the machine's; the others are stopped then. */
  async run(signal: AbortSignal | undefined, paused: boolean): Promise<RunEnd> {
    const { trace, threaded } = this.options;
    const common: RunOptions = { ...(trace && { trace }), paused, threaded: threaded || this.all.length > 1 };
    const runs: Promise<RunEnd>[] = [];
    try {
      for (const [i, vcpu] of this.all.entries()) {
        const affinity = this.options.affinity[i];
        // The first is enough, as its end is the machine's; Node warns of the eleventh listener of a signal.
        runs.push(vcpu.run({ ...common, ...(affinity && { affinity }), ...(signal && i === 0 && { signal }) }));
      }
      return await Promise.race(runs);
    } finally {
      this.stop({ reason: 'killed' });
      await Promise.allSettled(runs);
    }
  }

  stop(end: RunEnd): void {
    for (const vcpu of this.all) vcpu.stop(end);
  }

  pause(): void {
    for (const vcpu of this.all) vcpu.pause();
  }

  resume(): void {
    for (const vcpu of this.all) vcpu.resume();
  }

  setReferenced(referenced: boolean): void {
    for (const vcpu of this.all) vcpu.setReferenced(referenced);
  }

  /** Of all together. */
  get statistics(): ExitStatistics & VcpuCounters {
    const sum = (name: keyof VcpuCounters): number => this.all.reduce((total, { counters }) => total + counters[name], 0);
    return {
      ...sumStatistics(this.all.map(({ exits }) => exits.snapshot())),
      entries: sum('entries'),
      interrupted: sum('interrupted'),
      kicks: sum('kicks'),
      taken: sum('taken'),
      guestNs: sum('guestNs'),
      javascriptNs: sum('javascriptNs'),
      waitingNs: sum('waitingNs'),
    };
  }
}
