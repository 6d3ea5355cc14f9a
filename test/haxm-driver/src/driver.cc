#include "driver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mutex>
#include <utility>

#include "abi.h"
#include "config.h"
#include "kvm.h"
#include "sys.h"
#include "vcpu.h"
#include "vm.h"

namespace haxm_model {

namespace {

constexpr uint32_t kSystemMinor = 124;  // Linux gives the highest free dynamic minor
constexpr uint32_t kMinors = 2048;
constexpr uint64_t kFirstInode = 400;

struct Registry {
  std::mutex lock;
  std::shared_ptr<Vm> vms[kMaxVms];
  bool minors[kMinors] = {};
  bool limited = true;
  uint64_t limit = TheConfig().quota;
  uint64_t next_inode = kFirstInode;

  Registry() { limited = limit != 0; }

  Node NewNode() {
    Node node;
    while (minors[node.minor_index]) node.minor_index++;
    minors[node.minor_index] = true;
    node.inode = next_inode++;
    node.uid = getuid();
    node.gid = getgid();
    return node;
  }
  void Free(const Node& node) { minors[node.minor_index] = false; }
};

Registry*& TheRegistry() {
  static Registry* registry = new Registry;
  return registry;
}

void Fill(const Node& node, NodeStat* stat) {
  stat->mode = S_IFCHR | 0660;
  stat->uid = node.uid;
  stat->gid = node.gid;
  stat->minor = kSystemMinor - 1 - node.minor_index;
  stat->inode = node.inode;
}

void FillSystem(NodeStat* stat) {
  stat->mode = S_IFCHR | TheConfig().mode;
  stat->uid = geteuid();
  stat->gid = getegid();
  stat->minor = kSystemMinor;
  stat->inode = 399;
}

void FillDirectory(uint32_t entries, uint64_t inode, NodeStat* stat) {
  stat->mode = S_IFDIR | 0755;
  stat->inode = inode;
  stat->entries = entries;
}

// With the lock held: a reference to the VM is gone, its node with the last one.
void DropVm(Registry* registry, Vm* vm) {
  if (--vm->references != 0) return;
  registry->Free(vm->node);
  registry->vms[vm->id].reset();
  Log("haxm_error: ...........hax_teardown_vm");
}

int Version(uint64_t argument) { return CopyOut(argument, ModuleVersion{1, TheConfig().api}); }

int Capability(Registry* registry, uint64_t argument) {
  const Config& config = TheConfig();
  CapabilityInfo info{};
  if (!config.vt || !config.nx) {
    info.info = static_cast<uint16_t>((config.vt ? 0 : kNotWorkingVt) | (config.nx ? 0 : kNotWorkingNx));
  } else {
    info.status = kCapabilityWorking;
    info.info = config.info;
  }
  const std::lock_guard<std::mutex> lock(registry->lock);
  if (registry->limited) {
    info.status |= kCapabilityQuota;
    info.quota = registry->limit;
  }
  return CopyOut(argument, info);
}

int SetMemlimit(Registry* registry, uint64_t argument) {
  MemLimit limit;
  if (CopyIn(&limit, argument)) return -EFAULT;
  const std::lock_guard<std::mutex> lock(registry->lock);
  for (const auto& vm : registry->vms) {
    if (vm) return -EINVAL;
  }
  registry->limited = limit.enable != 0;
  registry->limit = registry->limited ? limit.megabytes << 20 : 0;
  return 0;
}

int CreateVm(Registry* registry, uint64_t argument) {
  if (!TheConfig().vt || !TheConfig().nx) return -ENOMEM;
  const std::lock_guard<std::mutex> lock(registry->lock);
  uint32_t id = 0;
  while (id < TheConfig().max_vms && registry->vms[id]) id++;
  if (id == TheConfig().max_vms) return -ENOMEM;
  auto vm = Vm::Create(id);
  if (!vm) return -ENOMEM;
  if (CopyOut(argument, id)) return -EFAULT;
  vm->node = registry->NewNode();
  registry->vms[id] = std::move(vm);
  return 0;
}

// What the real driver would keep when this process has ended, until its module is loaded anew.
__attribute__((destructor)) void ReportLeaks() {
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  for (const auto& vm : registry->vms) {
    if (!vm) continue;
    if (!vm->node.opened) Log("haxm-model: vm%02u was made and never opened", vm->id);
    for (const auto& vcpu : vm->vcpus) {
      if (vcpu && !vcpu->node.opened) Log("haxm-model: vcpu%02u of vm%02u was made and never opened", vcpu->id(), vm->id);
    }
  }
}

int OpenStandIn(int flags) {
  const int kept = flags & (O_ACCMODE | O_CLOEXEC | O_NONBLOCK | O_APPEND | O_NOCTTY);
  return static_cast<int>(Syscall(SYS_openat, AT_FDCWD, Word("/dev/null"), kept, 0));
}

std::shared_ptr<Vcpu> FindVcpu(const Vm& vm, uint32_t id) { return id < kMaxVcpus ? vm.vcpus[id] : nullptr; }

}  // namespace

int OpenNode(const NodeName& name, int flags) {
  if (flags & O_DIRECTORY) return -ENOTDIR;
  if (name.kind == NodeKind::kSystem) {
    if (TheConfig().open_error) return -TheConfig().open_error;
    const int fd = OpenStandIn(flags);
    if (fd >= 0) Attach(fd, NodeKind::kSystem, nullptr, nullptr);
    return fd;
  }
  Registry* registry = TheRegistry();
  std::shared_ptr<Vm> vm;
  std::shared_ptr<Vcpu> vcpu;
  int fd;
  {
    const std::lock_guard<std::mutex> lock(registry->lock);
    if (name.vm < kMaxVms) vm = registry->vms[name.vm];
    if (!vm) return -ENOENT;
    if (name.kind == NodeKind::kVcpu) {
      vcpu = FindVcpu(*vm, name.vcpu);
      if (!vcpu) return -ENOENT;
    }
    Node& node = vcpu ? vcpu->node : vm->node;
    if (node.inode - kFirstInode >= TheConfig().late_from && node.refused < TheConfig().late_times) {
      node.refused++;
      return -TheConfig().late_error;
    }
    if (node.opened) return -EBUSY;
    fd = OpenStandIn(flags);
    if (fd < 0) return fd;
    node.opened = true;
  }
  Attach(fd, name.kind, std::move(vm), std::move(vcpu));
  return fd;
}

void ReleaseNode(NodeKind kind, std::shared_ptr<Vm> vm, std::shared_ptr<Vcpu> vcpu) {
  if (kind == NodeKind::kSystem) return;
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  if (kind == NodeKind::kVcpu) {
    registry->Free(vcpu->node);
    vm->vcpus[vcpu->id()].reset();
  }
  DropVm(registry, vm.get());
}

int StatHandle(const Handle& handle, NodeStat* stat) {
  if (handle.kind == NodeKind::kSystem) {
    FillSystem(stat);
  } else {
    Fill(handle.kind == NodeKind::kVm ? handle.vm->node : handle.vcpu->node, stat);
  }
  return 0;
}

int StatNode(const NodeName& name, NodeStat* stat) {
  if (name.kind == NodeKind::kSystem) {
    if (TheConfig().open_error == ENOENT) return -ENOENT;
    FillSystem(stat);
    return 0;
  }
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  const auto vm = name.vm < kMaxVms ? registry->vms[name.vm] : nullptr;
  if (!vm) return -ENOENT;
  if (name.kind == NodeKind::kVm) {
    Fill(vm->node, stat);
    return 0;
  }
  const auto vcpu = FindVcpu(*vm, name.vcpu);
  if (!vcpu) return -ENOENT;
  Fill(vcpu->node, stat);
  return 0;
}

int StatVmDirectory(NodeStat* stat) {
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  uint32_t entries = 0;
  for (const auto& vm : registry->vms) entries += vm ? 1 : 0;
  if (entries == 0) return -ENOENT;
  FillDirectory(entries, 300, stat);
  return 0;
}

int StatVcpuDirectory(uint32_t id, NodeStat* stat) {
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  const auto vm = id < kMaxVms ? registry->vms[id] : nullptr;
  if (!vm) return -ENOENT;
  uint32_t entries = 0;
  for (const auto& vcpu : vm->vcpus) entries += vcpu ? 1 : 0;
  if (entries == 0) return -ENOENT;
  FillDirectory(entries, 301 + id, stat);
  return 0;
}

int SystemIoctl(uint32_t request, uint64_t argument) {
  const int injected = InjectedFailure(request);
  if (injected) return injected;
  Registry* registry = TheRegistry();
  switch (request) {
    case kVersion:
      return Version(argument);
    case kCapability:
      return Capability(registry, argument);
    case kSetMemlimit:
      return SetMemlimit(registry, argument);
    case kCreateVm:
      return CreateVm(registry, argument);
    default:
      return 0;  // DESTROY_VM too
  }
}

int CreateVcpu(const std::shared_ptr<Vm>& vm, uint64_t argument) {
  uint32_t id;
  if (CopyIn(&id, argument)) return -EFAULT;
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  if (id >= kMaxVcpus || vm->vcpus[id]) {
    Log("haxm_error: Failed to create vcpu %x on vm %u", id, vm->id);
    return -EINVAL;
  }
  auto vcpu = Vcpu::Create(vm, id);
  if (!vcpu) return -EINVAL;
  vcpu->node = registry->NewNode();
  vm->vcpus[id] = std::move(vcpu);
  vm->references++;
  return 0;
}

std::vector<Area> LiveMemory() {
  Registry* registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry->lock);
  std::vector<Area> areas;
  for (const auto& vm : registry->vms) {
    if (!vm) continue;
    for (const auto& [begin, size] : vm->ram().MappedBlocks()) areas.push_back({begin, size});
    for (const auto& vcpu : vm->vcpus) {
      if (vcpu) areas.push_back({vcpu->shared_pages(), 2 * kPageSize});
    }
  }
  return areas;
}

void ForgetDriverInChild() { TheRegistry() = new Registry; }

}  // namespace haxm_model
