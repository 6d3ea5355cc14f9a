// The memory that a vCPU shares with JavaScript: what the last run() ended with, and the register state in transfer.
// JavaScript reads it through typed arrays made once (lib/native/layout.ts holds the same offsets; scripts/check-layouts compares).
#ifndef NODE_HAX_CORE_EXIT_PAGE_H_
#define NODE_HAX_CORE_EXIT_PAGE_H_

#include <cstddef>
#include <cstdint>

namespace hax {

inline constexpr uint32_t kExitPageVersion = 2;
inline constexpr size_t kExitDataSize = 4096;

enum class ExitKind : uint32_t {
  kNone = 0,  // Run() failed
  kIo = 1,
  kMmio = 2,
  kHlt = 3,
  kIrqWindow = 4,
  kInterrupted = 5,  // subcode: an InterruptReason
  kShutdown = 6,
  kDebug = 7,
  kMsr = 8,
  kHypercall = 9,
  kSystemEvent = 10,
  kMemoryFault = 11,
  kFailEntry = 12,
  kInternalError = 13,
  kUnknown = 14,
  kException = 15,
  kSetTpr = 16,
  kTprAccess = 17,
  kNmi = 18,
  kIoapicEoi = 19,
  kHyperv = 20,
  kDirtyRingFull = 21,
  kBusLock = 22,
  kNotify = 23,
  kXen = 24,
};

enum class InterruptReason : uint32_t { kKick = 1, kSlice = 2 };
enum class Direction : uint32_t { kIn = 0, kOut = 1 };

// In cache lines: what an exit of a port says is one, with the first bytes of data. What the thread that owns the devices counts and what
// the thread counts that enters the guest are apart, since in threaded mode they are two.
struct ExitPage {
  uint32_t version;
  uint32_t instruction_length;
  uint8_t instruction[20];  // the bytes that could not be emulated; 15 at most are used
  uint32_t reserved;
  // Counters, since the vCPU was made; first the owner's.
  uint64_t javascript_ns;  // wall time in JavaScript that served exits; this and guest_ns are estimates in slices with many exits
  uint64_t blocking_ns;    // the part of guest_ns that was spent in enter()
  uint64_t taken;          // exits that needed no JavaScript: posted writes of the native ring, reads with a standing answer
  uint64_t slow_calls;     // of run(), by code that V8 had not compiled yet, or where it can do no better
  uint64_t detail[8];      // what else the exit says, by kind
  uint64_t entries;        // times the guest was entered
  uint64_t interrupted;    // entries ended by a signal that was nobody's kick
  uint64_t kicks;          // stop words consumed
  uint64_t guest_ns;       // wall time inside the guest; GuestTimeSince() while a vCPU thread is inside
  uint64_t reserved2[4];
  uint32_t kind;
  uint32_t port;
  uint32_t size;       // bytes of one access: 1, 2, 4; MMIO 1 to 8
  uint32_t count;      // elements of a string operation, 1 otherwise
  uint32_t direction;  // a Direction: in is a read that wants a reply in data
  uint32_t raw_code;   // the backend's own exit number
  uint32_t subcode;    // suberror, event type, interrupt reason
  uint32_t reserved3;
  uint64_t address;  // guest-physical address, MSR index or hypercall number
  // Interrupts, where their controller is not the kernel's.
  uint32_t interrupt_ready;  // after an exit: Inject() would be taken at once
  uint32_t request_window;   // written by JavaScript: end the next entry as kIrqWindow as soon as the guest takes interrupts
  uint64_t reserved4;
  uint8_t data[kExitDataSize];
};

static_assert(offsetof(ExitPage, detail) == 64);
static_assert(offsetof(ExitPage, entries) == 128);
static_assert(offsetof(ExitPage, kind) == 192);
static_assert(offsetof(ExitPage, data) == 248);

// What guest_ns says while a thread of its own runs the guest, in one word, so that a reader needs no lock: the top bit, and the moment,
// on the monotonic clock, when the guest would have begun if all of its time had been one stay.
constexpr uint64_t GuestTimeSince(uint64_t start, uint64_t guest_ns) { return (1ull << 63) | (start - guest_ns); }

struct SegmentState {
  uint64_t base;
  uint32_t limit;
  uint32_t attributes;  // VMX access rights, Intel SDM vol. 3, 24.4.1
  uint32_t selector;
  uint32_t reserved;
};

struct TableState {
  uint64_t base;
  uint32_t limit;
  uint32_t reserved;
};

struct MsrState {
  uint32_t index;
  uint32_t reserved;
  uint64_t value;
};

inline constexpr size_t kGeneralRegisters = 18;  // rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags
inline constexpr size_t kSegments = 8;           // cs ds es fs gs ss tr ldt
inline constexpr size_t kMaxMsrs = 128;

struct StateBlock {
  uint64_t general[kGeneralRegisters];
  SegmentState segments[kSegments];
  TableState gdt;
  TableState idt;
  uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
  uint32_t mp_state;
  uint32_t msr_count;               // in: how many of msrs to move; out: how many were
  alignas(16) uint8_t fxsave[512];  // the FXSAVE image of 64-bit mode, Intel SDM vol. 1, 10.5.1
  MsrState msrs[kMaxMsrs];
};

// Which parts of the block getState and setState move.
enum StateMask : uint32_t {
  kStateGeneral = 1,
  kStateSystem = 2,  // segments, tables, control registers
  kStateFpu = 4,
  kStateMp = 8,
  kStateMsrs = 16,
  kStateAll = 31,
};

// One allocation a vCPU, one ArrayBuffer in JavaScript.
struct VcpuShared {
  ExitPage exit;
  alignas(64) StateBlock state;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_EXIT_PAGE_H_
