/**
 * For tests of your own, with any runner that has `test` and `afterEach` (node:test, Jest, Vitest, Mocha):
 *
 * ```js
 * const close = autoClose(afterEach);
 * const testVm = needsHypervisor(test, test.skip);
 * testVm('boots', async () => {
 *   const machine = close(await launch({ kernel: 'vmlinuz' }));
 *   await machine.console.waitFor('login:', { timeout: 60_000 });
 * });
 * ```
 */
import { Hypervisor, type OpenOptions } from './hypervisor/hypervisor';
import { HaxError } from './util/errors';

/** Why no VM can be made on this host, in one sentence with the remedy; undefined when one can. */
export function whyUnavailable(options: OpenOptions = {}): string | undefined {
  try {
    Hypervisor.open(options).close();
    return undefined;
  } catch (error) {
    if (error instanceof HaxError) return `${error.message}. ${error.hint}`;
    throw error;
  }
}

/**
 * `test` where a VM can be made; elsewhere `skip`, with the reason behind the name. With HAX_REQUIRE_KVM=1 nothing is skipped: a host
 * that should have a device and has none is then a failure.
 *
 * @typeParam T The runner's `test`, whatever it takes.
 */
export function needsHypervisor<T extends (...args: never[]) => unknown>(
  test: T,
  skip: (...args: never[]) => unknown,
  options: OpenOptions = {},
): T {
  const reason = process.env.HAX_REQUIRE_KVM === '1' ? undefined : whyUnavailable(options);
  if (reason === undefined) return test;
  // Runners overload theirs, which no common signature can tell: the name comes first in all of them.
  const skipAny = skip as (...args: unknown[]) => unknown;
  return ((name: string, ...rest: unknown[]) => skipAny(`${name} [skipped: ${reason}]`, ...rest)) as unknown as T;
}

/** Hypervisors, VMs, vCPUs, machines. */
export interface Closable {
  /** A promise that it returns is waited for. */
  close(): unknown;
}

/** Registers a hook that closes what the returned function was given during a test, the newest first, also when the test fails. */
export function autoClose(afterEach: (hook: () => Promise<void>) => unknown): <T extends Closable>(resource: T) => T {
  const open: Closable[] = [];
  afterEach(async () => {
    while (open.length > 0) await open.pop()!.close();
  });
  return (resource) => {
    open.push(resource);
    return resource;
  };
}
