// Port exits. KVM's differ in where rip stands and in how much of a string one exit brings; the driver's do not: rip past the
// instruction, up to 64 bytes of a string, IN completed by the next RUN.
#include <cerrno>
#include <cstring>

#include "config.h"
#include "kvm.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr int kRegisterCx = 1;
constexpr int kRegisterSi = 6;
constexpr int kRegisterDi = 7;
constexpr uint8_t kIn = 1;

bool IsOut(const Insn& insn) { return insn.io && !insn.string_io() && insn.opcode & 2; }
bool IsOuts(const Insn& insn) { return insn.io && insn.string_io() && insn.opcode & 2; }

uint64_t Low(uint64_t value, uint32_t size) { return size >= 8 ? value : value & ((uint64_t{1} << (8 * size)) - 1); }

}  // namespace

Vcpu::Next Vcpu::DeliverIo() {
  const auto& kvm_io = run_->io;
  auto* data = reinterpret_cast<uint8_t*>(run_) + kvm_io.data_offset;
  auto& io = tunnel_->io;
  tunnel_->exit_reason = kReasonIo;
  io.direction = kvm_io.direction == KVM_EXIT_IO_IN ? kIn : 0;
  io.df = 0;
  io.size = kvm_io.size;
  io.port = kvm_io.port;
  io.count = 1;
  io.flags = 0;
  Insn insn;
  bool unfinished = false;
  if (io.direction == kIn) {
    if (DecodeAt(regs().rip, &insn) && insn.io && insn.string_io()) return DeliverInString(insn);
    operation_.kind = Operation::Kind::kIn;
    operation_.length = kvm_io.size;
  } else {
    operation_.kind = Operation::Kind::kOut;
    if (FindOutString(&insn, &unfinished)) return DeliverOutString(insn, unfinished);
    memcpy(io_buffer_, data, kvm_io.size);
  }
  return Stop(kStatusIo);
}

// Was it an OUTS that exited, and has it elements left? After an OUT of either kind rip is at the instruction or past it. Where the
// bytes would allow both, the data decides.
bool Vcpu::FindOutString(Insn* insn, bool* unfinished) {
  const auto& io = run_->io;
  uint64_t sent = 0;
  memcpy(&sent, reinterpret_cast<uint8_t*>(run_) + io.data_offset, io.size);
  const auto plain = [&](const Insn& found, uint64_t rip) {
    uint8_t port = 0;
    const GuestView guest = view();
    if (found.opcode < 0xe8) guest.Read(guest.Linear(SegmentName::kCs, rip + found.length - 1), &port, 1);
    const uint16_t number = found.opcode < 0xe8 ? port : static_cast<uint16_t>(regs().rdx);
    return IsOut(found) && found.size == io.size && number == io.port && Low(regs().rax, io.size) == sent;
  };
  Insn at;
  const bool decoded = DecodeAt(regs().rip, &at);
  if (TheKvm()->out_exits_before && decoded && plain(at, regs().rip)) return false;
  Insn string;
  bool found_string = false;
  for (uint8_t length = 1; length <= 5; length++) {
    Insn before;
    if (!DecodeAt(regs().rip - length, &before) || before.length != length) continue;
    if (!TheKvm()->out_exits_before && plain(before, regs().rip - length)) return false;
    if (!IsOuts(before) || before.size != io.size) continue;
    string = before;
    found_string = true;
  }
  *unfinished = decoded && IsOuts(at) && at.rep && at.size == io.size && Masked(regs().rcx, at.address) != 0 &&
                static_cast<uint16_t>(regs().rdx) == io.port;
  *insn = *unfinished ? at : string;
  return *unfinished || found_string;
}

// How many elements the driver moves at this exit, and how it leaves the registers: it takes all of RCX for the count whatever the size of
// an address is, counts RCX down also without REP, and moves all of RSI or RDI on.
uint32_t Vcpu::MoveOn(const Insn& insn, int index, kvm_regs* regs) const {
  const uint32_t most = kIoBufferSize / tunnel_->io.size;
  const uint64_t wanted = insn.rep ? regs->rcx : 1;
  const uint32_t count = wanted < most ? static_cast<uint32_t>(wanted) : most;
  const uint64_t bytes = uint64_t{count} * tunnel_->io.size;
  const uint64_t address = GetRegister(*regs, index);
  SetRegister(regs, index, regs->rflags & kFlagDirection ? address - bytes : address + bytes);
  regs->rcx -= count;
  if (count == wanted) regs->rip += insn.length;
  regs->rflags &= ~kFlagResume;  // a KVM sets it between the elements
  return count;
}

// `first`: linear address of the first element. The driver does not know that a segment may wrap.
void Vcpu::ShowString(uint64_t first, uint32_t count) {
  const bool down = regs().rflags & kFlagDirection;
  tunnel_->io.flags = 1;
  tunnel_->io.df = down ? 1 : 0;
  tunnel_->io.count = static_cast<uint16_t>(count);
  tunnel_->io.vaddr = down ? first - uint64_t{count - 1} * tunnel_->io.size : first;
}

