// Guest memory seen through a vCPU's registers: linear addresses, paging, the mode it decodes in.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

#include "ram.h"

namespace haxm_model {

constexpr uint64_t kCr0Pe = 1;
constexpr uint64_t kCr0Pg = uint64_t{1} << 31;
constexpr uint64_t kCr4Pse = 1 << 4;
constexpr uint64_t kCr4Pae = 1 << 5;
constexpr uint64_t kEferLme = 1 << 8;
constexpr uint64_t kEferLma = 1 << 10;
constexpr uint64_t kFlagTrap = 1 << 8;
constexpr uint64_t kFlagInterrupt = 1 << 9;
constexpr uint64_t kFlagDirection = 1 << 10;
constexpr uint64_t kFlagResume = 1 << 16;
constexpr uint64_t kFlagVm86 = 1 << 17;

enum class Mode { k16, k32, k64 };

enum class SegmentName : int8_t { kEs, kCs, kSs, kDs, kFs, kGs, kNone = -1 };  // in the order of instruction encodings

class GuestView {
 public:
  GuestView(const Ram& ram, const kvm_sregs& sregs, uint64_t rflags) : ram_(ram), sregs_(sregs), rflags_(rflags) {}

  Mode mode() const;
  uint64_t Linear(SegmentName segment, uint64_t offset) const;

  // False: not present.
  bool Translate(uint64_t linear, uint64_t* gpa) const;

  // How many bytes could be copied: up to the first that is not guest RAM.
  size_t Read(uint64_t linear, void* to, size_t size) const;
  size_t Write(uint64_t linear, const void* from, size_t size) const;

 private:
  bool Load(uint64_t gpa, void* to, size_t size) const;
  bool Translate32(uint64_t linear, uint64_t* gpa) const;
  bool TranslateLong(uint64_t linear, uint64_t table, int levels, uint64_t* gpa) const;

  const Ram& ram_;
  const kvm_sregs& sregs_;
  const uint64_t rflags_;
};

}  // namespace haxm_model
