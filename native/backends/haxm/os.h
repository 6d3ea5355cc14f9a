// What the backend needs of the host system: nodes and requests. os_posix.cc with os_linux.cc, os_netbsd.cc or os_darwin.cc, or os_win.cc.
#ifndef NODE_HAX_BACKENDS_HAXM_OS_H_
#define NODE_HAX_BACKENDS_HAXM_OS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "backends/haxm/requests.h"
#include "core/status.h"

namespace hax::haxm {

// An opened node; closes with its last owner.
class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  // Makes sure that Open() will not fail for want of a descriptor: what has been created and cannot be opened outlives the process.
  Status Reserve();

  // `path` as the functions below give it. The driver opens VM and vCPU nodes once only.
  Status Open(const std::string& path);

  // Sends a request with its argument, in place; null where it has none. A refusal is a Status that carries the system's number.
  Status Call(const Request& request, void* argument) const;

  // A request by its number on this host.
  Status RawCall(uint64_t request, uintptr_t argument, int* result) const;

  // RUN: 0, or the system's number of its failure; the tunnel's status may say more.
  int Run() const;

  // Takes a vCPU out of the guest, where the host has a request for it; elsewhere a signal does, or the next tick of the host. Any thread.
  void Kick() const;

  // Passes a CPUID table of `bytes`, the way the host's driver wants it.
  Status CallWithTable(const Request& request, void* table, size_t bytes) const;

 private:
  intptr_t handle_ = -1;
};

// The request's number on this host.
uint32_t RequestCode(const Request& request);

std::string SystemNode();
std::string VmNode(uint32_t vm);
std::string VcpuNode(uint32_t vm, uint32_t vcpu);

// How many VMs the driver of this host can have.
uint32_t MaxVms();

// Where the driver of this host has guest-physical addresses end.
uint64_t MaxGpa();

// The same where nothing else is in the way: the driver counts pages up to the end in 31 bits.
inline constexpr uint64_t kMaxGpa = (uint64_t{1} << 43) - 4096;

// Whether the vCPU does not know a request at all: how the two layouts of the registers are told apart.
bool IsUnknownRequest(const Status& status);

// Keeps pages of this process out of forked children, whose copies would part the driver's pinned pages from the parent's.
void KeepFromFork(void* address, size_t size);

// Gives back the memory of a page that the driver has mapped here and leaves mapped when its vCPU goes. The address stays taken.
void DropPage(void* address, size_t size);

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_OS_H_
