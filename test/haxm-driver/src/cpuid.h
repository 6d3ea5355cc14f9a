// What the guest reads with CPUID: HAXM's leaves and signature, nothing of KVM's. One table a VM; vCPU 0 makes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "abi.h"

namespace haxm_model {

class GuestCpuid {
 public:
  static constexpr uint32_t kLeaves = 18;

  void Make();

  // The arguments of GET_CPUID and SET_CPUID: the address of a pointer to the table.
  int Get(uint64_t argument);
  int Set(uint64_t argument);

  // Gives the table to a KVM vCPU unless it has this version already.
  void Apply(int vcpu_fd, uint32_t* version);

 private:
  void Take(const CpuidEntry& theirs);

  std::mutex lock_;
  bool made_ = false;
  std::atomic<uint32_t> version_{1};
  CpuidEntry leaves_[kLeaves] = {};
};

}  // namespace haxm_model
