/** Reads files of the Trace Event Format. */
import { readFileSync } from 'node:fs';

export interface TraceEvent {
  readonly name: string;
  readonly cat?: string;
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

export function readTrace(file: string): TraceEvent[] {
  return JSON.parse(readFileSync(file, 'utf8')) as TraceEvent[];
}

/** Complete events that begin before the one in front of them on the same track has ended; there must be none. */
export function overlaps(events: readonly TraceEvent[]): TraceEvent[] {
  const ends = new Map<string, number>();
  return events.filter(({ ph, pid, tid, ts, dur = 0 }) => {
    if (ph !== 'X') return false;
    const track = `${pid}/${tid}`;
    // The file has whole nanoseconds; the sum of two such numbers may be off by less.
    const bad = dur < 0 || ts < (ends.get(track) ?? 0) - 0.0005;
    ends.set(track, ts + dur);
    return bad;
  });
}
