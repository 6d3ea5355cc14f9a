#include "cpuid.h"

#include <cpuid.h>

#include <cstring>

#include "config.h"
#include "kvm.h"
#include "sys.h"

namespace haxm_model {

namespace {

constexpr uint32_t kMaxBasic = 0x16;
constexpr uint32_t kMaxExtended = 0x80000008;
constexpr uint32_t kSignature = 0x40000000;
constexpr uint32_t kHypervisor = 1u << 31;   // leaf 1 ECX
constexpr uint32_t kTscDeadline = 1u << 24;  // leaf 1 ECX
constexpr uint32_t kAvx = 1u << 28;          // leaf 1 ECX
constexpr uint32_t kApic = 1u << 9;          // leaf 1 EDX
constexpr uint32_t kFeatures1Ecx = 0x36D82203;
constexpr uint32_t kFeatures1Edx = 0x1F89FBFF;
constexpr uint32_t kFeatures7Ebx = 0x600;
constexpr uint32_t kFeaturesExtendedEdx = 0x28100800;
constexpr uint32_t kVirtualProcessor = 0x106f1;  // family 6, model 1Fh, stepping 1
constexpr uint32_t kMaxKvmEntries = 80;          // what every KVM takes

struct Leaf {
  uint32_t function;
  uint32_t index;
};

constexpr Leaf kList[GuestCpuid::kLeaves] = {
    {0, 0},          {1, 0},          {2, 0},          {7, 0},          {7, 1},          {0xa, 0},
    {0xd, 0},        {0xd, 1},        {0x15, 0},       {0x16, 0},       {kSignature, 0}, {0x80000000, 0},
    {0x80000001, 0}, {0x80000002, 0}, {0x80000003, 0}, {0x80000004, 0}, {0x80000006, 0}, {0x80000008, 0},
};

// The host's leaf, less what its KVM cannot give to a guest.
class Host {
 public:
  Host() {
    const KvmHost* kvm = TheKvm();
    supported_.count = CpuidTable::kRoom;
    if (!kvm || Ioctl(kvm->fd, kKvmGetSupportedCpuid, &supported_) < 0) supported_.count = 0;
  }

  CpuidEntry Get(uint32_t function, uint32_t index) const {
    CpuidEntry entry{};
    __cpuid_count(function & 0x80000000, 0, entry.eax, entry.ebx, entry.ecx, entry.edx);
    if (function > entry.eax) return {};
    __cpuid_count(function, index, entry.eax, entry.ebx, entry.ecx, entry.edx);
    for (uint32_t i = 0; i < supported_.count; i++) {
      const kvm_cpuid_entry2& theirs = supported_.entries[i];
      const bool indexed = theirs.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
      if (theirs.function != function || (indexed && theirs.index != index)) continue;
      if (function == 1 || function == 0x80000001) {
        entry.ecx &= theirs.ecx;
        entry.edx &= theirs.edx;
      } else if (function == 7) {
        entry.ebx &= theirs.ebx;
      }
    }
    return entry;
  }

