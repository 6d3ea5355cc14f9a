// The command itself; scripts/build makes one script of this and all that it uses, which main.ts starts.
import { describeClosedOutput, main, status } from './program';

function unwritable(error: Error): void {
  process.stderr.write(`hax: ${describeClosedOutput(error)}\n`);
  process.exit(status.error);
}

process.stdout.on('error', (error: Error) => {
  // `hax run` listens too and ends the guest first.
  if (process.stdout.listenerCount('error') === 1) unwritable(error);
});
process.stderr.on('error', () => undefined); // nobody is left to tell
void main(process.argv.slice(2)).then((code) => {
  // What is still in a pipe goes out first; standard input or a socket must not keep the process.
  process.stdout.write('', (error) => {
    if (error && code === status.ok) unwritable(error);
    process.exit(code);
  });
});
