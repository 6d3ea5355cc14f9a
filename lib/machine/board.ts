/**
 * What is made anew at every reset: the VM, its memory with the kernel in it, the devices at their places, and the vCPU.
 */
import { loadImage } from '../boot/image';
import type { ImageSource } from '../boot/image-source';
import type { ImageFormat } from '../boot/loader';
import type { Removable } from '../bus/claim';
import type { UnclaimedAccess } from '../bus/unclaimed';
import { DebugConsole } from '../devices/debug-console';
import { DebugExit } from '../devices/debug-exit';
import { Mc146818 } from '../devices/mc146818';
import { Uart16550 } from '../devices/uart16550a';
import type { ByteOutput } from '../host/byte-sink';
import type { Hypervisor } from '../hypervisor/hypervisor';
import type { VirtualMachine } from '../hypervisor/vm';
import type { SharedMemory } from '../memory/shared-memory';
import type { Clock } from '../time/clock';
import { BoardClock } from './board-clock';
import type { ConsolePort } from './console-port';
import { loadTestDevices, loadUserIrqchip } from './load';
import { biosArea, bootArea, cmosMemory, memoryMap, ports, ramRanges } from './layout';
import { HaxError } from '../util/errors';
import { checkInteger } from '../util/numbers';
import { acpiKind, addPower } from './power';
import { Processors, type ProcessorsOptions } from './processors';

export interface BoardOptions {
  memory: number;
  /** RAM that other threads have too, instead of memory of the VM's own. */
  shared?: SharedMemory;
  cpus: number;
  processors: ProcessorsOptions;
  irqchip?: 'kernel' | 'user';
  kernel: ImageSource;
  modules: readonly ImageSource[];
  console: ConsolePort;
  /** Called when the debug console's output takes more. */
  onRoom: () => void;
  clock: Clock;
  format?: ImageFormat | 'auto';
  load?: number;
  entry?: number;
  mode?: 16 | 32 | 64;
  append?: string;
  /** Port of the debug-exit device, or false for none. */
  debugExit: number | false;
  debugConsole?: { port?: number; output: ByteOutput | undefined };
  onUnclaimed?: (access: UnclaimedAccess) => void;
}

/** The line status register of a UART, from its first port. */
const lineStatus = 5;

export class Board {
  readonly vm: VirtualMachine;
  readonly processors: Processors;
  readonly #uart: Uart16550;
  readonly #debugConsole: DebugConsole | undefined;
  readonly #console: ConsolePort;
  readonly #clock: BoardClock;

