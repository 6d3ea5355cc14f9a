// The interface of the HAXM driver: structures, statuses and request numbers, as release 7.8.0 has them. Numbers differ by host system:
// requests.h makes them. "status" and "reason" are the driver's words for what RUN ended with.
#ifndef NODE_HAX_BACKENDS_HAXM_ABI_H_
#define NODE_HAX_BACKENDS_HAXM_ABI_H_

#include <cstddef>
#include <cstdint>

namespace hax::haxm {

// Natural layout on every host: packing changes nothing, the asserts below hold with and without.
struct ModuleVersion {
  uint32_t compat_version;
  uint32_t cur_version;
};

struct CapabilityInfo {
  uint16_t wstatus;
  uint16_t winfo;
  uint32_t win_refcount;
  uint64_t mem_quota;  // bytes
};

enum WorkingStatus : uint16_t { kWorking = 1, kQuotaValid = 2 };
enum NotWorking : uint16_t { kNoVt = 1, kNoNx = 2 };  // winfo while not working
enum Feature : uint16_t {                             // winfo while working
  kEpt = 0x001,
  kFastMmio = 0x002,
  kUnrestrictedGuest = 0x004,
  k64BitRamBlock = 0x008,
  k64BitSetRam = 0x010,
  kTunnelPage = 0x020,
  kRamProtection = 0x040,
  kDebug = 0x080,
  kImplicitRamBlock = 0x100,
  kCpuid = 0x200,
};

struct SetMemlimit {
  uint8_t enable;
  uint8_t pad[7];
  uint64_t memory_limit;  // MiB
};

struct AllocRamInfo {
  uint32_t size;
  uint32_t pad;
  uint64_t va;
};

struct RamblockInfo {
  uint64_t start_va;
  uint64_t size;
  uint64_t reserved;
};

struct SetRamInfo {
  uint64_t pa_start;
  uint32_t size;
  uint8_t flags;
  uint8_t pad[3];
  uint64_t va;
};

struct SetRamInfo2 {
  uint64_t pa_start;
  uint64_t size;
  uint64_t va;
  uint32_t flags;
  uint32_t reserved1;
  uint64_t reserved2;
};

enum RamFlags : uint32_t { kRamRom = 0x01, kRamStandalone = 0x40, kRamInvalid = 0x80 };

struct ProtectRamInfo {
  uint64_t pa_start;
  uint64_t size;
  uint32_t flags;
  uint32_t reserved;
};

struct QemuVersion {
  uint32_t cur_version;
  uint32_t least_version;
};

struct TunnelInfo {
  uint64_t va;
  uint64_t io_va;
  uint16_t size;
  uint16_t pad[3];
};

enum ExitStatus : uint32_t {
  kExitIo = 1,
  kExitMmio = 2,
  kExitRealmode = 3,
  kExitInterrupt = 4,
  kExitUnknown = 5,
  kExitHlt = 6,
  kExitStatechange = 7,
  kExitPaused = 8,
  kExitFastMmio = 9,
  kExitPagefault = 10,
  kExitDebug = 11,
};

inline constexpr uint32_t kReasonInterruptWindow = 7;  // VMX basic exit reasons
inline constexpr uint32_t kReasonEptViolation = 48;
inline constexpr uint32_t kReasonPause = 8;  // written by the client: finish what is pending, do not enter the guest

enum IoDirection : uint8_t { kIoOut = 0, kIoIn = 1 };
enum IoFlags : uint8_t { kIoString = 1 };

struct Tunnel {
  uint32_t exit_reason;
  uint32_t pad0;
  uint32_t exit_status;
  uint32_t user_event_pending;
  uint32_t ready_for_interrupt_injection;
  uint32_t request_interrupt_window;
  union {
    struct {
      uint8_t direction;
      uint8_t df;
      uint16_t size;
      uint16_t port;
      uint16_t count;
      uint8_t flags;
      uint8_t pad1;
      uint16_t pad2;
      uint32_t pad3;
      uint64_t vaddr;
    } io;
    struct {
      uint64_t gpa;
      uint32_t flags;
      uint32_t reserved1;
      uint64_t reserved2;
    } pagefault;
    struct {
      uint64_t rip;
      uint64_t dr6;
      uint64_t dr7;
    } debug;
  };
  uint64_t apic_base;
};

// Releases before 7.3.0 leave a MOVS between two devices to the client as one exit: from `gpa` to the address in `value`, or back.
enum FastMmioDirection : uint8_t { kMmioRead = 0, kMmioWrite = 1, kMmioMove = 2, kMmioMoveBack = 3 };

// At the start of the I/O buffer after a kExitFastMmio.
struct FastMmio {
  uint64_t gpa;
  uint64_t value;
  uint8_t size;
  uint8_t direction;  // FastMmioDirection
  uint16_t reg_index;
  uint32_t pad0;
  uint64_t cr0, cr2, cr3, cr4;
};

inline constexpr size_t kIoBufferSize = 64;

// Of our own requests: what RUN ended with, and what a client may write.
struct TunnelView {
  Tunnel tunnel;
  uint8_t buffer[kIoBufferSize];
};

struct TunnelChanges {
  uint8_t mask;  // which of the following: 1 exit_reason, 2 user_event_pending, 4 request_interrupt_window, 8 buffer
  uint8_t offset;
  uint8_t length;
  uint8_t pad;
  uint32_t exit_reason;
  uint32_t user_event_pending;
  uint32_t request_interrupt_window;
  uint8_t buffer[kIoBufferSize];
};

struct VmNumbers {
  uint32_t id;
  uint32_t vcpus;  // a bit for each that the driver has been asked for
};

struct SegmentDesc {
  uint16_t selector;
  uint16_t dummy;
  uint32_t limit;
  uint64_t base;
  uint32_t ar;  // VMX access rights
  uint32_t ipad;
};

// GET_REGS and SET_REGS move general registers, rip, rflags, control and debug registers and descriptors; the members behind dr7 are
// neither read nor written, and GET may leave kernel stack in them: EFER and SYSENTER travel as MSRs.
struct VcpuState {
  uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
  uint64_t r8_15[8];
  uint64_t rip, rflags;
  SegmentDesc cs, ss, ds, es, fs, gs, ldt, tr, gdt, idt;
  uint64_t cr0, cr2, cr3, cr4;
  uint64_t dr0, dr1, dr2, dr3, dr6, dr7;
  uint64_t pde;
  uint32_t efer;
  uint32_t sysenter_cs;
  uint64_t sysenter_eip, sysenter_esp;
  uint32_t activity_state, pad;
  uint64_t interruptibility_state;
};

// The first binaries of 7.8.0 (until January 2023) had xcr0 between cr4 and dr0.
inline constexpr size_t kXcr0Offset = 0x1a0;
inline constexpr size_t kVcpuStateSize = 512;
inline constexpr size_t kVcpuStateWithXcr0Size = 520;

struct MsrEntry {
  uint64_t entry;
  uint64_t value;
};

inline constexpr uint32_t kMaxMsrs = 31;  // the array has 32, a call with all of them is refused

struct MsrData {
  uint16_t nr_msr;
  uint16_t done;
  uint32_t pad;
  MsrEntry entries[32];
};

enum DebugControl : uint32_t { kDebugEnabled = 1, kDebugStep = 2, kDebugUseSwBp = 4, kDebugUseHwBp = 8 };

struct Debug {
  uint32_t control;
  uint32_t reserved;
  uint64_t dr[8];
};

struct CpuidEntry {
  uint32_t function, index, flags, eax, ebx, ecx, edx;
  uint32_t pad[3];
};

inline constexpr uint32_t kMaxCpuidEntries = 64;
inline constexpr uint32_t kMaxVcpus = 16;

struct Cpuid {
  uint32_t total;
  uint32_t pad;
  CpuidEntry entries[kMaxCpuidEntries];
};

struct FxLayout {
  uint8_t image[512];
};

static_assert(sizeof(CapabilityInfo) == 16 && sizeof(SetMemlimit) == 16 && sizeof(AllocRamInfo) == 16);
static_assert(sizeof(RamblockInfo) == 24 && sizeof(SetRamInfo) == 24 && sizeof(SetRamInfo2) == 40 && sizeof(ProtectRamInfo) == 24);
static_assert(sizeof(TunnelInfo) == 24 && sizeof(FastMmio) == 56 && sizeof(SegmentDesc) == 24 && sizeof(MsrData) == 520);
static_assert(sizeof(Debug) == 72 && sizeof(CpuidEntry) == 40 && offsetof(Cpuid, entries) == 8);
static_assert(sizeof(Tunnel) == 56 && offsetof(Tunnel, io) == 24 && offsetof(Tunnel, io.port) == 28 && offsetof(Tunnel, io.count) == 30);
static_assert(offsetof(Tunnel, io.flags) == 32 && offsetof(Tunnel, io.vaddr) == 40 && offsetof(Tunnel, apic_base) == 48);
static_assert(sizeof(TunnelView) == 120 && sizeof(TunnelChanges) == 80 && offsetof(TunnelChanges, buffer) == 16);
static_assert(sizeof(VcpuState) == kVcpuStateSize && offsetof(VcpuState, rip) == 0x80 && offsetof(VcpuState, cs) == 0x90);
static_assert(offsetof(VcpuState, idt) == 0x168 && offsetof(VcpuState, cr0) == 0x180 && offsetof(VcpuState, dr0) == kXcr0Offset);
static_assert(offsetof(VcpuState, efer) == 0x1d8 && offsetof(VcpuState, interruptibility_state) == 0x1f8);

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_ABI_H_
