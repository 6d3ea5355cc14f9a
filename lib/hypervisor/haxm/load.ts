/**
 * HAXM's own calls are loaded when they are first asked for, as KVM's are (kvm/load.ts).
 */
/* eslint-disable @typescript-eslint/no-require-imports */
import type { HaxmSystem } from './system';
import type { HaxmVcpu } from './vcpu';
import type { HaxmVm } from './vm';

export const loadHaxmSystem = (): typeof HaxmSystem => (require('./system') as typeof import('./system')).HaxmSystem;
export const loadHaxmVm = (): typeof HaxmVm => (require('./vm') as typeof import('./vm')).HaxmVm;
export const loadHaxmVcpu = (): typeof HaxmVcpu => (require('./vcpu') as typeof import('./vcpu')).HaxmVcpu;
