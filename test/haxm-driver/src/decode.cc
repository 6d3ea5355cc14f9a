#include "decode.h"

namespace haxm_model {

namespace {

class Reader {
 public:
  Reader(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}
  bool ok() const { return at_ <= size_ && at_ <= 15; }
  uint8_t at() const { return static_cast<uint8_t>(at_); }
  uint8_t Byte() { return at_ < size_ ? bytes_[at_++] : (at_++, uint8_t{0}); }
  uint8_t Peek() const { return at_ < size_ ? bytes_[at_] : 0; }
  void Skip(size_t count) { at_ += count; }
  int64_t Signed(int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= uint64_t{Byte()} << (8 * i);
    const int shift = 64 - 8 * size;
    return static_cast<int64_t>(value << shift) >> shift;
  }

 private:
  const uint8_t* bytes_;
  size_t size_;
  size_t at_ = 0;
};

struct Prefixes {
  bool operand = false;
  bool address = false;
  bool rep = false;
  bool vex = false;
  SegmentName segment = SegmentName::kNone;
  int count = 0;
};

SegmentName SegmentPrefix(uint8_t byte) {
  switch (byte) {
    case 0x26:
      return SegmentName::kEs;
    case 0x2e:
      return SegmentName::kCs;
    case 0x36:
      return SegmentName::kSs;
    case 0x3e:
      return SegmentName::kDs;
    case 0x64:
      return SegmentName::kFs;
    case 0x65:
      return SegmentName::kGs;
    default:
      return SegmentName::kNone;
  }
}

Prefixes ReadPrefixes(Reader* reader, Mode mode, Insn* insn) {
  Prefixes prefixes;
  for (; prefixes.count < 14; prefixes.count++) {
    const uint8_t byte = reader->Peek();
    const SegmentName segment = SegmentPrefix(byte);
    if (segment != SegmentName::kNone) {
      prefixes.segment = segment;
    } else if (byte == 0x66) {
      prefixes.operand = true;
    } else if (byte == 0x67) {
      prefixes.address = true;
    } else if (byte == 0xf2 || byte == 0xf3) {
      prefixes.rep = true;
    } else if (byte != 0xf0) {
      break;
    }
    reader->Skip(1);
  }
  if (mode == Mode::k64 && (reader->Peek() & 0xf0) == 0x40) insn->rex = reader->Byte();
  return prefixes;
}

bool HasModrm(int map, uint8_t opcode) {
  if (map >= 2) return true;
  if (map == 1) {
    if (opcode < 0x10) return opcode < 0x04 || opcode == 0x0d;
    if (opcode >= 0x30 && opcode < 0x38) return false;
    if (opcode >= 0x80 && opcode < 0x90) return false;
    if (opcode == 0x77 || (opcode >= 0xc8 && opcode < 0xd0)) return false;
    return (opcode & 0xf7) != 0xa0 && (opcode & 0xf7) != 0xa1 && opcode != 0xa2 && opcode != 0xaa;
  }
  if (opcode < 0x40) return (opcode & 7) < 4;
  if (opcode >= 0x80 && opcode < 0x90) return true;
  switch (opcode) {
    case 0x62:
    case 0x63:
    case 0x69:
    case 0x6b:
    case 0xc0:
    case 0xc1:
    case 0xc4:
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
      return true;
    default:
      return (opcode >= 0xd0 && opcode < 0xd4) || (opcode >= 0xd8 && opcode < 0xe0);
  }
}

// Bytes of immediate data; `word` is 2 or 4, `full` 8 too.
int ImmediateSize(const Insn& insn, int word, int full) {
  const uint8_t opcode = insn.opcode;
  const int group = (insn.modrm >> 3) & 7;
  if (insn.map == 3) return 1;
  if (insn.map == 2) return 0;
  if (insn.map == 1) {
    if (opcode >= 0x80 && opcode < 0x90) return word;
    const bool byte = (opcode >= 0x70 && opcode < 0x74) || opcode == 0xa4 || opcode == 0xac || opcode == 0xba || opcode == 0xc2 ||
                      (opcode >= 0xc4 && opcode < 0xc7);
    return byte ? 1 : 0;
  }
  if (opcode < 0x40) return (opcode & 7) == 4 ? 1 : (opcode & 7) == 5 ? word : 0;
  if (opcode >= 0x70 && opcode < 0x80) return 1;
  if (opcode >= 0xb0 && opcode < 0xb8) return 1;
  if (opcode >= 0xb8 && opcode < 0xc0) return full;
  if (opcode >= 0xe0 && opcode < 0xe8) return 1;
  switch (opcode) {
    case 0x68:
    case 0x69:
    case 0x81:
    case 0xa9:
    case 0xc7:
    case 0xe8:
    case 0xe9:
      return word;
    case 0x6a:
    case 0x6b:
    case 0x80:
    case 0x82:
    case 0x83:
    case 0xa8:
    case 0xc0:
    case 0xc1:
    case 0xc6:
    case 0xcd:
    case 0xd4:
    case 0xd5:
    case 0xeb:
      return 1;
    case 0xc2:
    case 0xca:
      return 2;
    case 0xc8:
      return 3;
    case 0x9a:
    case 0xea:
      return word + 2;
    case 0xf6:
      return group < 2 ? 1 : 0;
    case 0xf7:
      return group < 2 ? word : 0;
    default:
      return 0;
  }
}

void ReadModrm16(Reader* reader, Insn* insn) {
  static constexpr int8_t kBase[8] = {3, 3, 5, 5, 6, 7, 5, 3};
  static constexpr int8_t kIndex[8] = {6, 7, 6, 7, -1, -1, -1, -1};
  const int mod = insn->modrm >> 6;
  const int rm = insn->modrm & 7;
  if (mod == 0 && rm == 6) {
    insn->displacement = reader->Signed(2);
    return;
  }
  insn->base = kBase[rm];
  insn->index = kIndex[rm];
  if (insn->base == 5) insn->segment = SegmentName::kSs;
  if (mod) insn->displacement = reader->Signed(mod == 1 ? 1 : 2);
}

void ReadModrm32(Reader* reader, Mode mode, Insn* insn) {
  const int mod = insn->modrm >> 6;
  const int rm = insn->modrm & 7;
  const int high_base = insn->rex & 1 ? 8 : 0;
  bool displaced = false;
  if (rm == 4) {
    const uint8_t sib = reader->Byte();
    const int index = ((sib >> 3) & 7) | (insn->rex & 2 ? 8 : 0);
    insn->scale = sib >> 6;
    if (index != 4) insn->index = static_cast<int8_t>(index);
    displaced = (sib & 7) == 5 && mod == 0;
    if (!displaced) insn->base = static_cast<int8_t>((sib & 7) | high_base);
  } else if (rm == 5 && mod == 0) {
    displaced = true;
    insn->rip_relative = mode == Mode::k64;
  } else {
    insn->base = static_cast<int8_t>(rm | high_base);
  }
  if (insn->base == 4 || insn->base == 5) insn->segment = SegmentName::kSs;
  if (displaced || mod == 2) insn->displacement = reader->Signed(4);
  if (mod == 1) insn->displacement = reader->Signed(1);
}

void Access(Insn* insn, bool reads, bool writes, int size, bool supported) {
  insn->reads = reads;
  insn->writes = writes;
  insn->size = static_cast<uint8_t>(size);
  insn->supported = supported;
}

void ClassifyTwoByte(Insn* insn, int size) {
  const int group = (insn->modrm >> 3) & 7;
  switch (insn->opcode) {
    case 0xb6:
    case 0xbe:
      return Access(insn, true, false, 1, true);
    case 0xb7:
    case 0xbf:
      return Access(insn, true, false, 2, true);
    case 0xa3:
      return Access(insn, true, false, size, true);
    case 0xab:
    case 0xb3:
    case 0xbb:
      return Access(insn, true, true, size, true);
    case 0xba:
      return Access(insn, true, group != 4, size, group >= 4);
    default:
      return Access(insn, true, true, 0, false);  // which of both does not matter: the driver has none of them
  }
}

void ClassifyString(Insn* insn, int size) {
  using Place = Insn::Place;
  static constexpr struct {
    Place place;
    bool reads;
    bool writes;
    bool supported;
  } kStrings[] = {{Place::kSiDi, true, true, true}, {Place::kSiDi, true, false, true}, {Place::kNone, false, false, false},
                  {Place::kDi, false, true, true},  {Place::kSi, true, false, true},   {Place::kDi, true, false, false}};
  const auto& kind = kStrings[(insn->opcode - 0xa4) / 2];
  insn->place = kind.place;
  Access(insn, kind.reads, kind.writes, size, kind.supported);
}

void ClassifyGroup(Insn* insn, int size) {
  const int group = (insn->modrm >> 3) & 7;
  switch (insn->opcode) {
    case 0xf6:
    case 0xf7:
      return Access(insn, true, group == 2 || group == 3, size, group < 4);
    case 0xfe:
    case 0xff:
      return Access(insn, true, group < 2, size, insn->opcode == 0xff && group == 6);
    case 0xc6:
    case 0xc7:
      return Access(insn, false, true, size, group == 0);
    case 0x8f:
      return Access(insn, false, true, size, group == 0);
    default:  // 80 to 83
      return Access(insn, true, group != 7, size, true);
  }
}

// What the instruction does to memory. `size` is its operand size, `stack` what a push moves.
void Classify(Insn* insn, int size, int stack) {
  const uint8_t opcode = insn->opcode;
  const int narrow = opcode & 1 ? size : 1;
  const bool memory = insn->place == Insn::Place::kModrm;
  if ((opcode >= 0x6c && opcode < 0x70) || (opcode >= 0xe4 && opcode < 0xe8) || (opcode >= 0xec && opcode < 0xf0)) {
    insn->io = true;
    insn->size = static_cast<uint8_t>(narrow == 8 ? 4 : narrow);
  } else if (opcode >= 0xa0 && opcode < 0xa4) {
    Access(insn, opcode < 0xa2, opcode >= 0xa2, narrow, true);
  } else if (opcode >= 0xa4 && opcode < 0xb0 && (opcode & 0xfe) != 0xa8) {
    ClassifyString(insn, narrow);
  } else if (opcode >= 0x50 && opcode < 0x60) {
    insn->place = Insn::Place::kStack;
    Access(insn, opcode >= 0x58, opcode < 0x58, stack, true);
  } else if (!memory) {
    return;
  } else if (opcode < 0x40) {
    const bool compare = (opcode & 0x38) == 0x38;
    Access(insn, true, !(opcode & 2) && !compare, narrow, true);
  } else if (opcode >= 0x80 && opcode < 0x84) {
    ClassifyGroup(insn, narrow);
  } else if (opcode == 0x84 || opcode == 0x85) {
    Access(insn, true, false, narrow, true);
  } else if (opcode >= 0x88 && opcode < 0x8c) {
    Access(insn, opcode >= 0x8a, opcode < 0x8a, narrow, true);
  } else if (opcode == 0x8c) {
    Access(insn, false, true, 2, false);
  } else if (opcode == 0x8f || (opcode == 0xff && ((insn->modrm >> 3) & 7) == 6)) {
    ClassifyGroup(insn, stack);
  } else if (opcode == 0xc6 || opcode == 0xc7 || opcode == 0xf6 || opcode == 0xf7 || opcode >= 0xfe) {
    ClassifyGroup(insn, narrow);
  } else {
    Access(insn, true, opcode != 0x8e && opcode != 0x63 && opcode != 0x69 && opcode != 0x6b, 0, false);
  }
}

// Two- and three-byte VEX: of these the driver's emulator has ANDN and BEXTR.
bool ReadVex(Reader* reader, Insn* insn) {
  if (insn->opcode == 0xc5) {
    reader->Byte();
    insn->map = 1;
  } else {
    const uint8_t first = reader->Byte();
    insn->rex = static_cast<uint8_t>(0x40 | ((~first >> 5) & 7) | (reader->Byte() & 0x80 ? 8 : 0));
    // The bits of a VEX prefix lie in the order R X B, as REX has them.
    insn->map = first & 0x1f;
  }
  insn->opcode = reader->Byte();
  return insn->map >= 1 && insn->map <= 3;
}

bool Idle(const Prefixes& prefixes, const Insn& insn, Mode mode) {
  if (insn.rex == 0x40 && !(insn.size == 1)) return true;
  if (insn.rex & 2 && insn.index < 0) return true;
  if (prefixes.rep && !insn.string() && !insn.string_io()) return true;
  if (prefixes.segment == SegmentName::kNone) return false;
  if (insn.place == Insn::Place::kNone || insn.place == Insn::Place::kDi || insn.place == Insn::Place::kStack) return !insn.io;
  if (mode == Mode::k64 && prefixes.segment != SegmentName::kFs && prefixes.segment != SegmentName::kGs) return true;
  const bool stack = insn.base == 5 || (insn.base == 4 && insn.address != 2);
  return prefixes.segment == (stack ? SegmentName::kSs : SegmentName::kDs);
}

}  // namespace

bool Decode(const uint8_t* bytes, size_t size, Mode mode, Insn* insn) {
  *insn = Insn();
  Reader reader(bytes, size);
  Prefixes prefixes = ReadPrefixes(&reader, mode, insn);
  insn->rep = prefixes.rep;
  insn->opcode = reader.Byte();
  if (insn->opcode == 0x0f) {
    insn->map = 1;
    insn->opcode = reader.Byte();
    if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
      insn->map = insn->opcode == 0x38 ? 2 : 3;
      insn->opcode = reader.Byte();
    }
  } else if ((insn->opcode == 0xc4 || insn->opcode == 0xc5) && (mode == Mode::k64 || (reader.Peek() & 0xc0) == 0xc0)) {
    prefixes.vex = true;
    if (!ReadVex(&reader, insn)) return false;
  }
  const bool wide = insn->rex & 8;
  const int small = (mode == Mode::k16) != prefixes.operand ? 2 : 4;
  const int operand = wide ? 8 : small;
  const int full_address = mode == Mode::k64 ? 8 : mode == Mode::k32 ? 4 : 2;
  insn->address = static_cast<uint8_t>(!prefixes.address ? full_address : full_address == 4 ? 2 : 4);
  if (HasModrm(insn->map, insn->opcode)) {
    insn->modrm = reader.Byte();
    if (insn->modrm < 0xc0) {
      insn->place = Insn::Place::kModrm;
      if (insn->address == 2) {
        ReadModrm16(&reader, insn);
      } else {
        ReadModrm32(&reader, mode, insn);
      }
    }
  } else if (insn->map == 0 && insn->opcode >= 0xa0 && insn->opcode < 0xa4) {
    insn->place = Insn::Place::kOffset;
    insn->displacement = reader.Signed(insn->address);
  }
  reader.Skip(static_cast<size_t>(ImmediateSize(*insn, small, operand)));
  if (prefixes.segment != SegmentName::kNone) insn->segment = prefixes.segment;
  if (insn->map == 0) {
    Classify(insn, operand, mode == Mode::k64 ? (prefixes.operand ? 2 : 8) : small);
  } else if (insn->place == Insn::Place::kModrm) {
    if (prefixes.vex) {
      Access(insn, true, true, operand, insn->map == 2 && (insn->opcode == 0xf2 || insn->opcode == 0xf7));
      insn->writes = !insn->supported;
    } else if (insn->map == 1) {
      ClassifyTwoByte(insn, operand);
    } else {
      Access(insn, true, true, 0, false);
    }
  }
  if (insn->rep && !insn->string()) insn->supported = false;  // the driver gives up on a prefix that means nothing
  insn->length = reader.at();
  insn->idle_prefix = Idle(prefixes, *insn, mode);
  return reader.ok();
}

