#include "vm.h"

#include <algorithm>
#include <cerrno>

#include "config.h"
#include "driver.h"
#include "kvm.h"
#include "msrs.h"
#include "sys.h"
#include "ticker.h"
#include "vcpu.h"

namespace haxm_model {

void Gate::Enter() {
  std::unique_lock<std::mutex> lock(lock_);
  change_.wait(lock, [this] { return closers_ == 0; });
  inside_++;
}

void Gate::Leave() {
  const std::lock_guard<std::mutex> lock(lock_);
  if (--inside_ == 0 && closers_) change_.notify_all();
}

void Gate::Shut() {
  const std::lock_guard<std::mutex> lock(lock_);
  closers_++;
}

void Gate::Close() {
  std::unique_lock<std::mutex> lock(lock_);
  change_.wait(lock, [this] { return inside_ == 0; });
}

void Gate::Open() {
  const std::lock_guard<std::mutex> lock(lock_);
  if (--closers_ == 0) change_.notify_all();
}

std::shared_ptr<Vm> Vm::Create(uint32_t id) {
  auto vm = std::make_shared<Vm>(id);
  if (!TheConfig().null_device && !vm->Open()) return nullptr;
  return vm;
}

Vm::~Vm() {
  if (fd_ >= 0) Syscall(SYS_close, fd_);
}

bool Vm::Open() {
  const KvmHost* host = TheKvm();
  if (!host) return false;
  const long fd = CreateKvmVm(*host);
  if (fd < 0) {
    Log("haxm-model: KVM_CREATE_VM: %ld", fd);
    return false;
  }
  fd_ = MoveUp(static_cast<int>(fd));
  haxm_model::Ioctl(fd_, KVM_SET_TSS_ADDR, 0xfeffd000);  // only a processor without unrestricted guests looks at it
  return InterceptMsrs(fd_);
}

int Vm::Ioctl(const std::shared_ptr<Vm>& self, uint32_t request, uint64_t argument) {
  const int injected = InjectedFailure(request);
  if (injected) return injected;
  switch (request) {
    case kVcpuCreate:
    case kVcpuCreateOrig:
      return CreateVcpu(self, argument);
    case kAllocRam:
    case kAddRamblock:
    case kSetRam:
    case kSetRam2:
    case kProtectRam:
      return ChangeMemory(request, argument);
    case kNotifyQemuVersion: {
      uint64_t versions;
      return CopyIn(&versions, argument);
    }
    default:
      Log("haxm_error: Unknown VM IOCTL %#x", request);
      return 0;  // VCPU_DESTROY too
  }
}

// The driver's lists of memory have no lock: a vCPU in RUN reads what is freed here.
void Vm::BeginRun() {
  running_++;
  if (changing_ && TheConfig().races) Oops("RUN beside a change of the VM's memory");
}

void Vm::EndRun() { running_--; }

int Vm::ChangeMemory(uint32_t request, uint64_t argument) {
  changing_++;
  if (running_ && TheConfig().races) Oops("a change of the VM's memory beside a RUN");
  const auto change = [&] {
    switch (request) {
      case kAllocRam:
        return AllocRam(argument);
      case kAddRamblock:
        return AddRamblock(argument);
      case kSetRam:
        return SetRam(argument);
      case kSetRam2:
        return SetRam2(argument);
      default:
        return ProtectRam(argument);
    }
  };
  const int result = change();
  changing_--;
  return result;
}

int Vm::AllocRam(uint64_t argument) {
  AllocRamInfo info;
  if (CopyIn(&info, argument)) return -EFAULT;
  if (info.size == 0) Log("haxm_error: handle_alloc_ram: size == 0");
  return ram_.AddBlock(info.va, info.size);
}

int Vm::AddRamblock(uint64_t argument) {
  RamblockInfo info;
  if (CopyIn(&info, argument)) return -EFAULT;
  if (info.reserved) return -EINVAL;
  return ram_.AddBlock(info.va, info.size);
}

int Vm::SetRam(uint64_t argument) {
  SetRamInfo info;
  if (CopyIn(&info, argument)) return -EFAULT;
  const int result = ram_.SetMapping(info.gpa, info.size, info.va, info.flags);
  return result ? result : SyncSlots();
}

int Vm::SetRam2(uint64_t argument) {
  SetRamInfo2 info;
  if (CopyIn(&info, argument)) return -EFAULT;
  if (info.reserved1 || info.reserved2) return -EINVAL;
  const int result = ram_.SetMapping(info.gpa, info.size, info.va, info.flags);
  return result ? result : SyncSlots();
}

int Vm::ProtectRam(uint64_t argument) {
  ProtectRamInfo info;
  if (CopyIn(&info, argument)) return -EFAULT;
  if (info.reserved) return -EINVAL;
  const int result = ram_.Protect(info.gpa, info.size, info.flags);
  return result ? result : SyncSlots();
}

int Vm::SyncSlots() {
  if (fd_ < 0) return 0;
  const std::lock_guard<std::mutex> lock(slot_lock_);
  const std::vector<Slot> wanted = ram_.Slots();
  const auto is_wanted = [&wanted](const Slot& slot) { return std::find(wanted.begin(), wanted.end(), slot) != wanted.end(); };
  gate_.Shut();
  KickAll(this);
  gate_.Close();
  for (auto at = known_.begin(); at != known_.end();) {
    if (is_wanted(at->slot)) {
      ++at;
      continue;
    }
    kvm_userspace_memory_region region{};
    region.slot = at->number;
    haxm_model::Ioctl(fd_, KVM_SET_USER_MEMORY_REGION, &region);
    free_numbers_.push_back(at->number);
    at = known_.erase(at);
  }
  for (const Slot& slot : wanted) {
    const auto same = [&slot](const KnownSlot& known) { return known.slot == slot; };
    if (std::any_of(known_.begin(), known_.end(), same)) continue;
    kvm_userspace_memory_region region{};
    if (free_numbers_.empty()) free_numbers_.push_back(next_number_++);
    region.slot = free_numbers_.back();
    region.flags = slot.rom ? KVM_MEM_READONLY : 0;
    region.guest_phys_addr = slot.gpa;
    region.memory_size = slot.size;
    region.userspace_addr = slot.va;
    const long result = haxm_model::Ioctl(fd_, KVM_SET_USER_MEMORY_REGION, &region);
    if (result < 0) {
      Log("haxm-model: KVM refuses the slot at %#lx of %#lx bytes: %ld", slot.gpa, slot.size, result);
      continue;
    }
    free_numbers_.pop_back();
    known_.push_back({slot, region.slot});
  }
  gate_.Open();
  return 0;
}

}  // namespace haxm_model
