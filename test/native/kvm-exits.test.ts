/**
 * Every kind of exit, from a struct kvm_run filled by hand to what a TypeScript program sees: kernels and processors at hand make only some
 * of them.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { ExitView } from '../../lib/hypervisor/exit';

const root = path.resolve(__dirname, '../..');

/** What is written into kvm_run, in C++, and the exit that comes of it. */
const cases: readonly [fill: string, exit: Record<string, unknown>][] = [
  ['KVM_EXIT_HLT; ', { kind: 'hlt' }],
  ['KVM_EXIT_IRQ_WINDOW_OPEN;', { kind: 'irq-window' }],
  ['KVM_EXIT_SHUTDOWN;', { kind: 'shutdown' }],
  ['KVM_EXIT_NMI;', { kind: 'nmi' }],
  ['KVM_EXIT_DIRTY_RING_FULL;', { kind: 'dirty-ring-full' }],
  ['KVM_EXIT_X86_BUS_LOCK;', { kind: 'bus-lock' }],
  ['KVM_EXIT_EXCEPTION; r->ex.exception = 14; r->ex.error_code = 7;', { kind: 'exception', exception: 14, errorCode: 7 }],
  ['KVM_EXIT_SET_TPR; r->cr8 = 9;', { kind: 'set-tpr', cr8: '9' }],
  ['KVM_EXIT_TPR_ACCESS; r->tpr_access.rip = 0x1234; r->tpr_access.is_write = 1;', { kind: 'tpr-access', rip: '4660', direction: 'out' }],
  ['KVM_EXIT_IOAPIC_EOI; r->eoi.vector = 0x31;', { kind: 'ioapic-eoi', vector: 0x31 }],
  ['KVM_EXIT_NOTIFY; r->notify.flags = 1;', { kind: 'notify', flags: '1' }],
  [
    'KVM_EXIT_HYPERV; r->hyperv.type = 1; r->hyperv.u.synic = {0x40000080, 0, 5, 6, 7};',
    { kind: 'hyperv', type: 1, index: 0x40000080, arguments: ['5', '6', '7', '0', '0', '0'], result: '0' },
  ],
  [
    'KVM_EXIT_HYPERV; r->hyperv.type = 2; r->hyperv.u.hcall = {5, 9, {6, 7}};',
    { kind: 'hyperv', type: 2, index: 0, arguments: ['5', '6', '7', '0', '0', '0'], result: '2' },
  ],
  [
    'KVM_EXIT_HYPERV; r->hyperv.type = 3; r->hyperv.u.syndbg = {0x400000f1, 0, 1, 2, 3, 4, 5};',
    { kind: 'hyperv', type: 3, index: 0x400000f1, arguments: ['1', '3', '4', '5', '0', '0'], result: '2' },
  ],
  [
    `KVM_EXIT_XEN; r->xen.type = 1; r->xen.u.hcall = {1, 3, 29, 9, {1, 2, 3, 4, 5, 6}};`,
    {
      kind: 'xen',
      type: 1,
      number: 29,
      arguments: ['1', '2', '3', '4', '5', '6'],
      cpl: 3,
      longMode: true,
      result: String(2n ** 64n - 38n),
    },
  ],
  [
    'KVM_EXIT_X86_RDMSR; r->msr.index = 0xc0000080; r->msr.reason = KVM_MSR_EXIT_REASON_UNKNOWN; r->msr.data = 3;',
    { kind: 'msr', index: 0xc0000080, direction: 'in', reason: 2, value: '3', fault: true },
  ],
  [
    'KVM_EXIT_X86_WRMSR; r->msr.index = 0x10; r->msr.reason = KVM_MSR_EXIT_REASON_FILTER; r->msr.data = 4;',
    { kind: 'msr', index: 0x10, direction: 'out', reason: 4, value: '4', fault: true },
  ],
  [
    'KVM_EXIT_HYPERCALL; r->hypercall.nr = 12; for (int i = 0; i < 6; i++) r->hypercall.args[i] = i + 1;',
    { kind: 'hypercall', number: 12, arguments: ['1', '2', '3', '4', '5', '6'], longMode: false, result: '18446744073709551615' },
  ],
  [
    'KVM_EXIT_HYPERCALL; r->hypercall.nr = 12; r->hypercall.longmode = 1;',
    { kind: 'hypercall', number: 12, arguments: ['0', '0', '0', '0', '0', '0'], longMode: true, result: '18446744073709551615' },
  ],
  ['KVM_EXIT_DEBUG; r->debug.arch = {1, 0, 2, 3, 4};', { kind: 'debug', exception: 1, pc: '2', dr6: '3', dr7: '4' }],
  ['KVM_EXIT_SYSTEM_EVENT; r->system_event.type = 2; r->system_event.flags = 8;', { kind: 'system-event', type: 2, flags: '8', data: [] }],
  [
    `KVM_EXIT_SYSTEM_EVENT; r->system_event.type = KVM_SYSTEM_EVENT_CRASH; r->system_event.ndata = 5;
     for (int i = 0; i < 5; i++) r->system_event.data[i] = i + 1;`,
    { kind: 'system-event', type: 3, flags: '1', data: ['1', '2', '3', '4', '5'] },
  ],
  [
    'KVM_EXIT_FAIL_ENTRY; r->fail_entry.hardware_entry_failure_reason = 0x80000021; r->fail_entry.cpu = 3;',
    { kind: 'fail-entry', hardwareReason: '2147483681', cpu: 3 },
  ],
  [
    'KVM_EXIT_INTERNAL_ERROR; r->internal.suberror = 3; r->internal.ndata = 2; r->internal.data[0] = 5; r->internal.data[1] = 6;',
    { kind: 'internal-error', suberror: 3, data: ['5', '6'], instruction: [] },
  ],
  [
    // Struct emulation_failure is a second view of the same words: the flags, the size and the bytes of the instruction, and what the kernel adds.
    `KVM_EXIT_INTERNAL_ERROR; r->internal.suberror = KVM_INTERNAL_ERROR_EMULATION; r->internal.ndata = 99;
     for (int i = 0; i < 16; i++) r->internal.data[i] = i; r->emulation_failure.flags = 1; r->emulation_failure.insn_size = 3;
     memset(r->emulation_failure.insn_bytes, 0, 15); memcpy(r->emulation_failure.insn_bytes, "\\x0f\\x0b\\x90", 3);`,
    {
      kind: 'internal-error',
      suberror: 1,
      data: ['1', String(0x900b0f03), '0', ...Array.from({ length: 13 }, (_, i) => String(i + 3))],
      instruction: [0x0f, 0x0b, 0x90],
    },
  ],
  [
    `KVM_EXIT_MMIO; r->mmio.phys_addr = 0xfee00000; r->mmio.len = 4; r->mmio.is_write = 1; memcpy(r->mmio.data, "\\1\\2\\3\\4", 4);`,
    { kind: 'mmio', address: 0xfee00000, size: 4, direction: 'out', data: [1, 2, 3, 4] },
  ],
  [
    `KVM_EXIT_IO; r->io.direction = 1; r->io.size = 2; r->io.port = 0x3f8; r->io.count = 2; r->io.data_offset = 4096;
     memcpy(reinterpret_cast<char*>(r) + 4096, "abcd", 4);`,
    { kind: 'io', port: 0x3f8, size: 2, count: 2, direction: 'out', data: [97, 98, 99, 100] },
  ],
];