uint64_t GetRegister(const kvm_regs& regs, int number) {
  const __u64* const registers[] = {&regs.rax, &regs.rcx, &regs.rdx, &regs.rbx, &regs.rsp, &regs.rbp, &regs.rsi, &regs.rdi,
                                    &regs.r8,  &regs.r9,  &regs.r10, &regs.r11, &regs.r12, &regs.r13, &regs.r14, &regs.r15};
  return *registers[number];
}

void SetRegister(kvm_regs* regs, int number, uint64_t value) {
  __u64* const registers[] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi,
                              &regs->r8,  &regs->r9,  &regs->r10, &regs->r11, &regs->r12, &regs->r13, &regs->r14, &regs->r15};
  *registers[number] = value;
}

uint64_t Masked(uint64_t value, uint8_t address) {
  return address == 2 ? static_cast<uint16_t>(value) : address == 4 ? static_cast<uint32_t>(value) : value;
}

void Advance(kvm_regs* regs, int number, int64_t delta, uint8_t address) {
  const uint64_t before = GetRegister(*regs, number);
  const uint64_t after = Masked(before + static_cast<uint64_t>(delta), address);
  SetRegister(regs, number, address == 2 ? (before & ~uint64_t{0xffff}) | after : after);
}

uint64_t OperandAddress(const Insn& insn, const kvm_regs& regs, const GuestView& view, bool written) {
  using Place = Insn::Place;
  if (insn.place == Place::kDi || (insn.place == Place::kSiDi && written)) {
    return view.Linear(SegmentName::kEs, Masked(regs.rdi, insn.address));
  }
  if (insn.string()) return view.Linear(insn.segment, Masked(regs.rsi, insn.address));
  if (insn.place == Place::kStack) {
    return view.Linear(SegmentName::kSs, insn.writes ? regs.rsp - insn.size : regs.rsp);
  }
  uint64_t address = static_cast<uint64_t>(insn.displacement);
  if (insn.base >= 0) address += GetRegister(regs, insn.base);
  if (insn.index >= 0) address += GetRegister(regs, insn.index) << insn.scale;
  if (insn.rip_relative) address += regs.rip + insn.length;
  return view.Linear(insn.segment, Masked(address, insn.address));
}

}  // namespace haxm_model
