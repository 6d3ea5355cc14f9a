/** Whether compiled code calls run() and nextExit() without Node-API, where this version of V8 can, and that all is the same where it does not. */
import { childReport } from '../support/child';

/** Rounds of a guest that exits 100,000 times each, until one needed hardly a slow call, or thirty; what the last one needed. */
const rounds = `
  const { vcpu, vm } = make('null', 'out');
  let writes = 0;
  vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void writes++ });
  const { exitPage } = require('./dist/native/layout.js');
  const slowCalls = () => Number(new BigUint64Array(vcpu.shared)[exitPage.slowCalls / 8]);
  const measure = async () => {
    let slow = 100_001;
    for (let round = 0; round < 30 && slow >= 1_000; round++) {
      const [before, written] = [slowCalls(), writes];
      vcpu.setState({ rcx: 100_000n });
      const { reason } = await vcpu.run();
      if (reason !== 'halted' || writes - written !== 100_000) throw new Error(reason + ' after ' + (writes - written) + ' writes');
      slow = slowCalls() - before;
    }
    return slow;
  };`;
const script = `${rounds} measure().then((slow) => report({ slow }));`;

it('are made once the run loop is compiled', async () => {
  const known = `report({ fast: require('./dist/native/addon.js').callsFast(process.versions, {}) });`;
  expect(await childReport(known)).toEqual({ fast: true });
  expect((await childReport(script)).slow).toBeLessThan(1_000);
});

it('are made in a worker', async () => {
  const inside = `const { make } = require('./test/support/child-guests.js');
    ${rounds} measure().then((slow) => require('node:worker_threads').parentPort.postMessage({ slow }));`;
  const worker = `new (require('node:worker_threads').Worker)(${JSON.stringify(inside)}, { eval: true }).once('message', report);`;
  expect((await childReport(worker)).slow).toBeLessThan(1_000);
});

it('are not made where they are not wanted', async () => {
  // 100,000 exits and the halt, and what ended slices.
  expect((await childReport(script, { env: { HAX_PLAIN_CALLS: '1' } })).slow).toBeGreaterThan(100_000);
});

it.each(['', '1'])('outside a slice do nothing but an error (HAX_PLAIN_CALLS=%p)', async (plain) => {
  const outside = `const addon = require('./dist/native/addon.js').addon();
    addon.run();
    try { addon.checkRun(); report({}); } catch ({ code, message }) { report({ code, message }); }`;
  expect(await childReport(outside, { env: { HAX_PLAIN_CALLS: plain } })).toEqual({
    code: 'ERR_HAX_INVALID_ARGUMENT',
    message: expect.stringContaining('belongs inside a slice') as string,
  });
});

it.each(['', '1'])('of a vCPU that its handler has closed end the run (HAX_PLAIN_CALLS=%p)', async (plain) => {
  const closing = `const { vcpu, vm } = make('null', 'outForEver');
    let writes = 0;
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++writes === 50_000) vcpu.close(); } });
    vcpu.run().then(({ reason }) => report({ reason, writes }), ({ code }) => report({ code, writes }));`;
  expect(await childReport(closing, { env: { HAX_PLAIN_CALLS: plain } })).toEqual({ reason: 'killed', writes: 50_000 });
});

it.each(['', '1'])('of vCPUs on threads of their own lose nothing (HAX_PLAIN_CALLS=%p)', async (plain) => {
  const threaded = `const { vcpu, vm } = make('null', 'out');
    let writes = 0;
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void writes++ });
    const run = async () => {
      const reasons = new Set();
      for (let round = 0; round < 20; round++) {
        vcpu.setState({ rcx: 2_000n });
        reasons.add((await vcpu.run({ threaded: true })).reason);
      }
      report({ writes, reasons: [...reasons] });
    };
    run();`;
  expect(await childReport(threaded, { env: { HAX_PLAIN_CALLS: plain } })).toEqual({ writes: 40_000, reasons: ['halted'] });
});

it.each(['', '1'])('outside the pump nextExit() does nothing (HAX_PLAIN_CALLS=%p)', async (plain) => {
  const outside = `const addon = require('./dist/native/addon.js').addon();
    const slots = new Int32Array(addon.exitSlots());
    slots.set([7, 7]);
    for (let i = 0; i < 100_000; i++) addon.nextExit();
    report({ slots: [...slots] });`;
  expect(await childReport(outside, { env: { HAX_PLAIN_CALLS: plain } })).toEqual({ slots: [7, 7] });
});
