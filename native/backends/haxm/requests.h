// Request numbers. One table of kind, number and argument size; each host system has its own way to make a number of them.
#ifndef NODE_HAX_BACKENDS_HAXM_REQUESTS_H_
#define NODE_HAX_BACKENDS_HAXM_REQUESTS_H_

#include <cstdint>

#include "backends/haxm/abi.h"

namespace hax::haxm {

// Which way the argument goes, as the request number says it.
enum class Transfer { kNone, kWrite, kRead, kBoth };

struct Request {
  const char* name;
  Transfer transfer;
  uint8_t number;
  uint16_t size;
  uint16_t windows_function;  // of CTL_CODE; 0: not there
};

inline constexpr Request kVersion = {"HAX_IOCTL_VERSION", Transfer::kBoth, 0x20, sizeof(ModuleVersion), 0x900};
inline constexpr Request kCreateVm = {"HAX_IOCTL_CREATE_VM", Transfer::kBoth, 0x21, sizeof(uint32_t), 0x901};
inline constexpr Request kCapability = {"HAX_IOCTL_CAPABILITY", Transfer::kRead, 0x23, sizeof(CapabilityInfo), 0x910};
inline constexpr Request kSetMemlimit = {"HAX_IOCTL_SET_MEMLIMIT", Transfer::kBoth, 0x24, sizeof(SetMemlimit), 0x911};
inline constexpr Request kVcpuCreate = {"HAX_VM_IOCTL_VCPU_CREATE", Transfer::kBoth, 0x80, sizeof(uint32_t), 0x902};
inline constexpr Request kAllocRam = {"HAX_VM_IOCTL_ALLOC_RAM", Transfer::kBoth, 0x81, sizeof(AllocRamInfo), 0x903};
inline constexpr Request kSetRam = {"HAX_VM_IOCTL_SET_RAM", Transfer::kBoth, 0x82, sizeof(SetRamInfo), 0x904};
inline constexpr Request kNotifyQemuVersion = {"HAX_VM_IOCTL_NOTIFY_QEMU_VERSION", Transfer::kWrite, 0x84, sizeof(QemuVersion), 0x910};
inline constexpr Request kAddRamblock = {"HAX_VM_IOCTL_ADD_RAMBLOCK", Transfer::kWrite, 0x85, sizeof(RamblockInfo), 0x913};
inline constexpr Request kSetRam2 = {"HAX_VM_IOCTL_SET_RAM2", Transfer::kBoth, 0x86, sizeof(SetRamInfo2), 0x914};
inline constexpr Request kProtectRam = {"HAX_VM_IOCTL_PROTECT_RAM", Transfer::kBoth, 0x87, sizeof(ProtectRamInfo), 0x915};
inline constexpr Request kRun = {"HAX_VCPU_IOCTL_RUN", Transfer::kNone, 0xc0, 0, 0x906};
inline constexpr Request kSetMsrs = {"HAX_VCPU_IOCTL_SET_MSRS", Transfer::kBoth, 0xc1, sizeof(MsrData), 0x907};
inline constexpr Request kGetMsrs = {"HAX_VCPU_IOCTL_GET_MSRS", Transfer::kBoth, 0xc2, sizeof(MsrData), 0x908};
inline constexpr Request kSetFpu = {"HAX_VCPU_IOCTL_SET_FPU", Transfer::kWrite, 0xc3, sizeof(FxLayout), 0x909};
inline constexpr Request kGetFpu = {"HAX_VCPU_IOCTL_GET_FPU", Transfer::kRead, 0xc4, sizeof(FxLayout), 0x90a};
inline constexpr Request kSetupTunnel = {"HAX_VCPU_IOCTL_SETUP_TUNNEL", Transfer::kBoth, 0xc5, sizeof(TunnelInfo), 0x90b};
inline constexpr Request kInterrupt = {"HAX_VCPU_IOCTL_INTERRUPT", Transfer::kBoth, 0xc6, sizeof(uint32_t), 0x90c};
inline constexpr Request kSetRegs = {"HAX_VCPU_SET_REGS", Transfer::kBoth, 0xc7, kVcpuStateSize, 0x90d};
inline constexpr Request kGetRegs = {"HAX_VCPU_GET_REGS", Transfer::kBoth, 0xc8, kVcpuStateSize, 0x90e};
inline constexpr Request kSetRegsWithXcr0 = {"HAX_VCPU_SET_REGS", Transfer::kBoth, 0xc7, kVcpuStateWithXcr0Size, 0x90d};
inline constexpr Request kGetRegsWithXcr0 = {"HAX_VCPU_GET_REGS", Transfer::kBoth, 0xc8, kVcpuStateWithXcr0Size, 0x90e};
inline constexpr Request kKickoff = {"HAX_VCPU_IOCTL_KICKOFF", Transfer::kNone, 0, 0, 0x90f};
inline constexpr Request kVcpuDebug = {"HAX_IOCTL_VCPU_DEBUG", Transfer::kWrite, 0xc9, sizeof(Debug), 0x916};
// The argument is a pointer to a pointer to the table; on Windows the table itself.
inline constexpr Request kSetCpuid = {"HAX_VCPU_IOCTL_SET_CPUID", Transfer::kWrite, 0xca, sizeof(uint64_t), 0x917};
inline constexpr Request kGetCpuid = {"HAX_VCPU_IOCTL_GET_CPUID", Transfer::kWrite, 0xcb, sizeof(uint64_t), 0x918};

// Ours, never sent to the driver: through them lib/hypervisor/haxm looks at what the driver shares with this process.
inline constexpr Request kReadTunnel = {"readTunnel", Transfer::kRead, 0xe0, sizeof(TunnelView), 0};
inline constexpr Request kWriteTunnel = {"writeTunnel", Transfer::kWrite, 0xe1, sizeof(TunnelChanges), 0};
inline constexpr Request kVmNumbers = {"vmNumbers", Transfer::kRead, 0xe2, sizeof(VmNumbers), 0};

// Linux: direction in bits 31:30 (1 write, 2 read), size in 29:16, type 0.
constexpr uint32_t LinuxCode(const Request& r) {
  const uint32_t direction = r.transfer == Transfer::kNone ? 0 : r.transfer == Transfer::kWrite ? 1 : r.transfer == Transfer::kRead ? 2 : 3;
  return direction << 30 | uint32_t{r.size} << 16 | r.number;
}

// BSD and Darwin: void, out (read) and in (write) in bits 31:29, 13 bits of size, group 0.
constexpr uint32_t BsdCode(const Request& r) {
  const uint32_t direction = r.transfer == Transfer::kNone    ? 0x20000000
                             : r.transfer == Transfer::kRead  ? 0x40000000
                             : r.transfer == Transfer::kWrite ? 0x80000000
                                                              : 0xc0000000;
  return direction | uint32_t{r.size} << 16 | r.number;
}

// CTL_CODE(0x4000, function, METHOD_BUFFERED, FILE_ANY_ACCESS).
constexpr uint32_t WindowsCode(const Request& r) { return 0x40000000 | uint32_t{r.windows_function} << 2; }

static_assert(LinuxCode(kVersion) == 0xc0080020 && LinuxCode(kCapability) == 0x80100023 && LinuxCode(kRun) == 0xc0);
static_assert(LinuxCode(kAddRamblock) == 0x40180085 && LinuxCode(kSetRegs) == 0xc20000c7 && LinuxCode(kGetFpu) == 0x820000c4);
static_assert(BsdCode(kCapability) == 0x40100023 && BsdCode(kRun) == 0x200000c0 && BsdCode(kSetFpu) == 0x820000c3);
static_assert(WindowsCode(kVersion) == 0x40002400 && WindowsCode(kGetCpuid) == 0x40002460);

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_REQUESTS_H_
