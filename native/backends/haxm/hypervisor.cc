// The system node: opening, version, capabilities.
#include "backends/haxm/haxm.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "backends/registry.h"
#include "core/kick_signal.h"

namespace hax {

Status OpenHaxm(std::shared_ptr<Hypervisor>* out) { return haxm::HaxmHypervisor::Open(out); }

}  // namespace hax

namespace hax::haxm {

namespace {

// VERSION has answered 1 and 4 since 2017. Version 4 can unmap memory.
constexpr uint32_t kApiVersion = 4;
// The driver has no limit of its own on mappings; this one bounds our table.
constexpr uint32_t kMappings = 4096;

#if defined(__x86_64__) || defined(__i386__)

// CPUID leaf 7, EBX bit 20.
bool CpuHasSmap() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 20 & 1);
}

// CPUID leaf 0x80000008, EAX bits 7:0; 36 where the leaf is not there (Intel SDM vol. 3, 4.1.4).
uint32_t PhysicalBits() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) ? eax & 0xff : 36;
}

#else

bool CpuHasSmap() { return true; }
uint32_t PhysicalBits() { return 36; }

#endif

// HAX_HAXM_CPUID=1 says that they do work, with a mended driver or a kernel that does not use SMAP.
bool CpuidCallsWork() {
  const char* known = std::getenv("HAX_HAXM_CPUID");
  return !CpuHasSmap() || (known && std::string(known) == "1");
}

}  // namespace

Status HaxmHypervisor::Open(std::shared_ptr<Hypervisor>* out) {
  Status status = InstallKickSignal();
  if (!status.ok()) return status;
  auto hypervisor = std::make_shared<HaxmHypervisor>();
  status = hypervisor->node_.Open(SystemNode());
  if (status.ok()) status = hypervisor->Probe();
  if (status.ok()) *out = std::move(hypervisor);
  return status;
}

Status HaxmHypervisor::Probe() {
  ModuleVersion version = {};
  Status status = node_.Call(kVersion, &version);
  if (!status.ok())
    return Status::Error(Code::kApiVersion, kVersion.name, SystemNode() + " is not a HAXM device: " + status.detail, status.os_code);
  if (version.cur_version < kApiVersion || version.compat_version > kApiVersion) {
    return Status::Error(Code::kApiVersion, kVersion.name,
                         SystemNode() + " speaks HAXM API versions " + std::to_string(version.compat_version) + " to " +
                             std::to_string(version.cur_version) + ", node-hax needs 4; install HAXM 7.8.0");
  }
  status = node_.Call(kCapability, &info_);
  if (!status.ok()) return status;
  if (!(info_.wstatus & kWorking)) {
    std::string why;
    if (info_.winfo & kNoVt) why = "VT-x is missing, switched off in the firmware, or owned by another hypervisor";
    if (info_.winfo & kNoNx)
      why += std::string(why.empty() ? "" : "; ") + "NX (execute disable) is missing or switched off in the firmware";
    return Status::Error(Code::kUnsupported, kCapability.name,
                         SystemNode() + " cannot run guests: " + (why.empty() ? "it does not say why" : why));
  }
  cpuid_is_safe_ = Has(kCpuid) && CpuidCallsWork();
  address_end_ = uint64_t{1} << std::min<uint32_t>(PhysicalBits(), 52);
  max_gpa_ = std::min(MaxGpa(), address_end_);
  capabilities_.backend = "haxm";
  capabilities_.device = SystemNode();
  capabilities_.api_version = version.cur_version;
  Describe();
  return Status::Ok();
}

void HaxmHypervisor::Describe() {
  const auto add = [this](const char* name, int64_t value, std::string reason) {
    capabilities_.features.push_back({name, value, value ? "" : std::move(reason)});
  };
  const auto driver = [this, &add](const char* name, Feature feature, const char* why) { add(name, Has(feature), why); };
  add("immediateExit", 0, "HAXM looks at user_event_pending on exits only; a signal ends an entry within a tick of the host");
  for (const char* name : {"kernelIrqchip", "splitIrqchip", "pit", "tscDeadlineTimer"})
    add(name, 0, "HAXM has no interrupt controllers or timers");
  add("readOnlyMemory", 1, "");
  add("mpState", 0, "HAXM does not tell what a halted vCPU does");
  add("extendedCpuid", cpuid_is_safe_,
      Has(kCpuid) ? "this processor has SMAP, with which the driver's CPUID calls crash the kernel"
                  : "this release of the driver has no CPUID calls");
  for (const char* name : {"tssAddress", "identityMapAddress"}) add(name, 0, "HAXM needs no such pages");
  add("ioUring", 0, "HAXM looks at no flag before an entry: the watcher's thread ends slices, by a signal");
  add("maxVcpus", kMaxVcpus, "");
  add("recommendedVcpus", kMaxVcpus, "");
  add("memorySlots", kMappings, "");
  add("maxVms", MaxVms(), "");
  driver("ept", kEpt, "the processor lacks extended page tables");
  driver("unrestrictedGuest", kUnrestrictedGuest, "the processor lacks unrestricted guest mode: real mode cannot be run");
  driver("fastMmio", kFastMmio, "this release of the driver cannot decode MMIO");
  driver("ramProtection", kRamProtection, "this release of the driver has no PROTECT_RAM");
  driver("debug", kDebug, "this release of the driver has no VCPU_DEBUG");
  driver("implicitRamBlock", kImplicitRamBlock, "this release of the driver knows no standalone mappings");
  add("vcpuCpuid", 0, "HAXM has one CPUID table for all vCPUs of a VM, and leaves of its own choice");
  add("cr8", 0, "HAXM has no task priority: guests read 0 from CR8 and their writes are lost");
  add("memoryQuota", info_.wstatus & kQuotaValid ? static_cast<int64_t>(info_.mem_quota) : 0, "no quota is set");
}

Status HaxmHypervisor::SupportedCpuid(std::vector<hax::CpuidEntry>*) { return Status::Ok(); }

Status HaxmHypervisor::CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) {
  if (options.kernel_irqchip) {
    return Status::Error(Code::kUnsupported, kCreateVm.name, "HAXM has no interrupt controllers; create the VM with irqchip: 'user'");
  }
  // Observed: without EPT the driver says that it works, and its first VM crashes the kernel.
  if (!Has(kEpt))
    return Status::Error(Code::kUnsupported, kCreateVm.name,
                         "this processor lacks extended page tables, without which HAXM crashes the host");
  auto vm = std::make_shared<HaxmVm>(shared_from_this());
  Status status = vm->Reserve();
  if (!status.ok()) return status;
  uint32_t id = 0;
  status = node_.Call(kCreateVm, &id);
  // It is the driver's answer to everything, on Windows as EIO.
  if (status.os_code == ENOMEM || status.os_code == EIO) {
    status = Status::Error(Code::kIoctl, kCreateVm.name,
                           std::string(kCreateVm.name) + " failed: the driver has no room for another VM (" + std::to_string(MaxVms()) +
                               " of all processes together, and those that were made and never opened), no minor number for its node, " +
                               "no memory, or no VT-x",
                           status.os_code);
  }
  if (!status.ok()) return status;
  // At once: a VM that was never opened outlives the process.
  status = vm->Open(id);
  if (status.ok()) *out = std::move(vm);
  return status;
}

}  // namespace hax::haxm
