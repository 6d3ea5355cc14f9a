/** What launch() does not take. */
import { readdirSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { runInNewContext } from 'node:vm';
import { errorTable, HaxError, launch, type MachineOptions } from 'node-hax';
import { codeOfAsync } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { launched, spin } from './launched';

const { files } = launched();

describeKvm('launch refuses', () => {
  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'ERR_HAX_INVALID_ARGUMENT'],
    ['no kernel', {}, 'ERR_HAX_INVALID_ARGUMENT'],
    ['an empty name', { kernel: '' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a kernel that is an object', { kernel: {} }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['an initrd that is a number', { kernel: spin, initrd: 7 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['no memory', { kernel: spin, memory: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['memory by a wrong word', { kernel: spin, memory: 'much' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['too little memory', { kernel: spin, memory: '64K' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['half a page', { kernel: spin, memory: 2 ** 21 + 2048 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['more memory than there is', { kernel: spin, memory: '64T' }, 'ERR_HAX_NO_MEMORY'],
    ['no vCPU', { kernel: spin, cpus: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['more vCPUs than have APIC ids', { kernel: spin, cpus: 256 }, 'ERR_HAX_INVALID_ARGUMENT'],
    [
      'a debug console where the kernel has its controllers',
      { kernel: spin, debugConsole: { port: 0x20, output: new PassThrough() } },
      'ERR_HAX_OVERLAP',
    ],
    ['a debug exit over its timer', { kernel: spin, debugExit: 0x3f }, 'ERR_HAX_OVERLAP'],
    ['two vCPUs without local APICs', { kernel: spin, cpus: 2, irqchip: 'user' }, 'ERR_HAX_UNSUPPORTED'],
    ['a kernel of another realm, of no format', { kernel: runInNewContext('new Uint8Array(512)') }, 'ERR_HAX_IMAGE'],
    ['an option that there is not', { kernel: spin, memoy: '1M' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity for no thread', { kernel: spin, affinity: [[0]] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity of numbers', { kernel: spin, threaded: true, affinity: [0] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity for vCPUs that there are not', { kernel: spin, threaded: true, affinity: [[0], [0]] }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['affinity that is no list', { kernel: spin, cpus: 2, affinity: 1 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a debug port that there is not', { kernel: spin, debugExit: 0x10000 }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a debug port where COM1 is', { kernel: spin, debugExit: 0x3f8 }, 'ERR_HAX_OVERLAP'],
    ['a format that there is not', { kernel: spin, format: 'com' }, 'ERR_HAX_INVALID_ARGUMENT'],
    ['a kernel of another format', { kernel: spin, format: 'elf' }, 'ERR_HAX_IMAGE'],
    ['a kernel of no format', { kernel: Buffer.from('text') }, 'ERR_HAX_IMAGE'],
    ['a file that is not there', { kernel: '/nonexistent' }, 'ERR_HAX_FILE'],
    ['a directory', { kernel: '/' }, 'ERR_HAX_FILE'],
    ['an initrd that is not there', { kernel: spin, initrd: '/nonexistent' }, 'ERR_HAX_FILE'],
    ['an unknown backend', { kernel: spin, backend: 'vmware' }, 'ERR_HAX_UNKNOWN_BACKEND'],
  ])('%s', async (_what, options, code) => {
    const error = (await launch(options as MachineOptions).then(
      () => undefined,
      (reason: unknown) => reason,
    )) as HaxError;
    expect(error).toBeInstanceOf(HaxError);
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(/^[^\n]+$/)]);
    expect(Object.keys(errorTable)).toContain(error.code);
    // Those are the command's.
    expect(error.message + error.hint).not.toMatch(/ --(format|load|mode|memory)/);
  });

  it('and leaves nothing open', async () => {
    await codeOfAsync(() => launch({ kernel: files.write('bad', 'bad') }));
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 20; i++) await codeOfAsync(() => launch({ kernel: files.at('bad'), initrd: files.at('bad') }));
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
