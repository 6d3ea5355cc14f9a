import { nowNs } from '../../../lib/util/now';

it('goes on while fake timers have put a clock of their own in the place of the host’s', () => {
  jest.useFakeTimers();
  try {
    const faked = process.hrtime.bigint();
    const began = nowNs();
    for (let i = 0; i < 1e6 && nowNs() === began; i++);
    expect(nowNs()).toBeGreaterThan(began);
    expect(process.hrtime.bigint()).toBe(faked);
  } finally {
    jest.useRealTimers();
  }
});
