/**
 * KVM's typed calls are a fifth of all our code, and most programs make none of them: each scope's are loaded when it is first asked for.
 * TypeScript has no synchronous import() that is not also an eager one.
 */
/* eslint-disable @typescript-eslint/no-require-imports */
import type { KvmSystem } from './system';
import type { KvmVcpu } from './vcpu';
import type { KvmVm } from './vm';

export const loadKvmSystem = (): typeof KvmSystem => (require('./system') as typeof import('./system')).KvmSystem;
export const loadKvmVm = (): typeof KvmVm => (require('./vm') as typeof import('./vm')).KvmVm;
export const loadKvmVcpu = (): typeof KvmVcpu => (require('./vcpu') as typeof import('./vcpu')).KvmVcpu;
