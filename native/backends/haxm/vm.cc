// The VM node: memory and vCPUs.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <thread>

#include "backends/haxm/haxm.h"

namespace hax::haxm {

namespace {

constexpr uint32_t kMappings = 4096;
// SET_RAM and ALLOC_RAM have 32-bit sizes; the largest that is whole pages.
constexpr uint64_t kMaxShortSize = 0xfffff000;
// How often, and how many milliseconds apart, a node that has just been made is tried.
constexpr int kOpenTries = 200;
constexpr int kOpenPause = 5;

// The driver has made the object: its node must be opened, or it outlives the process. With devtmpfs the node is there when the call
// returns, the caller's; another program that makes nodes, or gives them an owner, may need a moment.
Status OpenMade(Node* node, const std::string& path) {
  for (int tries = 1;; tries++) {
    Status status = node->Open(path);
    const bool may_come = status.code == Code::kNoDevice || status.code == Code::kNoPermission;
    if (!may_come || tries == kOpenTries) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(kOpenPause));
  }
}

}  // namespace

HaxmVm::HaxmVm(std::shared_ptr<HaxmHypervisor> hypervisor) : hypervisor_(std::move(hypervisor)), map_(kMappings) {}

Status HaxmVm::Open(uint32_t id) {
  id_ = id;
  Status status = OpenMade(&node_, VmNode(id_));
  if (!status.ok()) {
    if (status.code == Code::kNoDevice) status.detail += " (a container needs the host's /dev, not /dev/HAX alone)";
    status.detail += "; the driver keeps this VM until its module is loaded anew";
    return status;
  }
  // Releases before 7.3 hand out decoded MMIO only to clients that announce themselves.
  QemuVersion version = {4, 4};
  return node_.Call(kNotifyQemuVersion, &version);
}

// Two mappings may have the same memory, or parts of it: the driver refuses blocks that overlap, so only what is new becomes one.
Status HaxmVm::Register(const std::shared_ptr<GuestMemory>& memory) {
  uint64_t at = reinterpret_cast<uint64_t>(memory->data());
  const uint64_t end = at + memory->size();
  while (at < end) {
    const auto next = blocks_.upper_bound(at);
    if (next != blocks_.begin() && std::prev(next)->second.end > at) {
      at = std::prev(next)->second.end;
      continue;
    }
    const uint64_t stop = next == blocks_.end() ? end : std::min(end, next->first);
    Status status = AddBlock(at, stop, memory);
    if (!status.ok()) return status;
    at = stop;
  }
  return Status::Ok();
}

Status HaxmVm::AddBlock(uint64_t start, uint64_t end, const std::shared_ptr<GuestMemory>& memory) {
  Status status;
  if (hypervisor_->Has(k64BitRamBlock)) {
    RamblockInfo block = {start, end - start, 0};
    status = node_.Call(kAddRamblock, &block);
  } else if (end - start > kMaxShortSize) {
    return Status::Error(Code::kUnsupported, kAllocRam.name, "this release of HAXM takes less than 4 GiB of memory at once");
  } else {
    AllocRamInfo block = {static_cast<uint32_t>(end - start), 0, start};
    status = node_.Call(kAllocRam, &block);
  }
  if (status.ok()) blocks_[start] = {end, memory};
  return status;
}

// Block by block: the driver takes a range that runs past its block, and the vCPU dies of it.
Status HaxmVm::Map(const Mapping& mapping) {
  const uint64_t first = reinterpret_cast<uint64_t>(mapping.memory->data()) + mapping.offset;
  const uint64_t end = first + mapping.size;
  for (uint64_t va = first; va < end;) {
    const uint64_t stop = std::min(end, std::prev(blocks_.upper_bound(va))->second.end);
    Status status = SetRam(mapping.gpa + (va - first), stop - va, va, mapping.read_only ? uint32_t{kRamRom} : 0);
    if (!status.ok()) return status;
    va = stop;
  }
  return Status::Ok();
}

Status HaxmVm::SetRam(uint64_t gpa, uint64_t size, uint64_t va, uint32_t flags) {
  if (hypervisor_->Has(k64BitSetRam)) {
    SetRamInfo2 info = {gpa, size, va, flags, 0, 0};
    return node_.Call(kSetRam2, &info);
  }
  while (size > 0) {
    const uint64_t piece = std::min(size, kMaxShortSize);
    SetRamInfo info = {gpa, static_cast<uint32_t>(piece), static_cast<uint8_t>(flags), {}, va};
    Status status = node_.Call(kSetRam, &info);
    if (!status.ok()) return status;
    gpa += piece;
    if (va != 0) va += piece;
    size -= piece;
  }
  return Status::Ok();
}

