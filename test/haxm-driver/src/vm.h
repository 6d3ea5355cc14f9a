// A VM: its KVM machine, guest memory, vCPUs and CPUID table; and the requests of a VM node.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "abi.h"
#include "cpuid.h"
#include "ram.h"

namespace haxm_model {

class Vcpu;

// What the registry knows of a node.
struct Node {
  uint32_t minor_index = 0;
  uint64_t inode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  bool opened = false;
  uint32_t refused = 0;  // openings, for HAXM_MODEL_LATE_NODES
};

// Lets vCPUs enter KVM together and memory slots change alone: KVM replaces a slot in two steps, and a guest must not see the gap.
class Gate {
 public:
  void Enter();
  void Leave();
  void Close();  // waits until nobody is inside; whoever closes it kicks the vCPUs first and after
  void Open();
  void Shut();  // nobody enters from now on

 private:
  std::mutex lock_;
  std::condition_variable change_;
  int inside_ = 0;
  int closers_ = 0;
};

class Vm {
 public:
  static std::shared_ptr<Vm> Create(uint32_t id);
  explicit Vm(uint32_t number) : id(number) {}
  ~Vm();
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  int Ioctl(const std::shared_ptr<Vm>& self, uint32_t request, uint64_t argument);

  const uint32_t id;
  Node node;
  uint32_t references = 1;  // its creation and each vCPU; the registry's lock guards these three
  std::shared_ptr<Vcpu> vcpus[kMaxVcpus];

  int fd() const { return fd_; }
  Ram& ram() { return ram_; }
  Gate& gate() { return gate_; }
  GuestCpuid& cpuid() { return cpuid_; }
  uint32_t NextKvmId() { return next_kvm_id_++; }
  // Around each RUN of its vCPUs.
  void BeginRun();
  void EndRun();

 private:
  bool Open();
  int ChangeMemory(uint32_t request, uint64_t argument);
  int AllocRam(uint64_t argument);
  int AddRamblock(uint64_t argument);
  int SetRam(uint64_t argument);
  int SetRam2(uint64_t argument);
  int ProtectRam(uint64_t argument);
  int SyncSlots();

  int fd_ = -1;
  uint32_t next_kvm_id_ = 0;
  Ram ram_;
  Gate gate_;
  GuestCpuid cpuid_;
  std::mutex slot_lock_;
  struct KnownSlot {
    Slot slot;
    uint32_t number;
  };
  std::vector<KnownSlot> known_;
  std::vector<uint32_t> free_numbers_;
  uint32_t next_number_ = 0;
  std::atomic<int> running_{0};   // vCPUs in RUN
  std::atomic<int> changing_{0};  // requests that change memory
};

}  // namespace haxm_model
