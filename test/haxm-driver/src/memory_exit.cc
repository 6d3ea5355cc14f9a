// Accesses to what KVM has no slot for: devices, ROM, protected pages. The driver's exits stand before the instruction, one for a
// read and one for a write; a KVM stands past a write.
#include <cstring>

#include "config.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr size_t kLongest = 15;  // bytes of an instruction

bool AtPageEnd(uint64_t gpa, uint32_t length) { return (gpa + length) % kPageSize == 0; }

void WriteRecord(uint8_t* buffer, uint64_t gpa, uint32_t size, bool write, uint64_t value) {
  auto* record = reinterpret_cast<FastMmio*>(buffer);
  record->gpa = gpa;
  if (write) record->value = value;
  record->size = static_cast<uint8_t>(size);
  record->direction = write ? 1 : 0;
}

// The registers before an instruction that wrote to memory, out of those after it.
kvm_regs Undo(const Insn& insn, const kvm_regs& after, bool unfinished) {
  kvm_regs before = after;
  if (!unfinished) before.rip -= insn.length;
  if (insn.string()) {
    const int64_t step = after.rflags & kFlagDirection ? -int64_t{insn.size} : insn.size;
    Advance(&before, 7, -step, insn.address);
    if (insn.place == Insn::Place::kSiDi) Advance(&before, 6, -step, insn.address);
    if (insn.rep) Advance(&before, 1, 1, insn.address);
  } else if (insn.place == Insn::Place::kStack) {
    before.rsp += insn.size;
  } else if (insn.map == 0 && insn.opcode == 0x8f) {
    before.rsp -= insn.size;
  }
  return before;
}

// Strings that are repeated, and instructions with two operands in memory: the driver's emulator translates their addresses itself.
bool WritesByTranslation(const Insn& insn) {
  const bool push_or_pop = insn.map == 0 && (insn.opcode == 0xff || insn.opcode == 0x8f);
  return insn.rep || insn.place == Insn::Place::kSiDi || push_or_pop;
}

bool StoresRegister(const Insn& insn) { return insn.map == 0 && (insn.opcode == 0x88 || insn.opcode == 0x89); }

// Does the register that a MOV stores hold what was written?
bool RegisterMatches(const Insn& insn, const kvm_regs& regs, uint64_t data) {
  const int number = ((insn.modrm >> 3) & 7) | (insn.rex & 4 ? 8 : 0);
  const bool high = insn.size == 1 && !insn.rex && number >= 4;
  const uint64_t value = high ? GetRegister(regs, number - 4) >> 8 : GetRegister(regs, number);
  const int shift = 64 - 8 * insn.size;
  return value << shift == data << shift;
}

}  // namespace

bool Vcpu::DecodeAt(uint64_t rip, Insn* insn) const {
  const GuestView guest = view();
  uint8_t bytes[kLongest];
  const size_t size = guest.Read(guest.Linear(SegmentName::kCs, rip), bytes, sizeof bytes);
  return size > 0 && Decode(bytes, size, guest.mode(), insn);
}

Vcpu::Next Vcpu::DeliverMmio() {
  const uint64_t gpa = run_->mmio.phys_addr;
  const uint32_t length = run_->mmio.len;
  const bool write = run_->mmio.is_write;
  uint64_t data = 0;
  memcpy(&data, run_->mmio.data, length < 8 ? length : 8);
  tunnel_->exit_reason = kReasonEptViolation;
  resume_flag_ = true;
  if (!write && previous_.kind == Operation::Kind::kRead && previous_.given < previous_.length && gpa == previous_.gpa + previous_.given) {
    memcpy(run_->mmio.data, reinterpret_cast<uint8_t*>(&previous_.data) + previous_.given, length);
    operation_ = previous_;
    operation_.given += length;
    return Next::kEnter;
  }
  if (write && previous_.moves && gpa == previous_.target) return Next::kEnter;  // the client has done it
  switch (vm_->ram().Find(gpa).kind) {
    case PageKind::kWithheld: {
      bool unsupported;
      operation_.kind = write ? Operation::Kind::kFaultWrite : Operation::Kind::kFaultRead;
      operation_.gpa = gpa;
      operation_.length = length;
      operation_.data = data;
      if (write) RollBack(gpa, length, data, &unsupported);
      return Fault(gpa, write ? kAccessWrite : kAccessRead);
    }
    case PageKind::kRom:
      if (write && TheConfig().skips_rom_writes) return Next::kReturn;
      return write ? DeliverWrite(gpa, length, data, true) : DeliverRead(gpa, length);
    case PageKind::kUnmapped:
      return write ? DeliverWrite(gpa, length, data, false) : DeliverRead(gpa, length);
    default:
      return Panic("the client's memory cannot be pinned");
  }
}

