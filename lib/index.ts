/**
 * node-hax opens a hypervisor device, /dev/HAX or /dev/kvm, and runs virtual machines whose hardware is written in TypeScript.
 */
import { install } from './machine/install';

install();

export { HaxError, errorTable, type HaxErrorCode, type HaxErrorDetails } from './util/errors';
export type {
  ControlRegister,
  CpuState,
  CpuStateInit,
  DescriptorTable,
  GeneralRegister,
  RegisterValue,
  Segment,
  SegmentRegister,
} from './util/cpu-state';
export { Hypervisor, type BackendName, type CreateVmOptions, type OpenOptions } from './hypervisor/hypervisor';
export { VirtualMachine, type CreateVcpuOptions, type MapMemoryOptions } from './hypervisor/vm';
export type { RegistersView, StatePart, VcpuState, VcpuStateInit } from './hypervisor/vcpu-state';
export { Vcpu, type MpState, type RunOptions, type VcpuCounters } from './hypervisor/vcpu';
export type { Capabilities, Capability, FeatureName, HaxmFeatureName, KvmFeatureName } from './hypervisor/capabilities';
export { guestCpuid, type CpuidEntry, type GuestCpuidOptions } from './hypervisor/cpuid';
export type { ExitHandler, ServedKind } from './hypervisor/exit-handlers';
export type {
  ExceptionExit,
  Exit,
  FailEntryExit,
  HypercallExit,
  HypervExit,
  InternalErrorExit,
  InterruptedExit,
  IoDirection,
  IoExit,
  IoapicEoiExit,
  MemoryFaultExit,
  MmioExit,
  MsrExit,
  NotifyExit,
  PlainExit,
  SetTprExit,
  SystemEventExit,
  TprAccessExit,
  UnknownExit,
  XenExit,
} from './hypervisor/exit';
export { debugControl, type HaxmDebugOptions, type HaxmRunResult, type HaxmVcpu } from './hypervisor/haxm/vcpu';
export { protectFlags, ramFlags, type HaxmVm, type SetRamOptions } from './hypervisor/haxm/vm';
export type { HaxmMemory } from './hypervisor/haxm/memory';
export type { HaxmNode } from './hypervisor/haxm/node';
export type { HaxmRegisters, HaxmSegment } from './hypervisor/haxm/registers';
export type { HaxmCapability, HaxmTunnelInfo, HaxmVersion } from './hypervisor/haxm/structures';
export type { HaxmSystem, MemlimitOptions } from './hypervisor/haxm/system';
export type { HaxmRun, HaxmStatus } from './hypervisor/haxm/tunnel';
export type { ExitStatistics } from './hypervisor/exit-counters';
export { ExitTrace, type ExitTraceOptions } from './hypervisor/exit-trace';
export { isCrash, type EndReason, type RunEnd } from './hypervisor/end';
export { GuestMemory, Region, type GuestMemoryAccess } from './memory/guest-memory';
export { PortBus } from './bus/port-bus';
export { MmioBus } from './bus/mmio-bus';
export type { Doorbell, RangeRequest, Removable } from './bus/claim';
export type { Device, DeviceState, IoHandler, Width } from './bus/device';
export { disconnected, type IrqLine } from './bus/irq-line';
export { ManualClock, RealClock, type Clock, type Timer } from './time/clock';
export { launch, Machine, type MachineOptions, type MachineState, type MachineStatistics } from './machine/machine';
export { launchInWorker, WorkerMachine, type WorkerMachineOptions } from './machine/worker-machine';
export { createSharedMemory, type SharedMemory } from './memory/shared-memory';
export type { Console } from './machine/console';
export type { Pattern, WaitOptions, WaitResult } from './machine/console-text';
export type { FileInput, ProgressListener } from './machine/file-source';
export type { UnclaimedAccess, UnclaimedListener } from './bus/unclaimed';
export type { InterruptSource, UserIrqchip } from './bus/interrupts';
export type { ByteOutput, ByteSink } from './host/byte-sink';
export { AcpiPower, type AcpiPowerOptions, type AcpiPowerState } from './devices/acpi-power';
export { DebugConsole, type DebugConsoleOptions, type DebugConsoleState } from './devices/debug-console';
export { DebugExit, type DebugExitState } from './devices/debug-exit';
export { KeyboardReset, type KeyboardResetState } from './devices/keyboard-reset';
export { Pvpanic, type PvpanicEvent, type PvpanicState } from './devices/pvpanic';
export { Pic8259, type Pic8259Options, type Pic8259State } from './devices/i8259';
export { PicPair } from './devices/pic-pair';
export { Mc146818, type Mc146818Options, type Mc146818State } from './devices/mc146818';
export { Pit8254, type Pit8254Options, type Pit8254State } from './devices/i8254';
export { SpeakerPort, type SpeakerPortState, type SpeakerTimer } from './devices/speaker-port';
export { AcpiPm, type AcpiPmOptions, type AcpiPmState } from './devices/acpi-pm';
export { Uart16550, type ModemLines, type Uart16550Options, type Uart16550State } from './devices/uart16550a';
export { doctor } from './doctor/doctor';
export type * from './doctor/report';
export { EventFd, KvmDescriptor, MemFd, allocateMemory } from './hypervisor/kvm/eventfd';
export { capabilities as kvmCapabilities, constants as kvmConstants, requests as kvmRequests } from './hypervisor/kvm/generated/uapi';
export type * from './hypervisor/kvm/generated/types';
export { kvmCalls, type KvmCall } from './hypervisor/kvm/calls';
export type { CallMade } from './hypervisor/kvm/base';
export type { KvmDevice } from './hypervisor/kvm/device';
export type { KvmStatistic, KvmStats } from './hypervisor/kvm/stats';
export type { KvmSystem } from './hypervisor/kvm/system';
export type { KvmVcpu } from './hypervisor/kvm/vcpu';
export type { KvmVm, MsrRange, PmuEventFilter } from './hypervisor/kvm/vm';
export type { CoalescedZone, IoeventfdOptions, IrqchipRead, IrqchipState, IrqfdOptions } from './hypervisor/kvm/vm-irq';
export type { HostMemory } from './hypervisor/kvm/vm-memory';
export type { CoalescedRing, DirtyPage, DirtyRing, SyncRegs } from './hypervisor/kvm/rings';
export type { ImageFormat } from './boot/loader';
export {
  bootGdt,
  flat32,
  long64,
  realMode,
  type Flat32Options,
  type GdtLocation,
  type Long64Options,
  type RealModeOptions,
} from './boot/registers';
