// GET_FPU and SET_FPU: an FXSAVE image that nobody checks.
#include <cerrno>
#include <cstring>

#include "config.h"
#include "kvm.h"
#include "sys.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr size_t kImageUsed = 416;  // up to XMM15; what follows is the client's own
constexpr size_t kMxcsr = 24;
constexpr size_t kMxcsrMask = 28;
constexpr size_t kComponents = 512;  // XSTATE_BV
constexpr uint32_t kMxcsrBits = 0xffff;

}  // namespace

int Vcpu::GetFpu(uint64_t argument) {
  XsaveArea area;
  if (fpu_stale_ && haxm_model::Ioctl(fd_, kKvmGetXsave, &area) == 0) {
    memcpy(fpu_.bytes, area.bytes, kImageUsed);
    uint32_t mask;
    memcpy(&mask, fpu_.bytes + kMxcsrMask, sizeof mask);
    if (mask == 0) memcpy(fpu_.bytes + kMxcsrMask, &kMxcsrBits, sizeof kMxcsrBits);
    fpu_stale_ = false;
  }
  return CopyOut(argument, fpu_);
}

int Vcpu::SetFpu(uint64_t argument) {
  if (CopyIn(&fpu_, argument)) return -EFAULT;
  fpu_dirty_ = true;
  fpu_stale_ = false;
  return 0;
}

void Vcpu::FlushFpu() {
  XsaveArea area;
  if (haxm_model::Ioctl(fd_, kKvmGetXsave, &area) < 0) return;
  uint8_t* bytes = area.bytes;
  uint32_t mxcsr;
  memcpy(&mxcsr, fpu_.bytes + kMxcsr, sizeof mxcsr);
  if (mxcsr & ~kMxcsrBits) Oops("RUN with reserved bits in MXCSR");
  memcpy(bytes, fpu_.bytes, kMxcsr);
  memcpy(bytes + kMxcsr, &mxcsr, sizeof mxcsr);
  memcpy(bytes + 32, fpu_.bytes + 32, kImageUsed - 32);
  bytes[kComponents] |= 3;  // x87 and SSE are there
  const long result = haxm_model::Ioctl(fd_, kKvmSetXsave, &area);
  if (result < 0) Log("haxm-model: KVM_SET_XSAVE: %ld", result);
  fpu_dirty_ = false;
}

}  // namespace haxm_model
