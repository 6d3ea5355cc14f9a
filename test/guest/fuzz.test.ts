/** Random images in random machines: see test/fuzz/images.js. HAX_FUZZ_SEED repeats a run, HAX_FUZZ_RUNS makes a longer one. */
import * as path from 'node:path';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, elfProgram, ending, flat16, multibootKernel, print } from './images';

jest.setTimeout(process.env.HAX_FUZZ_RUNS ? 4_800_000 : 300_000);

/** Enough of a bzImage (Linux boot protocol) to be taken for one. */
function bzImage(): Buffer {
  const image = Buffer.alloc(8192, 0xf4);
  image.fill(0, 0, 0x400);
  image[0x1f1] = 1;
  image.writeUInt32LE((8192 - 1024) / 16, 0x1f4);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image[0x201] = 0x66;
  image.write('HdrS', 0x202);
  image.writeUInt16LE(0x20c, 0x206);
  image[0x211] = 1;
  image.writeUInt32LE(0x7fffffff, 0x22c);
  image.writeUInt32LE(0x200000, 0x230);
  image[0x234] = 1;
  image.writeUInt16LE(1, 0x236);
  image.writeUInt32LE(2047, 0x238);
  image.writeBigUInt64LE(0x1000000n, 0x258);
  image.writeUInt32LE(0x10000, 0x260);
  return image;
}

const ends = [
  'halted',
  'killed',
  'powered-off',
  'reset',
  'panicked',
  'triple-fault',
  'internal-error',
  'exit-code',
  'fail-entry',
  'unhandled-exit',
];
const refusals = ['ERR_HAX_IMAGE', 'ERR_HAX_INVALID_ARGUMENT', 'ERR_HAX_UNSUPPORTED'];

describeKvm('fuzzed images', () => {
  it('are refused with an error of ours, or run until they end or are killed', async () => {
    const { HAX_FUZZ_SEED, HAX_FUZZ_RUNS } = process.env;
    const seed = Number(HAX_FUZZ_SEED ?? 1); // the same each time; the nights have others
    const runs = Number(HAX_FUZZ_RUNS ?? 150);
    const sources = [
      bootSector(`${print('x')}\n${ending.halt}`),
      elfProgram(ending.powerOff),
      multibootKernel(ending.halt),
      flat16(ending.acpiReset),
      bzImage(),
    ];
    const images = Object.fromEntries(sources.map((bytes, i) => [i, Buffer.from(bytes).toString('base64')]));
    const input = JSON.stringify({ seed, runs, images, limit: HAX_FUZZ_RUNS ? undefined : 12_000 });
    const script = path.resolve(__dirname, '../fuzz/images.js');
    const { status, signal, stdout, stderr } = await new RunningCommand(process.execPath, [script], {
      input,
      limit: HAX_FUZZ_RUNS ? 4_700_000 : 280_000,
    }).end();
    expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: undefined, stderr: '' });
    process.stdout.write(`fuzz: ${stdout.toString()}\n`);
    const counts = JSON.parse(stdout.toString()) as Record<string, number>;
    expect(Object.keys(counts).filter((what) => ![...ends, ...refusals].includes(what))).toEqual([]);
    expect(counts.ERR_HAX_IMAGE).toBeGreaterThan(0);
  });
});
