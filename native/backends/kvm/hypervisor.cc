// The system descriptor: opening, the version, capabilities and CPUID.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "backends/kvm/flex_table.h"
#include "backends/kvm/kvm.h"
#include "backends/registry.h"
#include "core/kick_signal.h"
#include "core/os.h"
#include "core/signals_blocked.h"

namespace hax {

Status OpenKvm(std::shared_ptr<Hypervisor>* out) {
  const char* path = os::Variable("HAX_KVM_DEVICE");
  return kvm::KvmHypervisor::Open(path ? path : "/dev/kvm", out);
}

}  // namespace hax

namespace hax::kvm {

namespace {

// The only version there has been since Linux 2.6.22 (api.rst 4.1); anything else is not the interface of this file.
constexpr int kApiVersion = 12;

struct Feature {
  const char* name;
  int capability;
  const char* kernel_name;
};

constexpr Feature kFeatures[] = {
    {"immediateExit", KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {"kernelIrqchip", KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {"splitIrqchip", KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    {"pit", KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {"readOnlyMemory", KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
    {"mpState", KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {"extendedCpuid", KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {"tssAddress", KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {"identityMapAddress", KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
    {"tscDeadlineTimer", KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER"},
    {"maxVcpus", KVM_CAP_MAX_VCPUS, "KVM_CAP_MAX_VCPUS"},
    {"recommendedVcpus", KVM_CAP_NR_VCPUS, "KVM_CAP_NR_VCPUS"},
    {"memorySlots", KVM_CAP_NR_MEMSLOTS, "KVM_CAP_NR_MEMSLOTS"},
};

// Without these there is no run loop: refused at open rather than found out later.
constexpr int kNeeded[] = {KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_USER_MEMORY, KVM_CAP_EXT_CPUID};

Status OpenFailed(const std::string& path, int error) {
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return Status::Error(Code::kNoDevice, "open", path + " is not there: " + std::strerror(error), error);
  }
  if (error == EACCES || error == EPERM) {
    return Status::Error(Code::kNoPermission, "open", path + " cannot be opened by this user: " + std::strerror(error), error);
  }
  return Status::Error(Code::kIoctl, "open", "opening " + path + " failed: " + std::strerror(error), error);
}

}  // namespace

Status KvmHypervisor::Open(const std::string& path, std::shared_ptr<Hypervisor>* out) {
  HAX_RETURN_IF_ERROR(InstallKickSignal());
  Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return OpenFailed(path, errno);
  std::shared_ptr<KvmHypervisor> hypervisor(new KvmHypervisor(std::move(fd)));
  HAX_RETURN_IF_ERROR(hypervisor->Probe(path));
  *out = std::move(hypervisor);
  return Status::Ok();
}

int KvmHypervisor::Extension(int capability) const {
  const int value = ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability);
  return value < 0 ? 0 : value;
}

Status KvmHypervisor::Probe(const std::string& path) {
  int version = ioctl(fd_.get(), KVM_GET_API_VERSION, 0);
  if (version != kApiVersion) {
    const int error = version < 0 ? errno : 0;
    return Status::Error(Code::kApiVersion, "KVM_GET_API_VERSION",
                         version < 0 ? path + " is not a KVM device: " + std::strerror(error)
                                     : path + " speaks KVM API version " + std::to_string(version) + ", node-hax needs 12",
                         error);
  }
  for (const int needed : kNeeded) {
    if (Extension(needed) == 0) {
      return Status::Error(
          Code::kUnsupported, "KVM_CHECK_EXTENSION",
          path + " lacks capability " + std::to_string(needed) + ", which node-hax cannot do without; use Linux 4.11 or newer");
    }
  }
  int size = 0;
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_GET_VCPU_MMAP_SIZE, 0, &size));
  if (size < static_cast<int>(sizeof(kvm_run))) {
    return Status::Error(Code::kApiVersion, "KVM_GET_VCPU_MMAP_SIZE", path + " maps less than struct kvm_run");
  }
  run_size_ = static_cast<size_t>(size);
  capabilities_.backend = "kvm";
  capabilities_.device = path;
  capabilities_.api_version = static_cast<uint32_t>(version);
  for (const Feature& feature : kFeatures) {
    const int value = Extension(feature.capability);
    capabilities_.features.push_back({feature.name, value, value ? "" : std::string("this kernel reports no ") + feature.kernel_name});
  }
  const std::string& refusal = SliceRing::Refusal();
  capabilities_.features.push_back({"ioUring", refusal.empty(), refusal});
  return Status::Ok();
}

Status KvmHypervisor::SupportedCpuid(std::vector<CpuidEntry>* out) {
  // The kernel answers E2BIG until the table is large enough (api.rst 4.46).
  for (uint32_t capacity = 128; capacity <= 4096; capacity *= 2) {
    FlexTable<kvm_cpuid_entry2> table(capacity);
    Status status = Call(fd_, kGetSupportedCpuid, "KVM_GET_SUPPORTED_CPUID", table.header());
    if (status.os_code == E2BIG) continue;
    if (!status.ok()) return status;
    for (uint32_t i = 0; i < table.header()->count; i++) {
      const kvm_cpuid_entry2& e = table[i];
      out->push_back({e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx});
    }
    return Status::Ok();
  }
  return Status::Os("KVM_GET_SUPPORTED_CPUID", E2BIG);
}

Status KvmHypervisor::CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) {
  int fd = -1;
  {
    // Any signal interrupts it where the kernel takes locks of the process's memory (mm_take_all_locks()); those of a profiler come faster.
    // So does a ring of another vCPU, which nothing blocks, once.
    const SignalsBlocked blocked;
    Status status;
    do {
      status = HAX_KVM_CALL(fd_, KVM_CREATE_VM, static_cast<unsigned long>(options.type), &fd);
    } while (status.os_code == EINTR);
    if (!status.ok()) return status;
  }
  const int slots = Extension(KVM_CAP_NR_MEMSLOTS);
  auto vm = std::make_shared<KvmVm>(shared_from_this(), Fd(fd), slots > 0 ? static_cast<uint32_t>(slots) : 32);
  HAX_RETURN_IF_ERROR(vm->Configure(options));
  *out = std::move(vm);
  return Status::Ok();
}

}  // namespace hax::kvm
