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
