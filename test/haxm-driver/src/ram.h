// Guest memory as the driver keeps it: registered blocks of the client's memory, the guest-physical ranges that show them, and which
// pages are protected.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "interval_set.h"

namespace haxm_model {

// A range as KVM is to know it.
struct Slot {
  uint64_t gpa;
  uint64_t size;
  uint64_t va;
  bool rom;

  bool operator==(const Slot& other) const { return gpa == other.gpa && size == other.size && va == other.va && rom == other.rom; }
};

enum class PageKind {
  kUnmapped,
  kRam,
  kRom,
  kWithheld,  // mapped, but the next touch is to fault
  kBroken,    // mapped, but the driver could not pin it: a touch kills the vCPU
};

struct Page {
  PageKind kind = PageKind::kUnmapped;
  uint8_t* host = nullptr;  // the byte asked for
};

class Ram {
 public:
  // 0 or negative errno, as the requests give it.
  int AddBlock(uint64_t va, uint64_t size, bool standalone = false);
  int SetMapping(uint64_t gpa, uint64_t size, uint64_t va, uint32_t flags);
  int Protect(uint64_t gpa, uint64_t size, uint32_t flags);

  std::vector<Slot> Slots() const;

  // Address and size of the blocks that some range shows.
  std::vector<std::pair<uint64_t, uint64_t>> MappedBlocks() const;

  Page Find(uint64_t gpa) const;

  // The lowest protected page of the 2 MiB window, which is what a touch of a withheld page reports.
  uint64_t FaultAddress(uint64_t gpa) const;

  // The guest is entered: what it can see now need not fault again when a neighbour is protected. True the first time.
  bool Enter();

 private:
  struct Block {
    uint64_t va;
    uint64_t size;
    bool standalone;
    uint32_t mappings;
    bool readable;  // seen to be memory of this process
  };
  using Blocks = std::list<Block>;
  struct Mapping {
    uint64_t end;  // page
    Blocks::iterator block;
    uint64_t va;
    uint32_t flags;
  };
  using Mappings = std::map<uint64_t, Mapping>;

  void Unmap(uint64_t first, uint64_t end);
  void Drop(Blocks::iterator block);
  // The driver could not pin this page: misaligned, past the end of its block, or not there.
  static bool Broken(const Mapping& mapping, uint64_t va);
  bool Withheld(uint64_t page) const;
  std::vector<Slot> SlotsLocked() const;

  mutable std::shared_mutex lock_;
  Blocks blocks_;
  Mappings mappings_;
  IntervalSet protected_;
  IntervalSet seen_;      // pages whose translations the guest already has
  uint64_t highest_ = 0;  // end of the highest range ever mapped, in pages
  bool entered_ = false;
  bool changed_ = true;  // since the last entry
};

}  // namespace haxm_model
