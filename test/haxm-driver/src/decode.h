// Instructions that touch devices: how long they are, what memory they read and write, and whether the driver's MMIO emulator has them.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

#include "guest_view.h"

namespace haxm_model {

struct Insn {
  enum class Place : uint8_t { kNone, kModrm, kOffset, kDi, kSi, kSiDi, kStack };

  uint8_t length = 0;
  uint8_t size = 0;     // bytes of the memory access; 0 where it does not matter
  uint8_t address = 0;  // bytes of an address: 2, 4 or 8
  uint8_t opcode = 0;
  uint8_t map = 0;  // 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A
  uint8_t modrm = 0;
  uint8_t rex = 0;
  bool rep = false;
  bool io = false;           // IN, OUT, INS, OUTS
  bool reads = false;        // memory
  bool writes = false;       // memory
  bool supported = false;    // by the driver's emulator
  bool idle_prefix = false;  // a prefix without effect: no assembler writes it
  Place place = Place::kNone;
  SegmentName segment = SegmentName::kDs;  // of the place, an override included
  int8_t base = -1;
  int8_t index = -1;
  uint8_t scale = 0;
  bool rip_relative = false;
  int64_t displacement = 0;

  bool string_io() const { return io && opcode < 0x70; }
  bool string() const { return place == Place::kDi || place == Place::kSi || place == Place::kSiDi; }
};

// False when the bytes are no instruction, or not a whole one.
bool Decode(const uint8_t* bytes, size_t size, Mode mode, Insn* insn);

uint64_t GetRegister(const kvm_regs& regs, int number);
void SetRegister(kvm_regs* regs, int number, uint64_t value);

// Register + delta, wrapped at the address size as the processor does it.
void Advance(kvm_regs* regs, int number, int64_t delta, uint8_t address);
uint64_t Masked(uint64_t value, uint8_t address);

// Linear address of the memory that the instruction reads (false) or writes (true), before it is executed.
uint64_t OperandAddress(const Insn& insn, const kvm_regs& regs, const GuestView& view, bool written);

}  // namespace haxm_model