Status HaxmVm::MapMemory(Mapping mapping) {
  // The driver rounds silently, takes ranges that run past their block, and fails much later: everything is checked here.
  Status status = map_.Check(&mapping);
  if (!status.ok()) return status;
  if (mapping.gpa + mapping.size > hypervisor_->max_gpa()) {
    char text[96];
    std::snprintf(text, sizeof text, "HAXM maps guest memory below 0x%" PRIx64 " only on this host", hypervisor_->max_gpa());
    return Status::Error(Code::kInvalidArgument, kSetRam2.name, text);
  }
  const MemoryGate::Change change(&gate_);
  status = Register(mapping.memory);
  if (!status.ok()) return status;
  status = Map(mapping);
  if (!status.ok()) {
    // Whatever pieces were mapped before the refusal; unmapping what is not there succeeds.
    (void)SetRam(mapping.gpa, mapping.size, 0, kRamInvalid);
    return status;
  }
  map_.Insert(mapping);
  return Status::Ok();
}

Status HaxmVm::UnmapMemory(uint64_t gpa) {
  const Mapping* mapping = map_.Find(gpa);
  if (!mapping) {
    char text[64];
    std::snprintf(text, sizeof text, "no memory range starts at 0x%" PRIx64, gpa);
    return Status::Error(Code::kInvalidArgument, "unmapMemory", text);
  }
  const MemoryGate::Change change(&gate_);
  Status status = SetRam(mapping->gpa, mapping->size, 0, kRamInvalid);
  if (status.ok()) map_.Erase(gpa);
  return status;
}

bool HaxmVm::Read(uint64_t gpa, void* to, uint32_t size, bool rom_only) {
  const MemoryGate::Passage passage(&gate_);  // the map changes behind it only
  const Mapping* mapping = map_.Holding(gpa);
  if (!mapping || (rom_only && !mapping->read_only) || size > mapping->gpa + mapping->size - gpa) return false;
  std::memcpy(to, mapping->memory->data() + mapping->offset + (gpa - mapping->gpa), size);
  return true;
}

bool HaxmVm::ReadRom(uint64_t gpa, uint32_t size, uint64_t* value) {
  uint64_t read = 0;
  if (!Read(gpa, &read, size, true)) return false;
  *value = read;
  return true;
}

// Makes the vCPU in the driver and opens its node.
Status HaxmVm::MakeNode(uint32_t id, std::shared_ptr<Node>* out) {
  auto node = std::make_shared<Node>();
  Status status = node->Reserve();
  if (!status.ok()) return status;
  uint32_t argument = id;
  status = node_.Call(kVcpuCreate, &argument);
  // It is the driver's answer to everything, on Windows as EIO.
  if (status.os_code == EINVAL || status.os_code == EIO) {
    status.detail = std::string(kVcpuCreate.name) + " failed: the driver has no memory for vCPU " + std::to_string(id) +
                    ", or the kernel no minor number left for its node: close VMs, of other processes too";
  }
  if (!status.ok()) return status;
  // At once: a vCPU that was never opened when its VM closes stays in the driver.
  status = OpenMade(node.get(), VcpuNode(id_, id));
  if (status.ok()) {
    *out = std::move(node);
  } else {
    made_ |= 1u << id;
    status.detail += "; the driver keeps this vCPU, and its VM, until its module is loaded anew";
  }
  return status;
}

Status HaxmVm::CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) {
  if (id >= kMaxVcpus) {
    return Status::Error(Code::kIoctl, kVcpuCreate.name, "HAXM numbers vCPUs from 0 to 15, not " + std::to_string(id), EINVAL);
  }
  // The driver refuses it too, but not before the kernel has printed a warning with a stack trace.
  const uint32_t wanted = 1u << id | (boot_ ? 0u : 1u);
  if ((made_ | made_by_hand_) & wanted) {
    const uint32_t which = (made_ | made_by_hand_) >> id & 1 ? id : 0;
    return Status::Error(Code::kIoctl, kVcpuCreate.name, "this VM has had a vCPU " + std::to_string(which) + " already", EEXIST);
  }
  Status status;
  if (!boot_) status = MakeNode(0, &boot_);
  std::shared_ptr<Node> node = boot_;
  if (status.ok() && id != 0) status = MakeNode(id, &node);
  if (!status.ok()) return status;
  auto vcpu = std::make_shared<HaxmVcpu>(shared_from_this(), std::move(node));
  status = vcpu->Open();
  if (!status.ok()) return status;
  made_ |= 1u << id;
  *out = std::move(vcpu);
  return Status::Ok();
}

}  // namespace hax::haxm