// KVM has sent some elements and moved the registers past them: from those before, the driver goes its own way.
Vcpu::Next Vcpu::DeliverOutString(const Insn& insn, bool unfinished) {
  const uint32_t sent = run_->io.count;
  const int64_t step = regs().rflags & kFlagDirection ? -static_cast<int64_t>(run_->io.size) : run_->io.size;
  kvm_regs moved = regs();
  Advance(&moved, kRegisterSi, -static_cast<int64_t>(sent) * step, insn.address);
  if (insn.rep) Advance(&moved, kRegisterCx, sent, insn.address);
  if (!unfinished) moved.rip -= insn.length;
  const GuestView guest = view();
  const uint64_t first = guest.Linear(insn.segment, Masked(moved.rsi, insn.address));
  const uint32_t count = MoveOn(insn, kRegisterSi, &moved);
  ShowString(first, count);
  const size_t bytes = size_t{count} * run_->io.size;
  if (guest.Read(tunnel_->io.vaddr, io_buffer_, bytes) != bytes) return Panic("vcpu_read_guest_virtual() failed");
  regs() = moved;
  regs_dirty_ = true;
  return Stop(kStatusIo);
}

// KVM waits for elements, as many as it likes. It gets what the memory holds anyway, and the registers are put where the driver has
// them: past this piece.
Vcpu::Next Vcpu::DeliverInString(const Insn& insn) {
  const auto& kvm_io = run_->io;
  auto* data = reinterpret_cast<uint8_t*>(run_) + kvm_io.data_offset;
  const uint32_t size = kvm_io.size;
  const int64_t step = regs().rflags & kFlagDirection ? -static_cast<int64_t>(size) : size;
  kvm_regs moved = regs();
  const uint64_t wanted = insn.rep ? Masked(moved.rcx, insn.address) : 1;
  const GuestView guest = view();
  const auto address = [&](uint32_t element) {
    return guest.Linear(SegmentName::kEs, Masked(moved.rdi + static_cast<uint64_t>(element * step), insn.address));
  };
  const uint64_t first = address(0);
  for (uint32_t i = 0; i < kvm_io.count; i++) guest.Read(address(i), data + i * size, size);
  if (insn.rep) Advance(&regs(), kRegisterCx, static_cast<int64_t>(kvm_io.count - wanted), insn.address);  // KVM shall ask for no more
  regs_dirty_ = true;
  for (int tries = 0; tries < 1024 && Enter(true) != -EINTR; tries++) {
  }
  const uint32_t count = MoveOn(insn, kRegisterDi, &moved);
  regs() = moved;
  regs_dirty_ = true;
  window_known_ = false;
  operation_.kind = Operation::Kind::kIns;
  ShowString(first, count);
  return Stop(kStatusIo);
}

// Lets KVM complete the instruction without anything of it being seen.
void Vcpu::Settle() {
  if (operation_.kind == Operation::Kind::kOut) {
    operation_ = Operation();
    Enter(true);
  } else if (operation_.kind == Operation::Kind::kIn) {
    const uint64_t rax = regs().rax;
    memcpy(reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset, &rax, operation_.length);
    Enter(true);
    regs().rax = rax;
    regs_dirty_ = true;
    operation_.kind = Operation::Kind::kInSettled;
  }
}

// The data is taken when the guest goes on, by the tunnel's fields as they are then.
void Vcpu::FinishIo() {
  const auto& io = tunnel_->io;
  const bool wanted = tunnel_->exit_status == kStatusIo && io.direction == kIn;
  if (operation_.kind == Operation::Kind::kIns) {
    operation_ = Operation();
    const size_t bytes = size_t{io.count} * io.size;
    if (!wanted || io.flags != 1) return;
    if (bytes > kPageSize || view().Write(io.vaddr, io_buffer_, bytes) != bytes) Panic("Unexpected page fault, kill the VM!");
    return;
  }
  // KVM would clear the upper half of rax at a 32-bit IN, as processors do; the driver keeps it.
  const bool keep = operation_.length == 4 && regs().rax >> 32;
  if (operation_.kind == Operation::Kind::kIn && wanted && !keep && !(debug_.control & kDebugEnable)) {
    memcpy(reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset, io_buffer_, operation_.length);
    operation_.kind = Operation::Kind::kOut;  // nothing is left but KVM's step over it
    return;
  }
  const uint32_t length = operation_.length;
  Settle();
  if (wanted) {
    memcpy(&regs().rax, io_buffer_, length);
    regs_dirty_ = true;
  }
  operation_ = Operation();
}

// The tunnel is all that the driver goes by: a status that is not this exit's own has the IN of an earlier one completed again.
void Vcpu::RepeatIn() {
  const auto& io = tunnel_->io;
  const bool stale = tunnel_->exit_status == kStatusIo && tunnel_->exit_reason == kReasonEptViolation;
  if (!TheConfig().skips_rom_writes || !stale || io.direction != kIn || io.flags == 1) return;
  memcpy(&regs().rax, io_buffer_, io.size);
  regs_dirty_ = true;
}

}  // namespace haxm_model