const possible = existsSync('/usr/include/linux/kvm.h') && spawnSync('g++', ['--version']).status === 0;

describe('exits of KVM', () => {
  (possible ? it : it.skip)(
    'are shown as they were made, all of them',
    () => {
      const work = mkdtempSync(path.join(tmpdir(), 'kvm-exits-'));
      const fills = cases.map(([fill]) => `  clear(); r->exit_reason = ${fill} show();`);
      writeFileSync(
        path.join(work, 'exits.cc'),
        `#include <cstdio>
#include <cstring>
#include "backends/kvm/kvm.h"
#include "backends/kvm/newer.h"
using namespace hax;
alignas(4096) static unsigned char pages[8192];
static kvm_run* r = reinterpret_cast<kvm_run*>(pages);
static VcpuShared shared;
static FILE* out;
static void clear() { memset(pages, 0, sizeof pages); memset(&shared, 0, sizeof shared); }
static void show() { kvm::DescribeExit(r, &shared.exit); fwrite(&shared, sizeof shared, 1, out); }
int main(int, char** argv) {
  out = fopen(argv[1], "wb");
${fills.join('\n')}
  clear(); r->exit_reason = KVM_EXIT_TDX; memset(r->padding, 0x5a, sizeof r->padding); show();
  // Replies go back to where the kernel looks for them.
  ExitPage page = {};
  page.detail[0] = 77;
  clear(); r->exit_reason = KVM_EXIT_HYPERV; r->hyperv.type = 2; kvm::MoveReply(page, r); printf("%llu ", r->hyperv.u.hcall.result);
  clear(); r->exit_reason = KVM_EXIT_HYPERV; r->hyperv.type = 3; kvm::MoveReply(page, r); printf("%llu ", r->hyperv.u.syndbg.status);
  clear(); r->exit_reason = KVM_EXIT_XEN; r->xen.type = 1; kvm::MoveReply(page, r); printf("%llu ", r->xen.u.hcall.result);
  clear(); r->exit_reason = KVM_EXIT_X86_RDMSR; kvm::MoveReply(page, r); printf("%llu %d ", r->msr.data, r->msr.error);
  clear(); r->exit_reason = KVM_EXIT_HYPERCALL; kvm::MoveReply(page, r); printf("%llu", r->hypercall.ret);
  fclose(out);
}
`,
      );
      // Of the rest of the backend nothing is called.
      const flags = [
        '-std=c++17',
        '-w',
        '-O1',
        '-ffunction-sections',
        '-fdata-sections',
        '-Wl,--gc-sections',
        '-I',
        path.join(root, 'native'),
      ];
      const sources = ['backends/kvm/exits.cc', 'core/status.cc'].map((file) => path.join(root, 'native', file));
      execFileSync('g++', [...flags, '-o', path.join(work, 'exits'), path.join(work, 'exits.cc'), ...sources]);
      const replies = execFileSync(path.join(work, 'exits'), [path.join(work, 'out')], { encoding: 'utf8' });
      const bytes = readFileSync(path.join(work, 'out'));
      rmSync(work, { recursive: true });
      const size = bytes.length / (cases.length + 1);
      const view = (i: number): ExitView => new ExitView(new Uint8Array(bytes.subarray(i * size, (i + 1) * size)).buffer, 'kvm');
      cases.forEach(([, exit], i) => expect(view(i).toJSON()).toEqual(exit));
      const unknown = view(cases.length).toJSON();
      expect(unknown).toEqual({ kind: 'unknown', backend: 'kvm', rawCode: 40, data: new Array(256).fill(0x5a) });
      expect(replies).toBe('77 77 77 77 0 77');
    },
    120_000,
  );
});
