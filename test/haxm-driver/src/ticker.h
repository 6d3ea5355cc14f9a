// Host interrupts: the real driver returns from RUN at each one, KVM does not. A thread of ours sends the vCPUs' threads a signal
// instead, only while they are in a guest.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>

namespace haxm_model {

class Vm;

// One vCPU as the ticker sees it. Registered for as long as it lives.
struct Runner {
  explicit Runner(const Vm* vm);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  const Vm* const vm;
  std::atomic<int> thread{0};     // in KVM_RUN, or about to be
  std::atomic<uint32_t> runs{0};  // the client's, each of many KVM_RUNs where KVM exits and the driver does not
  uint32_t ticked = 0;
  Runner* next = nullptr;
};

// Around KVM_RUN, on its thread: from here to EndRun a tick makes KVM_RUN return with EINTR.
void BeginRun(Runner* runner, kvm_run* run);
void EndRun(Runner* runner, kvm_run* run);

void KickAll(const Vm* vm);

void ForgetTickerInChild();

}  // namespace haxm_model
