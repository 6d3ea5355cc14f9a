// The VM descriptor: memory slots, the kernel's interrupt controller and timer.
#include <cinttypes>
#include <cstdio>

#include "backends/kvm/kvm.h"

namespace hax::kvm {

namespace {

// Intel's VMX needs three pages for real mode and one for an identity map where no guest memory lies (api.rst 4.35, 4.49).
// Below the BIOS area of a PC, above any RAM below 4 GiB.
constexpr uint64_t kIdentityMapAddress = 0xfffbc000;
constexpr uint64_t kTssAddress = 0xfffbd000;
constexpr uint32_t kMaxGsi = 4096;  // KVM_MAX_IRQ_ROUTES

}  // namespace

Status KvmVm::Configure(const VmOptions& options) {
  if (hypervisor_->Extension(KVM_CAP_SET_IDENTITY_MAP_ADDR)) {
    uint64_t address = kIdentityMapAddress;
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_IDENTITY_MAP_ADDR, &address));
  }
  if (hypervisor_->Extension(KVM_CAP_SET_TSS_ADDR)) {
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_TSS_ADDR, static_cast<unsigned long>(kTssAddress)));
  }
  if (!options.kernel_irqchip) return Status::Ok();
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_CREATE_IRQCHIP, 0));
  has_irqchip_ = true;
  if (options.pit) {
    kvm_pit_config config = {};
    config.flags = KVM_PIT_SPEAKER_DUMMY;  // port 0x61 answered by the kernel as well (api.rst 4.71)
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_CREATE_PIT2, &config));
  }
  return Status::Ok();
}

Status KvmVm::MapMemory(Mapping mapping) {
  HAX_RETURN_IF_ERROR(map_.Check(&mapping));
  if (mapping.read_only && !hypervisor_->Extension(KVM_CAP_READONLY_MEM)) {
    return Status::Error(Code::kUnsupported, "KVM_SET_USER_MEMORY_REGION",
                         "read-only guest memory: this kernel reports no KVM_CAP_READONLY_MEM");
  }
  kvm_userspace_memory_region region = {};
  region.slot = mapping.slot;
  region.flags = mapping.read_only ? KVM_MEM_READONLY : 0;
  region.guest_phys_addr = mapping.gpa;
  region.memory_size = mapping.size;
  // SAFETY: the range lies inside mapping.memory (checked), which map_ keeps until the slot or the descriptor is gone.
  region.userspace_addr = reinterpret_cast<uint64_t>(mapping.memory->data() + mapping.offset);
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_USER_MEMORY_REGION, &region));
  map_.Insert(mapping);
  return Status::Ok();
}

Status KvmVm::UnmapMemory(uint64_t gpa) {
  const Mapping* mapping = map_.Find(gpa);
  if (!mapping) {
    char text[64];
    std::snprintf(text, sizeof text, "no memory range starts at 0x%" PRIx64, gpa);
    return Status::Error(Code::kInvalidArgument, "unmapMemory", text);
  }
  kvm_userspace_memory_region region = {};
  region.slot = mapping->slot;
  region.guest_phys_addr = mapping->gpa;
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_USER_MEMORY_REGION, &region));
  map_.Erase(gpa);
  return Status::Ok();
}

Status KvmVm::CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) {
  // The kernel gives an id once: a vCPU whose page could not be mapped is the next attempt's.
  auto made = unmapped_.find(id);
  if (made == unmapped_.end()) {
    int fd = -1;
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_CREATE_VCPU, static_cast<unsigned long>(id), &fd));
    made = unmapped_.emplace(id, Fd(fd)).first;
  }
  HAX_RETURN_IF_ERROR(KvmVcpu::Create(shared_from_this(), &made->second, hypervisor_->run_size(), out));
  unmapped_.erase(made);
  return Status::Ok();
}

Status KvmVm::SetLine(uint32_t gsi, bool level) {
  if (gsi >= kMaxGsi) {
    return Status::Error(Code::kInvalidArgument, "KVM_IRQ_LINE", "an interrupt line is a number below " + std::to_string(kMaxGsi));
  }
  kvm_irq_level line = {};
  line.irq = gsi;
  line.level = level ? 1 : 0;
  return HAX_KVM_CALL(fd_, KVM_IRQ_LINE, &line);
}

}  // namespace hax::kvm
