import type { MachineStatistics } from '../machine/machine';

/** `--stats`: exits by kind, port and page, and where the time went. */
export function describeStatistics(statistics: MachineStatistics & { commandLine: string }): string {
  const {
    handled,
    kinds,
    ports,
    pages,
    slices,
    entries,
    interrupted,
    kicks,
    taken,
    guestNs,
    javascriptNs,
    waitingNs,
    resets,
    cpus,
    commandLine,
  } = statistics;
  const rows = (counts: Record<string, number>): string[] =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .slice(0, 32)
      .map(([name, count]) => `  ${String(count).padStart(10)}  ${name}`);
  const { interrupted: ended = 0, ...exits } = kinds;
  const seconds = (ns: number): string => `${(ns / 1e9).toFixed(3)} s`;
  const whose = cpus === 1 ? '' : ` by ${cpus} vCPUs together`;
  return [
    `command line: ${commandLine}`,
    `exits handled in JavaScript: ${handled}`,
    ...rows(exits),
    ...(Object.keys(ports).length > 0 ? ['by port:', ...rows(ports)] : []),
    ...(Object.keys(pages).length > 0 ? ['by page:', ...rows(pages)] : []),
    ...(taken > 0 ? [`exits served below JavaScript: ${taken}`] : []),
    `slices: ${slices} begun, ${ended} ended by an event or a deadline; entries: ${entries}, kicks: ${kicks}, signals of others: ${interrupted}`,
    `time: ${seconds(guestNs)} inside the guest, ${seconds(javascriptNs)} in JavaScript for it, ${seconds(waitingNs)} waiting${whose}; ${process.uptime().toFixed(3)} s since the start`,
    ...(resets > 0 ? [`resets: ${resets}; the counts are those of the last boot`] : []),
    '',
  ].join('\n');
}
