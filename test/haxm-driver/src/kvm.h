// The host's KVM: opened once a process, its habits found out by trying them.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

namespace haxm_model {

// Structures of linux/kvm.h that end in a flexible array: g++ gives them another size than the kernel does, and so other requests.
struct CpuidTable {
  static constexpr unsigned kRoom = 256;
  uint32_t count = 0;
  uint32_t pad = 0;
  kvm_cpuid_entry2 entries[kRoom] = {};
};

struct OneMsr {
  uint32_t count = 1;
  uint32_t pad = 0;
  kvm_msr_entry entry{};
};

struct XsaveArea {
  uint8_t bytes[4096] = {};
};

struct Table8 {
  uint32_t words[2];
};

constexpr unsigned long kKvmGetSupportedCpuid = _IOWR(KVMIO, 0x05, Table8);
constexpr unsigned long kKvmSetCpuid2 = _IOW(KVMIO, 0x90, Table8);
constexpr unsigned long kKvmGetMsrs = _IOWR(KVMIO, 0x88, Table8);
constexpr unsigned long kKvmSetMsrs = _IOW(KVMIO, 0x89, Table8);
constexpr unsigned long kKvmGetXsave = _IOR(KVMIO, 0xa4, XsaveArea);
constexpr unsigned long kKvmSetXsave = _IOW(KVMIO, 0xa5, XsaveArea);

struct KvmHost {
  int fd = -1;
  size_t run_size = 0;
  bool out_exits_before = false;  // at the exit of a plain OUT rip is still at the instruction
  bool breakpoints = false;       // hardware breakpoints on execution stop the guest
};

// nullptr, with the reason on stderr, when the device cannot serve.
const KvmHost* TheKvm();

// KVM_CREATE_VM: the descriptor, or the negative error number.
long CreateKvmVm(const KvmHost& host);

// The descriptor moved out of the client's way, to where it does not change which numbers the client's files get.
int MoveUp(int fd);

}  // namespace haxm_model
