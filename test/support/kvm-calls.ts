/** For the tests of KVM's own calls: refusals, and which calls a host has really made or refused. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { kvmCapabilities, type CallMade } from 'node-hax';
import { probedKvm } from './hosts';

type CapabilityName = keyof typeof kvmCapabilities;

/** How a call ended at best: made; refused by the kernel; not there. */
type Outcome = 'ran' | 'refused' | 'absent';
const rank: Record<Outcome, number> = { ran: 2, refused: 1, absent: 0 };

/**
 * Keeps what the calls of this test file came to; with HAX_KVM_CALLS=DIRECTORY it is written there for scripts/generate-kvm-docs, which
 * tells in docs/kvm-calls.md on which host each call was tested.
 */
export function recordCalls(name: string): void {
  const directory = process.env.HAX_KVM_CALLS;
  if (!directory) return;
  const outcomes: Record<string, Outcome> = {};
  const note = (message: unknown): void => {
    const { scope, request, error } = message as CallMade;
    const key = `${scope} ${request}`;
    const outcome: Outcome = !error ? 'ran' : error.code === 'ERR_HAX_UNSUPPORTED' ? 'absent' : 'refused';
    if (rank[outcome] >= rank[outcomes[key] ?? 'absent']) outcomes[key] = outcome;
  };
  beforeAll(() => subscribe('node-hax:kvm', note));
  afterAll(() => {
    unsubscribe('node-hax:kvm', note);
    mkdirSync(directory, { recursive: true });
    const file = path.join(directory, `${probedKvm().kind.replace(' ', '-')}-${name}.json`);
    writeFileSync(file, JSON.stringify({ kind: probedKvm().kind, outcomes }));
  });
}

/** The code and errno of what is thrown, or 'nothing'. */
export function refusal(run: () => unknown): string {
  try {
    run();
    return 'nothing';
  } catch (error) {
    const { code, errno } = error as { code?: string; errno?: number };
    return errno === undefined ? String(code ?? error) : `${code} ${errno}`;
  }
}

/** True where the kernel lacks a capability: then `run` has been seen to be refused with its name. */
export function lacks(kvm: { checkExtension(name: CapabilityName): number }, capability: CapabilityName, run: () => unknown): boolean {
  if (kvm.checkExtension(capability) > 0) return false;
  expect(run).toThrow(capability);
  expect(refusal(run)).toBe('ERR_HAX_UNSUPPORTED');
  return true;
}

/** Numbers of the bits that are set. */
export const bits = (bitmap: Uint8Array): number[] =>
  Array.from({ length: bitmap.length * 8 }, (_, i) => i).filter((i) => (bitmap[i >> 3] >> (i & 7)) & 1);

export const EEXIST = 17;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOENT = 2;
export const ENXIO = 6;
