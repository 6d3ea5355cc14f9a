/** What the command refuses once it has a device: images that cannot be booted, and options that do not go with the image. */
import { chmodSync, chownSync } from 'node:fs';
import { commandFile, shell } from '../support/command';
import { describeKvm, itIf } from '../support/hosts';
import { haxInProcess } from '../support/in-process';
import { bootSector, elfProgram, ending, Files, multibootKernel, print } from './images';

const files = new Files();
afterAll(() => files.remove());

const good = files.write('good', bootSector(`${print('good\r\n')}\n${ending.powerOff}`));

/** One line, and no stack trace. */
const oneSentence = /^hax: [^\n]+\n$/;

describeKvm('the command refuses', () => {
  describe('options that do not go with the image or the machine: status 2', () => {
    it.each<[string, string[], RegExp]>([
      ['less memory than a machine needs', ['run', '--memory', '128', good], /--memory 128 is 128 bytes, .* at least 1M/],
      [
        '--entry outside the image',
        ['run', '--format', 'flat', '--entry', '0x10', good],
        /^hax: --entry 0x10 must not be below the load address 0x7c00\n/,
      ],
      [
        '--load beyond what 32 bits reach',
        ['run', '--format', 'flat', '--load', '0x1ffffffff', good],
        /^hax: --load must be a whole number/,
      ],
      ['a debug console where COM1 is', ['run', '--debugcon', '0x3f8', good], /COM1/],
      ['a debug exit where COM1 is', ['run', '--debug-exit-port', '0x3f8', good], /COM1/],
      ['a command line for a boot sector', ['run', '--append', 'quiet', good], /^hax: --append: /],
      ['an initrd for a boot sector', ['run', '--initrd', good, good], /initrd/],
    ])('%s', async (_what, args, names) => {
      const { status, stdout, stderr } = await haxInProcess(args);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(oneSentence);
      expect(stderr).toMatch(names);
    });
  });

  describe('an image that cannot be booted: status 1 and one sentence that names it', () => {
    const elf = elfProgram(`${print('never\r\n', 'esi')}\n${ending.halt}`);
    const multiboot = multibootKernel(`${print('never\r\n', 'esi')}\n${ending.halt}`);
    const changed = (bytes: Uint8Array, change: (copy: Buffer) => void): Buffer => {
      const copy = Buffer.from(bytes);
      change(copy);
      return copy;
    };
    /** Offset of the first program header, and of its fields (System V ABI). */
    const header = Buffer.from(elf).readUInt32LE(28);
    const [fileOffset, physical, fileSize, memorySize] = [4, 12, 16, 20].map((at) => header + at) as [number, number, number, number];
    const second = header + 32;

    const images: [what: string, bytes: Uint8Array, why: RegExp][] = [
      ['empty', Buffer.alloc(0), /is empty/],
      ['one byte', Buffer.from([0x90]), /is not a bzImage, a multiboot kernel, an ELF program or a boot sector/],
      ['text', Buffer.from('#!/bin/sh\n'.repeat(100)), /is not a bzImage.*; use --format flat with --load and --mode for raw code\n/],
      ['gzip', Buffer.from('1f8b0800', 'hex'), /gzip/],
      ['a sector without its signature', Buffer.alloc(512), /is not a bzImage/],
      ...[4, 16, 51, 60, header + 31, elf.length - 400].map((length): [string, Uint8Array, RegExp] => [
        `an ELF file cut at ${length}`,
        elf.subarray(0, Math.min(length, Buffer.from(elf).readUInt32LE(fileOffset) + Buffer.from(elf).readUInt32LE(fileSize) - 1)),
        /truncated/,
      ]),
      ['an ELF file of 64 bits', changed(elf, (copy) => copy.writeUInt8(2, 4)), /./],
      ['an ELF file of no class', changed(elf, (copy) => copy.writeUInt8(7, 4)), /unknown ELF class 7/],
      ['an ELF file for another machine', changed(elf, (copy) => copy.writeUInt16LE(40, 18)), /machine 40/],
      [
        'an ELF file larger than memory',
        changed(elf, (copy) => copy.writeUInt32LE(0x7000_0000, memorySize)),
        /give the guest at least \d+M/,
      ],
      ['an ELF file that wraps around', changed(elf, (copy) => copy.writeUInt32LE(0xffff_f000, memorySize)), /beyond 4 GiB/],
      ['an ELF file over the ACPI tables', changed(elf, (copy) => copy.writeUInt32LE(0xe_0000, physical)), /not all RAM/],
      [
        'an ELF file whose segments overlap',
        changed(elf, (copy) => {
          copy.writeUInt16LE(2, 44);
          copy.copyWithin(second, header, header + 32);
        }),
        /where its segment is/,
      ],
      ['an ELF file that starts nowhere', changed(elf, (copy) => copy.writeUInt32LE(0x10, 24)), /entry point/],
      ['a bzImage that is only a header', changed(Buffer.alloc(0x300), (copy) => copy.write('HdrS', 0x202)), /./],
    ];
    it.each(images)('%s', async (_what, bytes, why) => {
      const image = files.write('image', bytes);
      const { status, stdout, stderr } = await haxInProcess(['run', image]);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toMatch(oneSentence);
      expect(stderr).toContain(`hax: ${image} `);
      expect(stderr).toMatch(why);
    });

    it.each(['bzimage', 'multiboot', 'pvh', 'elf'])('a boot sector as %s', async (format) => {
      const { status, stderr } = await haxInProcess(['run', '--format', format, good]);
      expect(status).toBe(1);
      expect(stderr).toMatch(oneSentence);
      expect(stderr).toContain(`hax: ${good} `);
      expect(stderr).toContain('; ' + (format === 'multiboot' ? 'check its linker script, or ' : '') + 'leave out --format');
    });

    it('flat code that does not fit', async () => {
      const image = files.write('large', Buffer.alloc(2 ** 21, 0x90));
      const { status, stderr } = await haxInProcess([
        'run',
        '--format',
        'flat',
        '--load',
        '0x100000',
        '--memory',
        '2M',
        '--mode',
        '32',
        image,
      ]);
      expect(status).toBe(1);
      expect(stderr).toMatch(oneSentence);
      expect(stderr).toMatch(/at least 3M/);
    });

    it.each([
      ['a file that is not there', () => files.at('absent'), /does not exist/],
      ['a directory', () => files.directory, /is a directory/],
      ['a device', () => '/dev/zero', /is not a regular file/],
      ['an empty name', () => '', /./],
    ])('%s', async (_what, name, why) => {
      const { status, stdout, stderr } = await haxInProcess(['run', name()]);
      expect({ stdout, ok: status === 1 || (name() === '' && status === 2) }).toEqual({ stdout: '', ok: true });
      expect(stderr).toMatch(oneSentence);
      expect(stderr).toMatch(why);
      expect(stderr).toContain(name());
    });

    it('a FIFO that nobody writes to', async () => {
      const fifo = files.at('fifo');
      const { stderr } = await shell(`mkfifo ${fifo}; hax run ${fifo}; echo "status $?" >&2`);
      expect(stderr).toBe(`hax: ${fifo} is not a regular file; copy it to one\nstatus 1\n`);
    });

    itIf(process.getuid?.() === 0, 'only root can make a file that it must not read', 'a file that this user must not read', async () => {
      const image = files.write('secret', 'x');
      chmodSync(image, 0o600);
      chownSync(image, 65534, 65534);
      const { stderr } = await shell(
        `setpriv --bounding-set -dac_override,-dac_read_search ${process.execPath} ${commandFile} run ${image}; echo "status $?" >&2`,
      );
      expect(stderr).toBe(`hax: ${image} cannot be read by this user\nstatus 1\n`);
    });

    it('an initrd that is not there, or empty', async () => {
      const kernel = files.write('kernel', multiboot);
      const absent = await haxInProcess(['run', kernel, '--initrd', files.at('absent')]);
      expect(absent).toMatchObject({ status: 1, stderr: `hax: ${files.at('absent')} does not exist\n` });
      const empty = await haxInProcess(['run', kernel, '--initrd', files.write('empty', '')]);
      expect(empty).toMatchObject({ status: 1 });
      expect(empty.stderr).toMatch(/^hax: \S+empty is empty; .*\n$/);
    });
  });
});
