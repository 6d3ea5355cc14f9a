import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { bsdCode, linuxCode, ours, requests, windowsCode, type Request } from '../../../../lib/hypervisor/haxm/requests';

interface Row {
  name: string;
  linux: string | null;
  bsd: string | null;
  windows: string | null;
}

const table = JSON.parse(readFileSync(path.resolve(__dirname, '../../../support/haxm-requests.json'), 'utf8')) as Row[];
const hex = (number: number): string => `0x${number.toString(16).padStart(8, '0')}`;

/** Requests that the driver takes and does nothing for, or that we have no use for. */
const unused = ['HAX_IOCTL_DESTROY_VM', 'HAX_VM_IOCTL_VCPU_CREATE_ORIG', 'HAX_VM_IOCTL_VCPU_DESTROY', 'HAX_VCPU_IOCTL_KICKOFF'];

describe('request numbers', () => {
  const known: Request[] = Object.values(requests);

  it('are those of the table, on every host', () => {
    let compared = 0;
    for (const { name, ...hosts } of table) {
      const made = known.find((each) => each.name === name);
      if (!made) {
        expect(unused).toContain(name);
        continue;
      }
      for (const [host, encode] of Object.entries({ linux: linuxCode, bsd: bsdCode, windows: windowsCode })) {
        const number = hosts[host as keyof typeof hosts];
        if (number === null) continue;
        expect([name, host, hex(encode(made))]).toEqual([name, host, number]);
        compared++;
      }
    }
    expect(compared).toBe(69);
  });

  it('leave nothing of the table out', () => {
    const names = new Set(known.map(({ name }) => name));
    expect(table.filter(({ name }) => !names.has(name) && !unused.includes(name))).toEqual([]);
    expect([...names].filter((name) => !table.some((row) => row.name === name))).toEqual([]);
  });

  it('of ours are none of the driver’s', () => {
    const theirs = new Set(known.map(({ number }) => number));
    for (const { number } of Object.values(ours)) expect(theirs.has(number)).toBe(false);
  });

  it('have 520 bytes for the registers with XCR0', () => {
    expect([requests.setRegsWithXcr0, requests.getRegsWithXcr0].map((each) => hex(linuxCode(each)))).toEqual(['0xc20800c7', '0xc20800c8']);
  });
});
