/** `hax run --trace`: what a guest did, as the file tells it. */
import { hax } from '../support/command';
import { describeKvm } from '../support/hosts';
import { overlaps, readTrace, type TraceEvent } from '../support/trace';
import { bootSector, ending, Files, flat32, place, print } from './images';

const files = new Files();
afterAll(() => files.remove());
const file = files.at('trace.json');

function exits(events: readonly TraceEvent[]): [pid: number, name: string, args: TraceEvent['args']][] {
  return events.filter(({ cat, name }) => cat === 'exit' && name !== 'interrupted').map(({ pid, name, args }) => [pid, name, args]);
}

const end = `mov al, 1\n out ${place.debugExit}, al`;

describeKvm('--trace', () => {
  it('names each exit, in order, with size and value', async () => {
    const source = `mov al, 0x41\n out ${place.debugConsole}, al
      mov dx, 0x3fd\n in al, dx
      mov dword ptr [0xd0000000], 0x12345678
      mov ax, [0xd0000004]
      ${end}`;
    const image = files.write('exits', flat32(source));
    const flat = ['--format', 'flat', '--mode', '32', '--load', '0x100000'];
    const { status, stderr } = await hax(['run', ...flat, '--debugcon', '0xe9,file:/dev/null', '--debug-exit', '--trace', file, image]);
    expect({ status, stderr }).toEqual({ status: 3, stderr: '' });
    const events = readTrace(file);
    expect(exits(events)).toEqual([
      [1, 'OUT 0xe9', { size: 1, value: '0x41' }],
      [1, 'IN 0x3fd', { size: 1, value: '0x60' }],
      [1, 'MMIO write 0xd0000000', { size: 4, value: '0x12345678' }],
      [1, 'MMIO read 0xd0000004', { size: 2, value: '0xffff' }],
      [1, 'OUT 0xf4', { size: 1, value: '0x1' }],
    ]);
    expect(overlaps(events)).toEqual([]);
    expect(events.filter(({ ph }) => ph === 'M').map(({ name, args }) => [name, args])).toEqual([
      ['process_name', { name: 'VM 1' }],
      ['thread_name', { name: 'vCPU 0' }],
    ]);
    expect(new Set(events.map(({ ph }) => ph))).toEqual(new Set(['M', 'X']));
  });

  it('goes on over a reset, with a process for each boot', async () => {
    const image = files.write('reset', bootSector(`${print('boot.')}\n${ending.acpiReset}`));
    expect(await hax(['run', '--exit-on', 'boot.boot.', '--trace', file, image])).toMatchObject({ status: 0, stderr: '' });
    const events = readTrace(file);
    expect(overlaps(events)).toEqual([]);
    for (const pid of [1, 2]) expect(events).toContainEqual({ name: 'process_name', ph: 'M', pid, tid: 0, args: { name: `VM ${pid}` } });
    const first = exits(events).filter(([pid]) => pid === 1);
    expect(first.at(-1)!.slice(1)).toEqual(['OUT 0x602', { size: 1, value: '0x1' }]);
    expect(exits(events).some(([pid]) => pid === 2)).toBe(true);
  });

  it('with several processors', async () => {
    const image = files.write('two', bootSector(end));
    expect(await hax(['run', '--cpus', '2', '--debug-exit', '--trace', file, image])).toMatchObject({ status: 3, stderr: '' });
    expect(exits(readTrace(file)).map(([, name]) => name)).toEqual(['OUT 0xf4']);
  });

  it('a disk that is full ends the trace, not the guest', async () => {
    const image = files.write('full', bootSector(end));
    const { status, stderr } = await hax(['run', '--debug-exit', '--trace', '/dev/full', image]);
    expect(status).toBe(3);
    expect(stderr).toMatch(
      /^hax: --trace: the trace \/dev\/full cannot be written any more: ENOSPC: [^\n]*; the guest goes on without it\n$/,
    );
  });

  it('a file that cannot be made is refused before the guest runs', async () => {
    const { status, stderr } = await hax(['run', '--trace', files.directory, files.write('never', bootSector(end))]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^hax: the trace .* cannot be written: EISDIR[^\n]*\n$/);
  });
});