Vcpu::Next Vcpu::Fault(uint64_t gpa, uint32_t access) {
  tunnel_->exit_reason = kReasonEptViolation;
  tunnel_->page_fault = {vm_->ram().FaultAddress(gpa), access, 0, 0};
  resume_flag_ = true;
  return Stop(kStatusPageFault);
}

Vcpu::Next Vcpu::DeliverRead(uint64_t gpa, uint32_t length) {
  Operation& read = operation_;
  read = Operation();
  read.decoded = DecodeAt(regs().rip, &read.insn);
  if (read.decoded && !read.insn.supported) return Panic("em_decode_insn() failed");
  read.kind = Operation::Kind::kRead;
  read.gpa = gpa;
  read.length = length;
  read.shown = regs();
  // KVM asks page by page, the driver for the whole operand.
  const uint32_t whole = read.insn.size;
  if (read.decoded && whole > length && whole <= 8 && AtPageEnd(gpa, length) && vm_->ram().Find(gpa + length).kind == PageKind::kUnmapped) {
    read.length = whole;
  }
  WriteRecord(io_buffer_, gpa, read.length, false, 0);
  if (TheConfig().moves && read.decoded && MovesBetweenDevices(read.insn, &read.target)) {
    read.moves = true;
    auto* record = reinterpret_cast<FastMmio*>(io_buffer_);
    record->direction = TheConfig().moves;
    record->gpa = record->direction == 2 ? gpa : read.target;
    record->value = record->direction == 2 ? read.target : gpa;
  }
  return Stop(kStatusFastMmio);
}

bool Vcpu::MovesBetweenDevices(const Insn& insn, uint64_t* target) const {
  if (insn.place != Insn::Place::kSiDi || !insn.writes) return false;
  const GuestView guest = view();
  return guest.Translate(OperandAddress(insn, regs(), guest, true), target) && vm_->ram().Find(*target).kind == PageKind::kUnmapped;
}

Vcpu::Next Vcpu::DeliverWrite(uint64_t gpa, uint32_t length, uint64_t data, bool rom) {
  if (length < 8 && AtPageEnd(gpa, length) && Enter(true) == 0 && run_->exit_reason == KVM_EXIT_MMIO && run_->mmio.is_write &&
      run_->mmio.phys_addr == gpa + length && length + run_->mmio.len <= 8) {
    memcpy(reinterpret_cast<uint8_t*>(&data) + length, run_->mmio.data, run_->mmio.len);
    length += run_->mmio.len;
  }
  operation_ = Operation();
  operation_.kind = Operation::Kind::kWrite;
  bool unsupported = false;
  RollBack(gpa, length, data, &unsupported);
  if (unsupported) return Panic("em_decode_insn() failed");
  if (rom && operation_.decoded) {
    const Insn& insn = operation_.insn;
    if (WritesByTranslation(insn)) return Panic("em_emulate_insn() failed");  // such writes are for RAM
    if (insn.reads) {
      operation_.kind = Operation::Kind::kRomRead;
      operation_.gpa = gpa;
      operation_.length = length;
      operation_.data = data;
      WriteRecord(io_buffer_, gpa, length, false, 0);
      return Stop(kStatusFastMmio);
    }
  }
  WriteRecord(io_buffer_, gpa, length, true, data);
  return Stop(kStatusFastMmio);
}

