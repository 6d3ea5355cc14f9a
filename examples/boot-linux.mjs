// A distribution's kernel and an initrd of yours: node boot-linux.mjs vmlinuz initrd.img [COMMAND]. Waits for a shell's prompt on the serial
// console, types a command, prints what came back, and powers off. Ctrl-C ends it at any time.
import { launch } from 'node-hax';

const [kernel, initrd, command = 'uname -a'] = process.argv.slice(2);
if (!initrd) {
  console.error('Usage: node boot-linux.mjs KERNEL INITRD [COMMAND]');
  process.exit(2);
}
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));

const prompt = /[#$] (?:.\[6n)?$/; // busybox asks behind it where the cursor is

const machine = await launch({ kernel, initrd, append: 'console=ttyS0 quiet', memory: '256M', signal: stop.signal });
try {
  await machine.console.waitFor(prompt, { timeout: 120_000 });
  machine.console.write(`${command}\n`);
  const { before } = await machine.console.waitFor(prompt, { timeout: 60_000 });
  console.log(before.split(/\r?\n/).slice(1, -1).join('\n')); // without the echo of the command and the line of the prompt
  machine.console.write('poweroff -f\n');
  console.log((await machine.ended).reason);
} finally {
  await machine.close();
}
