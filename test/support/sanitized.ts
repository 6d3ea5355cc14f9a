/** Under a sanitizer (scripts/sanitize) a test repeats itself less often: all takes several times as long, and is looked at more closely. */
const sanitized = process.env.HAX_SANITIZER !== undefined;

const forThreads = process.env.HAX_SANITIZER === 'thread';

/** `times`, or under a sanitizer a fifth of that and at least 2. */
export const repeats = (times: number): number => (sanitized ? Math.max(2, Math.ceil(times / 5)) : times);

/** `kinds`, or under a sanitizer the first two: for what differs in a word only, each time in a process of its own. */
export const kinds = <T>(all: readonly T[]): readonly T[] => (sanitized ? all.slice(0, 2) : all);

/** `kinds`, or under ThreadSanitizer the first two: for what no second thread has a part in. */
export const kindsOfOneThread = <T>(all: readonly T[]): readonly T[] => (forThreads ? all.slice(0, 2) : all);