// Finds the instruction that wrote, which ends at rip or is a string still at it, so that the client can be shown the registers
// before it. `unsupported`: the driver's emulator does not have it.
void Vcpu::RollBack(uint64_t gpa, uint32_t length, uint64_t data, bool* unsupported) {
  const kvm_regs after = regs();
  const GuestView guest = view();
  *unsupported = false;
  const auto show = [this](const kvm_regs& before, const Insn& insn) {
    operation_.shown = before;
    operation_.rolled_back = true;
    operation_.insn = insn;
    operation_.decoded = true;
  };
  if (previous_.kind == Operation::Kind::kRead && previous_.decoded && previous_.insn.writes) {
    const uint64_t rip = previous_.shown.rip;
    if (after.rip == rip + previous_.insn.length || (previous_.insn.rep && after.rip == rip)) {
      kvm_regs before = previous_.shown;
      before.rflags = after.rflags;
      return show(before, previous_.insn);
    }
  }
  const auto wrote = [&](const Insn& insn, const kvm_regs& before) {
    uint64_t target;
    const bool push = insn.map == 0 && insn.opcode == 0xff;
    const uint64_t linear = push ? guest.Linear(SegmentName::kSs, after.rsp) : OperandAddress(insn, before, guest, true);
    if (!insn.writes || (insn.size && insn.size != length) || !guest.Translate(linear, &target) || target != gpa) return false;
    return !StoresRegister(insn) || RegisterMatches(insn, before, data);
  };
  Insn insn;
  if (DecodeAt(after.rip, &insn) && insn.rep && insn.string() && insn.supported) {
    const kvm_regs before = Undo(insn, after, true);
    if (wrote(insn, before)) return show(before, insn);
  }
  bool found = false;
  bool idle = false;
  for (size_t back = 1; back <= kLongest; back++) {
    if (!DecodeAt(after.rip - back, &insn) || insn.length != back) continue;
    const kvm_regs before = Undo(insn, after, false);
    if (!wrote(insn, before)) continue;
    if (!insn.supported) {
      if (!found) *unsupported = true;
    } else if (!found || idle || !insn.idle_prefix) {
      // The longest, unless what makes it longer would be a prefix without effect.
      if (found && insn.idle_prefix) continue;
      show(before, insn);
      found = true;
      idle = insn.idle_prefix;
      *unsupported = false;
    }
  }
}

// At the next RUN. True: the client has to be asked again.
bool Vcpu::ResumeMemory() {
  Operation& open = operation_;
  switch (open.kind) {
    case Operation::Kind::kRead: {
      FastMmio record;
      memcpy(&record, io_buffer_, sizeof record);
      open.data = record.value;
      open.given = run_->mmio.len;
      memcpy(run_->mmio.data, &open.data, run_->mmio.len);
      return false;
    }
    case Operation::Kind::kRomRead: {
      FastMmio record;
      memcpy(&record, io_buffer_, sizeof record);
      uint64_t there = 0;
      if (const uint8_t* rom = vm_->ram().Find(open.gpa).host) memcpy(&there, rom, open.length);
      // KVM's operation was on what is there: another reply shows, if not as its own operation would have it.
      const uint64_t differs = record.value ^ there;
      open.kind = Operation::Kind::kWrite;
      WriteRecord(io_buffer_, open.gpa, open.length, true, open.data ^ differs);
      return Stop(kStatusFastMmio) == Next::kReturn;
    }
    case Operation::Kind::kFaultRead: {
      const Page page = vm_->ram().Find(open.gpa);
      if (page.kind == PageKind::kWithheld) return Fault(open.gpa, kAccessRead) == Next::kReturn;
      if (!page.host) {
        const uint64_t gpa = open.gpa;
        return DeliverRead(gpa, run_->mmio.len) == Next::kReturn;
      }
      memcpy(run_->mmio.data, page.host, open.length);
      open.decoded = DecodeAt(regs().rip, &open.insn);
      open.kind = Operation::Kind::kRead;
      open.given = open.length;
      open.shown = regs();
      return false;
    }
    case Operation::Kind::kFaultWrite: {
      const Page page = vm_->ram().Find(open.gpa);
      if (page.kind == PageKind::kWithheld) return Fault(open.gpa, kAccessWrite) == Next::kReturn;
      if (page.kind == PageKind::kRam) {
        memcpy(page.host, &open.data, open.length);
        open = Operation();
        return false;
      }
      open.kind = Operation::Kind::kWrite;
      WriteRecord(io_buffer_, open.gpa, open.length, true, open.data);
      return Stop(kStatusFastMmio) == Next::kReturn;
    }
    default:
      open = Operation();
      return false;
  }
}

}  // namespace haxm_model
