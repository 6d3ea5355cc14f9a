import type { Writable } from 'node:stream';
import { doctor } from '../doctor/doctor';
import { renderDoctor } from '../doctor/render';
import { printable } from './printable';

/** `hax doctor`: the report on `out`; status 0 when a VM can be created, 1 otherwise. */
export function doctorCommand({ json }: { json: boolean }, out: Writable): number {
  const report = doctor();
  out.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : printable(renderDoctor(report)));
  return report.ok ? 0 : 1;
}
