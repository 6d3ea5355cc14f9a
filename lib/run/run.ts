import type { RunInProgress, RunOptions, Vcpu } from '../hypervisor/vcpu';
import { runInline } from './inline';
import { ThreadedRun } from './threaded';

/** What `vcpu.run()` does. */
export function runGuest(vcpu: Vcpu, options: RunOptions): RunInProgress {
  return options.threaded ? new ThreadedRun(vcpu, options) : runInline(vcpu, options);
}
