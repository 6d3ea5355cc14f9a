/** Many workers, one after the other and side by side, that each load the addon, run a guest and end. */
import { childReport } from '../support/child';
import { describeEachBackend } from '../support/hosts';
import { repeats } from '../support/sanitized';

const workers = repeats(50);
/** All 20 rounds take 200 s and more for each backend on two busy cores; HAX_TEST_LONG=1 runs them, each night. */
const rounds = process.env.HAX_TEST_LONG === '1' ? 20 : 2;

describeEachBackend('life in workers', (backend) => {
  it(`${workers} workers × ${rounds} rounds of load, run and exit, by every way to end`, async () => {
    // Each worker runs a guest to its end, and leaves another running, inline or on a thread; the way in which it ends goes round.
    const script = `
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      const { descriptors: count } = require('./test/support/child-guests.js');
      const source = (threaded, end) => "const { make } = require('./test/support/child-guests.js'); const { parentPort } = require('node:worker_threads');" +
        "make('${backend.name}', 'out').vcpu.run({ threaded: " + threaded + " }).then(({ reason }) => { " +
        "const { vcpu } = make('${backend.name}', " + (threaded ? "'outForEver'" : "'spin'") + "); vcpu.run({ threaded: " + threaded + " }).catch(() => undefined); " +
        "setTimeout(() => { parentPort.postMessage(reason); " + end + " }, 1); });";
      const ends = ['', 'process.exit(3);', "throw new Error('on purpose');", 'vcpu.stop();'];
      const expected = [1, 3, 1, 0];
      const one = async (i) => {
        const way = i % ends.length;
        const worker = new Worker(source(i % 3 === 0, ends[way]), { eval: true });
        worker.on('error', () => undefined);
        const exited = once(worker, 'exit').catch(() => [1]);
        const reason = await new Promise((resolve) => { worker.once('message', resolve); worker.once('exit', () => resolve('none')); });
        if (way === 0) await worker.terminate();
        const [code] = await exited;
        return (reason === 'halted' || reason === 'none') && code === expected[way] ? 1 : 'way ' + way + ': ' + reason + ', ' + code;
      };
      (async () => {
        const wrong = [];
        let right = 0;
        const descriptors = [];
        for (let round = 0; round < ${rounds}; round++) {
          // Ten at a time: each has a V8 of its own.
          for (let i = 0; i < ${workers}; i += 10) {
            for (const result of await Promise.all(Array.from({ length: 10 }, (_, j) => one(round + i + j)))) {
              if (result === 1) right++; else wrong.push(result);
            }
          }
          descriptors.push(count());
        }
        // What a worker held is let go of after its 'exit', by threads that outlive it.
        for (let i = 0; i < 50 && descriptors.at(-1) > descriptors[1]; i++) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          descriptors.push(count());
        }
        report({ right, wrong: wrong.slice(0, 5), leaked: descriptors.at(-1) > descriptors[1] });
      })();`;
    expect(await childReport(script, { limit: 280_000 })).toEqual({ right: workers * rounds, wrong: [], leaked: false });
  }, 300_000);
});