  constructor(hypervisor: Hypervisor, given: BoardOptions) {
    this.#console = given.console;
    this.#clock = new BoardClock(given.clock);
    const options = { ...given, clock: this.#clock };
    const ram = ramRanges(options.memory);
    checkCpus(hypervisor, options);
    this.vm = hypervisor.createVm(options.irqchip ? { irqchip: options.irqchip } : {});
    try {
      let offset = 0;
      for (const { start, size } of ram) {
        this.vm.mapMemory({ gpa: start, size, ...(options.shared && { shared: options.shared, offset }) });
        offset += size;
      }
      if (this.vm.userIrqchip) loadUserIrqchip().addUserTimers(this.vm, this.vm.userIrqchip, options.clock);
      else this.#claimKernelPorts();
      this.#addClock(options);
      this.#uart = this.#addUart(options);
      this.#debugConsole = this.#addDebugDevices(options);
      if (options.onUnclaimed) {
        this.vm.ports.onUnclaimed(options.onUnclaimed);
        this.vm.mmio.onUnclaimed(options.onUnclaimed);
      }
      const boot = loadImage(options.kernel, this.vm.memory, {
        format: options.format ?? 'auto',
        memoryMap: memoryMap(options.memory, acpiKind(this.vm)),
        bootArea,
        shadow: biosArea,
        append: options.append ?? '',
        modules: options.modules.map((source) => ({ source })),
        rsdp: addPower(this.vm, options, (end) => this.processors.stop(end)),
        serialPorts: [ports.com1.at],
        flat: {
          ...(options.load !== undefined && { load: options.load }),
          ...(options.entry !== undefined && { entry: options.entry }),
          ...(options.mode !== undefined && { mode: options.mode }),
        },
      });
      const { cpus } = options;
      const vcpus = Array.from({ length: cpus }, () => this.vm.createVcpu({ cpus }));
      this.processors = new Processors(vcpus, options.processors);
      // The others wait for the first to start them.
      this.processors.first.setState(boot.registers);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether an output has asked to hold back. */
  get held(): boolean {
    return this.#console.held || this.#debugConsole?.held === true;
  }

  /** Hands over output that devices have collected. */
  flush(): void {
    this.#uart.flush();
    this.#debugConsole?.flush();
  }

  close(): void {
    this.#clock.close();
    this.vm.close();
  }

  /** What the kernel's controllers and timer serve never comes here: nothing else may be there and wait for it in vain. */
  #claimKernelPorts(): void {
    const { pic, elcr, pit, speaker } = ports;
    const ranges = [{ at: pic.master, length: pic.length }, { at: pic.slave, length: pic.length }, elcr, pit, speaker];
    for (const { at, length } of ranges) {
      this.vm.ports.add({ at, length, name: "the kernel's controllers" }, { read: () => 0xff, write: () => undefined });
    }
  }

  #addUart({ console, clock }: BoardOptions): Uart16550 {
    const { at, length, irq } = ports.com1;
    const uart = new Uart16550({
      irq: this.vm.irqLine(irq),
      clock,
      output: (bytes, onDrain) => console.deliver(bytes, onDrain),
    });
    uart.onReadyToReceive = () => console.accept();
    this.vm.ports.add({ at, length, name: 'COM1' }, uart);
    let post: Removable | undefined;
    uart.onPostable = (postable) => {
      post?.remove();
      post = postable ? this.vm.ports.post({ at, length: 1 }) : undefined;
    };
    uart.onLineStatus = (value) => this.vm.ports.answer(at + lineStatus, value);
    console.attach((bytes) => uart.receive(bytes));
    return uart;
  }

  #addClock({ clock, memory }: BoardOptions): void {
    const { at, length, irq } = ports.cmos;
    const cmos = new Mc146818({ clock, now: () => Date.now(), ram: cmosMemory(memory), irq: this.vm.irqLine(irq) });
    this.vm.ports.add({ at, length }, cmos);
  }

  #addDebugDevices(options: BoardOptions): DebugConsole | undefined {
    const { debugExit, debugConsole, onRoom } = options;
    if (debugExit !== false) {
      const device = new DebugExit((status) => this.processors.stop({ reason: 'exit-code', status }));
      this.vm.ports.add({ at: debugExit, length: 4 }, device);
    }
    if (debugExit === ports.debugExit) loadTestDevices().addTestDevices(this.vm, options);
    if (!debugConsole) return undefined;
    const device = new DebugConsole({ output: debugConsole.output });
    device.onRoom = onRoom;
    this.vm.ports.add({ at: debugConsole.port ?? ports.debugConsole, length: 1 }, device);
    return device;
  }
}

/** Local APIC ids in the MADT have 8 bits, and 255 means all (ACPI 6.3, 5.2.12.2). */
const maxCpus = 255;

function checkCpus({ capabilities }: Hypervisor, { cpus, irqchip }: BoardOptions): void {
  if (cpus === 1) return;
  const { available } = capabilities.features.kernelIrqchip ?? { available: false };
  if (irqchip === 'user' || !available) {
    throw new HaxError('ERR_HAX_UNSUPPORTED', `${cpus} vCPUs need the interrupt controllers of the kernel, which have local APICs`, {
      hint: "Leave irqchip at 'kernel', on a backend that has it, or run one vCPU.",
    });
  }
  checkInteger(cpus, 'cpus on this host', 1, Math.min(maxCpus, capabilities.features.maxVcpus.value));
}
