// The interface of the HAXM driver on Linux: request numbers, structures and constants, written from the ABI reference (release 7.8.0).
// Shares nothing with the addon's own definitions, so that a mistake in either shows as a disagreement.
#pragma once

#include <cstddef>
#include <cstdint>

namespace haxm_model {

enum SystemRequest : uint32_t {
  kVersion = 0xC0080020,
  kCreateVm = 0xC0040021,
  kDestroyVm = 0x40040022,  // does nothing
  kCapability = 0x80100023,
  kSetMemlimit = 0xC0100024,
};

enum VmRequest : uint32_t {
  kVcpuCreate = 0xC0040080,
  kVcpuCreateOrig = 0x80040080,
  kAllocRam = 0xC0100081,
  kSetRam = 0xC0180082,
  kVcpuDestroy = 0x80040083,  // does nothing
  kNotifyQemuVersion = 0x40080084,
  kAddRamblock = 0x40180085,
  kSetRam2 = 0xC0280086,
  kProtectRam = 0xC0180087,
};

enum VcpuRequest : uint32_t {
  kRun = 0x000000C0,
  kSetMsrs = 0xC20800C1,
  kGetMsrs = 0xC20800C2,
  kSetFpu = 0x420000C3,
  kGetFpu = 0x820000C4,
  kSetupTunnel = 0xC01800C5,
  kInterrupt = 0xC00400C6,
  kSetRegs = 0xC20000C7,
  kGetRegs = 0xC20000C8,
  kSetRegs520 = 0xC20800C7,  // the first binaries of 7.8.0
  kGetRegs520 = 0xC20800C8,
  kDebug = 0x404800C9,
  kSetCpuid = 0x400800CA,
  kGetCpuid = 0x400800CB,
};

enum ExitStatus : uint32_t {
  kStatusIo = 1,
  kStatusRealMode = 3,
  kStatusInterrupt = 4,
  kStatusUnknown = 5,
  kStatusHlt = 6,
  kStatusStateChange = 7,
  kStatusPaused = 8,
  kStatusFastMmio = 9,
  kStatusPageFault = 10,
  kStatusDebug = 11,
};

// VMX basic exit reasons that a client can see in the tunnel.
enum ExitReason : uint32_t {
  kReasonException = 0,
  kReasonInterruptWindow = 7,
  kReasonPause = 8,  // written by the client
  kReasonHlt = 12,
  kReasonIo = 30,
  kReasonRdmsr = 31,
  kReasonWrmsr = 32,
  kReasonEptViolation = 48,
};

constexpr uint16_t kCapabilityWorking = 1;
constexpr uint16_t kCapabilityQuota = 2;
constexpr uint16_t kNotWorkingVt = 1;
constexpr uint16_t kNotWorkingNx = 2;
constexpr uint16_t kInfoEpt = 0x001;
constexpr uint16_t kInfoUnrestrictedGuest = 0x004;
constexpr uint16_t kInfoTunnelPage = 0x020;
constexpr uint16_t kInfoAll = 0x3ff;

constexpr uint32_t kRamRom = 0x01;
constexpr uint32_t kRamStandalone = 0x40;
constexpr uint32_t kRamInvalid = 0x80;

constexpr uint32_t kAccessRead = 1;
constexpr uint32_t kAccessWrite = 2;
constexpr uint32_t kAccessFetch = 4;

constexpr uint32_t kDebugEnable = 1;
constexpr uint32_t kDebugStep = 2;
constexpr uint32_t kDebugSoftware = 4;
constexpr uint32_t kDebugHardware = 8;

// What is always set in the two debug registers.
constexpr uint64_t kDr6Set = 0xFFFF0FF0;
constexpr uint64_t kDr7Set = 0x400;

constexpr uint32_t kMaxVms = 64;
constexpr uint32_t kMaxVcpus = 16;
constexpr uint32_t kMaxMsrs = 32;  // 31 usable
constexpr uint32_t kMaxCpuidEntries = 64;
constexpr uint32_t kIoBufferSize = 64;
constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kUnlimitedQuota = uint64_t{1} << 48;
constexpr uint64_t kMaxGuestPages = (uint64_t{1} << 31) - 1;    // up to the end of a range
constexpr uint64_t kMaxBitmapPages = (uint64_t{1} << 25) - 64;  // for which the kernel has memory: 4 MiB of bits

struct ModuleVersion {
  uint32_t compat;
  uint32_t current;
};

struct CapabilityInfo {
  uint16_t status;
  uint16_t info;
  uint32_t reference_count;
  uint64_t quota;
};

struct MemLimit {
  uint8_t enable;
  uint8_t pad[7];
  uint64_t megabytes;
};

struct AllocRamInfo {
  uint32_t size;
  uint32_t pad;
  uint64_t va;
};

struct RamblockInfo {
  uint64_t va;
  uint64_t size;
  uint64_t reserved;
};

struct SetRamInfo {
  uint64_t gpa;
  uint32_t size;
  uint8_t flags;
  uint8_t pad[3];
  uint64_t va;
};

struct SetRamInfo2 {
  uint64_t gpa;
  uint64_t size;
  uint64_t va;
  uint32_t flags;
  uint32_t reserved1;
  uint64_t reserved2;
};

struct ProtectRamInfo {
  uint64_t gpa;
  uint64_t size;
  uint32_t flags;
  uint32_t reserved;
};

struct TunnelInfo {
  uint64_t tunnel;
  uint64_t io_buffer;
  uint16_t size;
  uint16_t pad[3];
};

struct Msr {
  uint64_t index;
  uint64_t value;
};

struct MsrData {
  uint16_t count;
  uint16_t done;
  uint32_t pad;
  Msr entries[kMaxMsrs];
};

struct DebugInfo {
  uint32_t control;
  uint32_t reserved;
  uint64_t dr[8];
};

struct CpuidEntry {
  uint32_t function;
  uint32_t index;
  uint32_t flags;
  uint32_t eax;
  uint32_t ebx;
  uint32_t ecx;
  uint32_t edx;
  uint32_t pad[3];
};

struct CpuidHeader {
  uint32_t total;
  uint32_t pad;
};

struct Tunnel {
  uint32_t exit_reason;
  uint32_t pad0;
  uint32_t exit_status;
  uint32_t user_event_pending;
  uint32_t ready_for_interrupt_injection;
  uint32_t request_interrupt_window;
  union {
    struct {
      uint8_t direction;  // 1: the guest reads
      uint8_t df;
      uint16_t size;
      uint16_t port;
      uint16_t count;
      uint8_t flags;  // 1: string instruction
      uint8_t pad0;
      uint16_t pad1;
      uint32_t pad2;
      uint64_t vaddr;
    } io;
    struct {
      uint64_t gpa;
      uint32_t flags;
      uint32_t reserved1;
      uint64_t reserved2;
    } page_fault;
    struct {
      uint64_t rip;
      uint64_t dr6;
      uint64_t dr7;
    } debug;
  };
  uint64_t apic_base;
};

// At the start of the I/O buffer after status 9.
struct FastMmio {
  uint64_t gpa;
  uint64_t value;
  uint8_t size;
  uint8_t direction;  // 1: the guest writes; before 7.3.0 also 2: from gpa to the address in `value`, 3: from there to gpa
  uint16_t register_index;
  uint32_t pad0;
  uint64_t unused[4];
};

struct Segment {
  uint16_t selector;
  uint16_t dummy;
  uint32_t limit;
  uint64_t base;
  uint32_t ar;
  uint32_t ipad;
};

constexpr uint32_t kArUnusable = 0x10000;

enum SegmentIndex { kCs, kSs, kDs, kEs, kFs, kGs, kLdt, kTr, kGdt, kIdt, kSegments };
enum GeneralIndex { kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi };

struct VcpuState {
  uint64_t gpr[16];  // ax, cx, dx, bx, sp, bp, si, di, r8 to r15
  uint64_t rip;
  uint64_t rflags;
  Segment segment[kSegments];
  uint64_t cr0;
  uint64_t cr2;
  uint64_t cr3;
  uint64_t cr4;
  uint64_t dr[4];
  uint64_t dr6;
  uint64_t dr7;
  uint64_t pde;  // from here on neither taken nor given
  uint32_t efer;
  uint32_t sysenter_cs;
  uint64_t sysenter_eip;
  uint64_t sysenter_esp;
  uint32_t activity;
  uint32_t pad;
  uint64_t interruptibility;
};

struct VcpuState520 {
  uint8_t head[0x1a0];
  uint64_t xcr0;
  uint8_t tail[0x60];
};

struct FxImage {
  uint8_t bytes[512];
};

static_assert(sizeof(ModuleVersion) == 8 && sizeof(CapabilityInfo) == 16 && sizeof(MemLimit) == 16);
static_assert(sizeof(AllocRamInfo) == 16 && sizeof(RamblockInfo) == 24 && sizeof(SetRamInfo) == 24 && sizeof(SetRamInfo2) == 40);
static_assert(sizeof(ProtectRamInfo) == 24 && sizeof(TunnelInfo) == 24 && sizeof(MsrData) == 520 && sizeof(DebugInfo) == 72);
static_assert(sizeof(CpuidEntry) == 40 && sizeof(CpuidHeader) == 8 && sizeof(Tunnel) == 56 && sizeof(FastMmio) == 56);
static_assert(sizeof(Segment) == 24 && sizeof(VcpuState) == 512 && sizeof(VcpuState520) == 520);
static_assert(offsetof(Tunnel, io.vaddr) == 40 && offsetof(Tunnel, apic_base) == 48 && offsetof(VcpuState, rip) == 0x80);
static_assert(offsetof(VcpuState, segment) == 0x90 && offsetof(VcpuState, cr0) == 0x180 && offsetof(VcpuState, dr6) == 0x1c0);
static_assert(offsetof(VcpuState, efer) == 0x1d8 && offsetof(VcpuState, interruptibility) == 0x1f8);

}  // namespace haxm_model
