// GET_MSRS and SET_MSRS, and what the guest's RDMSR and WRMSR come to when KVM hands them over.
#include <cerrno>

#include "kvm.h"
#include "sys.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr uint32_t kTsc = 0x10;
constexpr uint32_t kApicBase = 0x1b;
constexpr uint32_t kSysenterCs = 0x174;
constexpr uint32_t kPat = 0x277;
constexpr uint32_t kEfer = 0xc0000080;
constexpr uint32_t kFsBase = 0xc0000100;
constexpr uint32_t kGsBase = 0xc0000101;
constexpr uint32_t kTscAux = 0xc0000103;
constexpr uint64_t kEferBits = 0xd01;  // SCE, LME, LMA, NXE
constexpr uint64_t kApicBaseBsp = 0x100;
constexpr uint64_t kApicBaseBits = 0xfffff900;
constexpr uint64_t kApicBaseAddress = 0xfee00000;

bool KvmMsr(int fd, unsigned long request, uint32_t index, uint64_t* value) {
  OneMsr one;
  one.entry.index = index;
  one.entry.data = *value;
  const long done = Ioctl(fd, request, &one);
  *value = one.entry.data;
  return done == 1;
}

// Addresses, which the processor wants sign-extended from bit 47.
bool IsAddress(uint32_t index) {
  return index == 0x175 || index == 0x176 || index == 0xc0000082 || index == 0xc0000083 || (index >= kFsBase && index <= 0xc0000102);
}

bool IsPat(uint64_t value) {
  for (int i = 0; i < 8; i++, value >>= 8) {
    const uint64_t type = value & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}

}  // namespace

bool Vcpu::ReadMsr(uint32_t index, uint64_t* value) {
  const auto unloadable = unloadable_.find(index);
  if (unloadable != unloadable_.end()) {
    *value = unloadable->second;
  } else if (index == kApicBase) {
    *value = apic_base_;
  } else if (index == kEfer) {
    *value = Efer();
  } else if (index == kFsBase) {
    *value = sregs().fs.base;
  } else if (index == kGsBase) {
    *value = sregs().gs.base;
  } else if (IsKvmMsr(index)) {
    *value = 0;
    return KvmMsr(fd_, kKvmGetMsrs, index, value);
  } else {
    return stored_.Read(index, value);
  }
  return true;
}

bool Vcpu::WriteMsr(uint32_t index, uint64_t value) {
  if (IsAddress(index)) {
    unloadable_.erase(index);
    if (static_cast<uint64_t>(static_cast<int64_t>(value << 16) >> 16) != value) {
      unloadable_[index] = value;
      return true;
    }
  }
  switch (index) {
    case kApicBase:
      if (value & ~kApicBaseBits || (value & 0xfffff000) != kApicBaseAddress || (value & kApicBaseBsp && id_ != 0)) return false;
      apic_base_ = value;
      sregs_dirty_ = true;
      return true;
    case kEfer:
      if (value & ~kEferBits) return false;
      sregs().efer = value;
      sregs_dirty_ = true;
      return true;
    case kFsBase:
      sregs().fs.base = shown_[kFs].base = cached_[kFs].base = value;
      fs_base_waits_ = true;
      sregs_dirty_ = true;
      return true;
    case kGsBase:
      sregs().gs.base = shown_[kGs].base = value;
      sregs_dirty_ = true;
      return true;
    case kPat:
      if (!IsPat(value)) return false;
      break;
    case kTscAux:
      if (value >> 32) return false;
      break;
    case kSysenterCs:
      value &= 0xffff;
      break;
    case kTsc:
      break;
    default:
      if (!IsKvmMsr(index)) return stored_.Write(index, value);
  }
  return KvmMsr(fd_, kKvmSetMsrs, index, &value);
}

int Vcpu::GetMsrs(uint64_t argument) {
  MsrData data;
  if (CopyIn(&data, argument) || data.count >= kMaxMsrs) return -EFAULT;
  VcpuState state{};
  ShowState(&state);  // so that what the guest did to its segments is known before they are touched
  data.done = 0;
  while (data.done < data.count) {
    Msr& msr = data.entries[data.done];
    uint64_t value = 0;
    if (msr.index >> 32 || !ReadMsr(static_cast<uint32_t>(msr.index), &value)) break;
    msr.value = value;
    data.done++;
  }
  return CopyOut(argument, data);
}

// The count of those done is not copied back: a refused register goes unnoticed.
int Vcpu::SetMsrs(uint64_t argument) {
  MsrData data;
  if (CopyIn(&data, argument) || data.count >= kMaxMsrs) return -EFAULT;
  VcpuState state{};
  ShowState(&state);
  for (int i = 0; i < data.count; i++) {
    const Msr& msr = data.entries[i];
    if (msr.index >> 32 || !WriteMsr(static_cast<uint32_t>(msr.index), msr.value)) break;
  }
  return 0;
}

}  // namespace haxm_model
