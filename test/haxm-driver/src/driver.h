// The driver's own state: which VMs and vCPUs exist, their nodes and minors, the memory limit; and the requests of /dev/HAX.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "handles.h"

namespace haxm_model {

struct NodeName {
  NodeKind kind = NodeKind::kSystem;
  uint32_t vm = 0;
  uint32_t vcpu = 0;
};

// What a stat of a node or of one of its directories tells.
struct NodeStat {
  uint32_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  uint32_t minor = 0;
  uint64_t inode = 0;
  uint32_t entries = 0;  // of a directory
};

// Negative errno, or the new descriptor.
int OpenNode(const NodeName& name, int flags);

// The last descriptor of an open node is closed.
void ReleaseNode(NodeKind kind, std::shared_ptr<Vm> vm, std::shared_ptr<Vcpu> vcpu);

// 0 or negative errno.
int StatNode(const NodeName& name, NodeStat* stat);
int StatHandle(const Handle& handle, NodeStat* stat);
int StatVmDirectory(NodeStat* stat);                 // /dev/hax_vm
int StatVcpuDirectory(uint32_t vm, NodeStat* stat);  // /dev/hax_vmNN

int SystemIoctl(uint32_t request, uint64_t argument);

// In VmIoctl's place here because the registry names the node: the argument is a vCPU id.
int CreateVcpu(const std::shared_ptr<Vm>& vm, uint64_t argument);

// The client's memory that guests and the driver use: mapped RAM, tunnels, I/O buffers.
struct Area {
  uint64_t begin;
  uint64_t size;
};
std::vector<Area> LiveMemory();

void ForgetDriverInChild();

}  // namespace haxm_model
