/**
 * Controllers and timers in TypeScript, and test devices, are loaded with the first machine that has them: a guest should not wait for code
 * that it does not use, and TypeScript has no synchronous import() that is not also an eager one.
 */
/* eslint-disable @typescript-eslint/no-require-imports */
export const loadUserIrqchip = (): typeof import('./user-irqchip') => require('./user-irqchip') as typeof import('./user-irqchip');
export const loadTestDevices = (): typeof import('./test-devices') => require('./test-devices') as typeof import('./test-devices');