 private:
  CpuidTable supported_;
};

bool IsIntel(const CpuidEntry& leaf0) { return leaf0.ebx == signature_INTEL_ebx && leaf0.ecx == signature_INTEL_ecx; }

uint32_t Text(const char* four) {
  uint32_t word;
  memcpy(&word, four, sizeof word);
  return word;
}

CpuidEntry Make1(const Host& host) {
  CpuidEntry leaf = host.Get(1, 0);
  const uint32_t family = (leaf.eax >> 8) & 0xf;
  const uint32_t model = ((leaf.eax >> 12) & 0xf0) | ((leaf.eax >> 4) & 0xf);
  if (family != 6 || model > 0x1f) leaf.eax = kVirtualProcessor;
  leaf.ebx = 0x00010800;
  leaf.ecx = (leaf.ecx & kFeatures1Ecx) | kHypervisor;
  leaf.edx &= kFeatures1Edx;
  return leaf;
}

CpuidEntry MakeLeaf(const Host& host, uint32_t function, uint32_t index) {
  const CpuidEntry leaf0 = host.Get(0, 0);
  CpuidEntry leaf{};
  switch (function) {
    case 0:  // the driver runs on Intel's processors alone, so its guests see no other vendor
      leaf.eax = leaf0.eax < kMaxBasic ? leaf0.eax : kMaxBasic;
      leaf.ebx = Text("Genu");
      leaf.edx = Text("ineI");
      leaf.ecx = Text("ntel");
      break;
    case 1:
      leaf = Make1(host);
      break;
    case 2:
      leaf.eax = 0x03020101;
      leaf.edx = 0x0c040844;
      break;
    case 7:
      if (index == 0) leaf.ebx = host.Get(7, 0).ebx & kFeatures7Ebx;
      break;
    case 0xa:  // architectural performance monitoring, version 1; another vendor's processor has none
      if (!IsIntel(leaf0)) break;
      leaf = host.Get(0xa, 0);
      leaf.eax = (leaf.eax & ~0xffu) | ((leaf.eax & 0xff) ? 1 : 0);
      leaf.ecx = leaf.edx = 0;
      break;
    case 0xd:
      leaf.eax = index == 0 ? host.Get(0xd, 0).eax & 7 : host.Get(0xd, 1).eax & 7;
      leaf.ebx = host.Get(1, 0).ecx & kAvx ? 0x340 : 0x240;
      if (index == 0) leaf.ecx = leaf.ebx;
      break;
    case 0x15:
    case 0x16:
      leaf = host.Get(function, 0);
      break;
    case kSignature:
      leaf.eax = kSignature;
      leaf.ebx = leaf.ecx = leaf.edx = Text("HAXM");
      break;
    case 0x80000000:
      leaf.eax = kMaxExtended;
      break;
    case 0x80000001:
      leaf.edx = host.Get(function, 0).edx & kFeaturesExtendedEdx;
      break;
    case 0x80000002:
      leaf.eax = Text("Virt");
      leaf.ebx = Text("ual ");
      leaf.ecx = Text("CPU ");
      break;
    case 0x80000006:
      leaf.ecx = 0x04008040;
      break;
    case 0x80000008:
      leaf.eax = host.Get(function, 0).eax & 0xffff;
      break;
    default:
      break;
  }
  leaf.function = function;
  leaf.index = index;
  leaf.flags = 0;
  return leaf;
}

// The pointer behind the argument, and the header it points to.
int ReadHeader(uint64_t argument, uint64_t* table, CpuidHeader* header) {
  if (TheConfig().smap) Oops("a CPUID call on a processor with SMAP");
  if (CopyIn(table, argument)) return -EFAULT;
  return CopyIn(header, *table);
}

kvm_cpuid_entry2 ForKvm(const CpuidEntry& leaf) {
  kvm_cpuid_entry2 entry{};
  entry.function = leaf.function;
  entry.index = leaf.index;
  if (leaf.function == 7 || leaf.function == 0xd) entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.eax = leaf.eax;
  entry.ebx = leaf.ebx;
  entry.ecx = leaf.ecx;
  entry.edx = leaf.edx;
  return entry;
}

}  // namespace

void GuestCpuid::Make() {
  const Host host;
  const std::lock_guard<std::mutex> lock(lock_);
  made_ = true;
  for (uint32_t i = 0; i < kLeaves; i++) leaves_[i] = MakeLeaf(host, kList[i].function, kList[i].index);
  version_++;
}

int GuestCpuid::Get(uint64_t argument) {
  uint64_t table;
  CpuidHeader header;
  if (ReadHeader(argument, &table, &header)) return -EFAULT;
  if (header.total > kMaxCpuidEntries) return -E2BIG;
  const std::lock_guard<std::mutex> lock(lock_);
  const uint32_t room = header.total;
  header = {kLeaves, 0};
  if (CopyOut(table, header)) return -EFAULT;
  if (room < kLeaves) return -ENOMEM;
  return CopyOut(table + sizeof header, leaves_);
}

int GuestCpuid::Set(uint64_t argument) {
  uint64_t table;
  CpuidHeader header;
  if (ReadHeader(argument, &table, &header)) return -EFAULT;
  if (header.total > kMaxCpuidEntries) return -E2BIG;
  if (header.total == 0) return -EINVAL;
  const std::lock_guard<std::mutex> lock(lock_);
  for (uint32_t i = 0; i < header.total; i++) {
    CpuidEntry entry;
    if (CopyIn(&entry, table + sizeof header + i * sizeof entry)) return -EFAULT;
    if (made_) Take(entry);
  }
  version_++;
  return 0;
}

// Since 7.7.0 nothing is masked: the client may advertise what it likes.
void GuestCpuid::Take(const CpuidEntry& theirs) {
  for (CpuidEntry& ours : leaves_) {
    if (ours.function != theirs.function || ours.index != theirs.index) continue;
    const uint32_t function = ours.function;
    if (function == 0xd) return;
    if (function == 0x15 && (theirs.eax == 0 || theirs.ebx == 0)) return;
    if (function == 0x16 && (theirs.eax == 0 || theirs.ebx == 0 || theirs.ecx == 0)) return;
    if (function == 0 || function == 0x80000000) {
      const uint32_t most = function ? kMaxExtended : kMaxBasic;
      ours.eax = theirs.eax < most ? theirs.eax : most;
      return;
    }
    ours.eax = theirs.eax;
    ours.ebx = theirs.ebx;
    ours.ecx = theirs.ecx;
    ours.edx = theirs.edx;
    if (function == 1) {
      ours.ecx = (ours.ecx & ~kTscDeadline) | kHypervisor;
      ours.edx |= kApic;
    }
    return;
  }
}

void GuestCpuid::Apply(int vcpu_fd, uint32_t* version) {
  if (version_.load(std::memory_order_relaxed) == *version) return;
  const std::lock_guard<std::mutex> lock(lock_);
  CpuidTable table;
  if (made_) {
    for (const CpuidEntry& leaf : leaves_) table.entries[table.count++] = ForKvm(leaf);
    // KVM answers a leaf beyond the last with the last one's data, as Intel's processors do; HAXM answers with zeros.
    const auto zero = [&table](uint32_t first, uint32_t last) {
      for (uint32_t function = first; function <= last && table.count < kMaxKvmEntries; function++) {
        table.entries[table.count++] = ForKvm(CpuidEntry{function, 0, 0, 0, 0, 0, 0, {}});
      }
    };
    zero(kSignature + 1, kSignature + 8);
    zero(kSignature + 0x100, kSignature + 0x101);
    zero(kMaxExtended + 1, kMaxExtended + 0x1f);
    for (uint32_t function = leaves_[0].eax + 1; function <= 0x20; function++) {
      if (function != 0x15 && function != 0x16) zero(function, function);
    }
  }
  const long result = Ioctl(vcpu_fd, kKvmSetCpuid2, &table);
  if (result < 0) Log("haxm-model: KVM_SET_CPUID2: %ld (after the first RUN KVM takes no change)", result);
  *version = version_.load();
}

}  // namespace haxm_model
