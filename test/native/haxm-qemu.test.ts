/** QEMU, a client of the HAXM driver that knows nothing of us, on the model: SeaBIOS to its end, without a disk. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { itIf } from '../support/hosts';

const { HAX_CACHE_DIR, XDG_CACHE_HOME } = process.env;
const cache = HAX_CACHE_DIR || path.join(XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'node-hax');
const qemu = path.join(cache, 'qemu-haxm/qemu-system-x86_64');
const bios = '/usr/share/seabios/bios-256k.bin';
const withModel = path.resolve(__dirname, '../../scripts/with-haxm-model');

/** Its log is on port 0x402. */
const options = [
  ...'-nodefaults -no-user-config -display none -machine pc -accel hax -m 64 -vga none -L /usr/share/seabios -L /usr/share/qemu'.split(' '),
  ...['-bios', bios, '-chardev', 'stdio,id=log', '-device', 'isa-debugcon,iobase=0x402,chardev=log'],
];

describe('QEMU on the HAXM model', () => {
  itIf(
    existsSync(qemu) && existsSync(bios) && existsSync('/dev/kvm'),
    'a QEMU with HAX has not been built (scripts/build-qemu-haxm), or there is no SeaBIOS or no KVM',
    'boots SeaBIOS until it finds no disk',
    async () => {
      const child = spawn(withModel, [qemu, ...options], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 200_000 });
      let output = '';
      const seen = new Promise<void>((resolve) => {
        const take = (bytes: Buffer): void => {
          output += bytes.toString('latin1');
          if (/No bootable device\./.test(output)) child.kill();
        };
        child.stdout.on('data', take);
        child.stderr.on('data', take);
        child.once('close', () => resolve());
      });
      await seen;
      expect(output).toContain('HAX is working and emulator runs in fast virt mode.');
      expect(output).toMatch(/^SeaBIOS \(version /m);
      expect(output).toContain('No bootable device.');
      expect(output).not.toMatch(/haxm-model:/);
    },
  );
});
