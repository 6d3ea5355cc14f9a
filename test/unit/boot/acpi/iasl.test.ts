/** The reference compiler of ACPICA disassembles every table and compiles it again, without an error or a warning. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeAcpiTables } from '../../../../lib/boot/acpi/acpi';
import { FakeMemory } from '../../../support/fake-memory';
import { full, hardwareReduced, readTables } from './tables';

const missing = spawnSync('iasl', ['-v']).error !== undefined;
if (missing) console.warn('skipped: iasl is not installed (apt-get install acpica-tools)');
const check = missing ? test.skip : test;

const complaint = /warning|error|invalid|unknown|incorrect/i;

function iasl(directory: string, ...words: string[]): string {
  const { stdout, stderr } = spawnSync('iasl', words, { cwd: directory, encoding: 'utf8' });
  return stdout + stderr;
}

describe.each([
  ['hardware-reduced', hardwareReduced],
  ['full', full],
])('%s', (_, options) => {
  check.each([1, 4])('tables of %i processors', (cpus) => {
    const memory = new FakeMemory(0x100000);
    const { rsdp } = writeAcpiTables(memory, options(cpus));
    const directory = mkdtempSync(join(tmpdir(), 'hax-iasl-'));
    try {
      // iasl knows no RSDP files; acpi.test.ts checks that one.
      for (const [signature, table] of Object.entries(readTables(memory, rsdp)).filter(([name]) => name !== 'RSD PTR ')) {
        writeFileSync(join(directory, `${signature}.dat`), table);
        expect(iasl(directory, '-d', `${signature}.dat`)).not.toMatch(complaint);
        const source = readFileSync(join(directory, `${signature}.dsl`), 'utf8');
        expect(source).not.toMatch(complaint);
        expect(iasl(directory, '-p', 'again', `${signature}.dsl`)).toContain('0 Errors, 0 Warnings, 0 Remarks');
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
