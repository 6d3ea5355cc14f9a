import { test as nodeTest } from 'node:test';
import { autoClose, needsHypervisor, whyUnavailable } from '../../lib/testing';
import { Hypervisor } from '../../lib/hypervisor/hypervisor';
import { HaxError } from '../../lib/util/errors';

/** As @types/mocha declares it. */
interface MochaTest {
  (fn: (done: () => void) => void): unknown;
  (title: string, fn?: ((done: () => void) => void) | (() => PromiseLike<unknown>)): unknown;
  skip: { (title: string, fn?: (done: () => void) => void): unknown; (fn: () => void): unknown };
}

/** As Vitest declares it. */
interface VitestTest {
  (name: string | (() => void), fn?: (context: object) => unknown, options?: number): void;
  (name: string | (() => void), options?: { timeout?: number }, fn?: (context: object) => unknown): void;
  skip: VitestTest;
}

const open = jest.spyOn(Hypervisor, 'open');
afterEach(() => {
  open.mockReset();
  delete process.env.HAX_REQUIRE_KVM;
});

const missing = (): never => {
  throw new HaxError('ERR_HAX_NO_DEVICE', '/dev/kvm is not there', { hint: 'Load it.' });
};

test('a device that opens is closed again and no reason to skip', () => {
  const close = jest.fn();
  open.mockReturnValue({ close } as unknown as Hypervisor);
  expect(whyUnavailable()).toBeUndefined();
  expect(close).toHaveBeenCalledTimes(1);
});

test('a device that does not open is a sentence with the remedy', () => {
  open.mockImplementation(missing);
  expect(whyUnavailable({ backend: 'kvm' })).toBe('/dev/kvm is not there. Load it. See node-hax/docs/errors/ERR_HAX_NO_DEVICE.md.');
  expect(open).toHaveBeenCalledWith({ backend: 'kvm' });
});

test('what is no HaxError is a bug and passes through', () => {
  open.mockImplementation(() => {
    throw new TypeError('bug');
  });
  expect(() => whyUnavailable()).toThrow(TypeError);
});

test('tests run where a VM can be made and are skipped with the reason elsewhere', () => {
  const run = jest.fn();
  const skip = jest.fn();
  const body = (): void => undefined;
  open.mockReturnValue({ close: () => undefined } as unknown as Hypervisor);
  needsHypervisor(run, skip)('boots', body);
  expect(run).toHaveBeenCalledWith('boots', body);
  open.mockImplementation(missing);
  needsHypervisor(run, skip)('boots', body);
  expect(skip).toHaveBeenCalledWith(
    'boots [skipped: /dev/kvm is not there. Load it. See node-hax/docs/errors/ERR_HAX_NO_DEVICE.md.]',
    body,
  );
  process.env.HAX_REQUIRE_KVM = '1';
  needsHypervisor(run, skip)('must boot', body);
  expect(run).toHaveBeenLastCalledWith('must boot', body);
});

/** Checked by `npm run types`: what the runners of the documentation declare, here with their overloads, is taken and given back. */
test('the types of every runner fit', () => {
  open.mockReturnValue({ close: () => undefined } as unknown as Hypervisor);
  const body = async (): Promise<void> => undefined;
  const forNode: typeof nodeTest = needsHypervisor(nodeTest, nodeTest.skip);
  const forJest: jest.It = needsHypervisor(test, test.skip);
  const vitest = jest.fn() as unknown as VitestTest;
  const forVitest: VitestTest = needsHypervisor(vitest, vitest.skip);
  const mocha = jest.fn() as unknown as MochaTest;
  const forMocha: MochaTest = needsHypervisor(mocha, mocha.skip);
  forVitest('boots', { timeout: 60_000 }, body);
  forVitest('boots', body, 60_000);
  forMocha('boots', body);
  // A test cannot be registered inside one.
  const unused = [
    () => forNode('boots', { timeout: 60_000 }, body),
    () => forNode('boots', (context) => context.diagnostic('booted')),
    () => forJest('boots', body, 60_000),
    // @ts-expect-error a test has a name
    () => forJest(body),
  ];
  expect(unused).toHaveLength(4);
});

test('resources are closed after the test, the newest first', async () => {
  let hook!: () => Promise<void>;
  const order: string[] = [];
  const close = autoClose((registered) => (hook = registered));
  const resource = (name: string): { close: () => Promise<void> } => ({ close: async () => void order.push(name) });
  close(resource('hypervisor'));
  close(resource('vm'));
  await hook();
  await hook();
  expect(order).toEqual(['vm', 'hypervisor']);
});
