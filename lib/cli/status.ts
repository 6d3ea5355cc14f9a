/** Exit statuses that are ours; docs/cli.md has the whole table. */
export const status = {
  ok: 0,
  error: 1,
  usage: 2,
  crash: 3,
  reset: 4,
  timeout: 124,
  sighup: 129,
  sigint: 130,
  sigquit: 131,
  sigterm: 143,
} as const;

/** Why we end a run, when it is not the guest's own end. */
export interface Verdict {
  readonly status: number;
  readonly message?: string;
  /** The user or a time-out wants the end: output that nobody takes is not waited for. */
  readonly impatient?: true;
}
