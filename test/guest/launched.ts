/** Machines that tests launch, as scripts do, and guests for them. */
import { launch, type Machine, type MachineOptions } from 'node-hax';
import { bootSector, ending, Files, print } from './images';

export interface Launched {
  files: Files;
  /** What is closed after each test. */
  machines: Set<Machine>;
  start: (kernel: Uint8Array | string, options?: Partial<MachineOptions>) => Promise<Machine>;
}

/** For one file of tests: what it makes is gone after them. */
export function launched(): Launched {
  const files = new Files();
  const machines = new Set<Machine>();
  afterEach(async () => {
    for (const machine of machines) await machine.close();
    machines.clear();
  });
  afterAll(() => files.remove());
  const start = async (kernel: Uint8Array | string, options: Partial<MachineOptions> = {}): Promise<Machine> => {
    const machine = await launch({ kernel, ...options });
    machines.add(machine);
    return machine;
  };
  return { files, machines, start };
}

export const spin = bootSector(`${print('spinning\r\n')}\n${ending.spin}`);
export const reset = bootSector(`${print('boot.')}\n${ending.acpiReset}`);
export const two = bootSector(`${print('first line\r\nsecond line\r\n')}\n${ending.powerOff}`);
