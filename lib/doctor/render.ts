import { hex } from '../util/numbers';
import type { DoctorReport, HaxmReport, KvmReport } from './report';

const arrow = '  → ';

function unusable({ tried }: { tried: boolean }): string {
  return tried ? 'there, but not usable' : 'there, not tried';
}

function describeKvm(kvm: KvmReport): string {
  if (!kvm.usable) return kvm.present ? unusable(kvm) : 'not there';
  const modules = kvm.modules.length > 0 ? `, ${kvm.modules.join(' + ')}` : '';
  return `usable, API version ${kvm.apiVersion}${modules}${kvm.software ? ' (software KVM)' : ''}`;
}

function describeHaxm(haxm: HaxmReport): string {
  if (haxm.usable) return `usable, API version ${haxm.apiVersion}`;
  return haxm.present ? unusable(haxm) : `not there: ${haxm.blockedBy}`;
}

function describeWords({ words }: HaxmReport): [label: string, text: string][] {
  return words ? [['  words', `wstatus ${hex(words.wstatus)}, winfo ${hex(words.winfo)}: ${words.bits.join(', ')}`]] : [];
}

/** Names of what is there, limits with their numbers, names of what is not. */
function describeFeatures(features: KvmReport['features']): [label: string, text: string][] {
  const all = Object.entries(features);
  const there = all.filter(([, { available, value }]) => available && value === 1).map(([name]) => name);
  const limits = all.filter(([, { available, value }]) => available && value !== 1).map(([name, { value }]) => `${name} ${value}`);
  const lacking = all.filter(([, { available }]) => !available).map(([name]) => name);
  const rows: [string, string[]][] = [
    ['  can', there],
    ['  limits', limits],
    ['  lacks', lacking],
  ];
  return rows.filter(([, names]) => names.length > 0).map(([label, names]) => [label, names.join(', ')]);
}

/** The report for a person. */
export function renderDoctor(report: DoctorReport): string {
  const { host, kvm, haxm } = report;
  const virtualization = { vmx: 'VT-x (vmx)', svm: 'SVM (svm)', none: 'neither VT-x nor SVM' }[host.virtualization ?? 'none'];
  const rows: [label: string, text: string][] = [
    ['node-hax', `${report.version}, Node ${host.node} on ${host.platform} ${host.kernel} ${host.arch}`],
    ['processor', `${host.processor || 'unknown'}, ${virtualization}${host.container ? `, in a ${host.container} container` : ''}`],
    ['addon', report.addon.ok ? 'loaded' : 'not loaded'],
    [haxm.device, describeHaxm(haxm)],
    ...describeWords(haxm),
    ...describeFeatures(haxm.features),
    [kvm.device, describeKvm(kvm)],
    ...describeFeatures(kvm.features),
  ];
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  const lines = rows.map(([label, text]) => label.padEnd(width) + text);
  for (const { severity, message, remedy, page } of report.findings) {
    lines.push('', `${severity}: ${message}`);
    if (remedy) lines.push(arrow + remedy);
    // A hint of an error names its page itself.
    if (page && !remedy.includes(page)) lines.push(`    See ${page}.`);
  }
  lines.push('', report.ok ? 'A VM can be created.' : 'No VM can be created.');
  lines.push(`Linux as a guest: ${report.linux.ok ? 'yes' : 'no'}; ${report.linux.reason}.`);
  return `${lines.join('\n')}\n`;
}
