// What RUN ended with, as the exit page says it.
#include <algorithm>
#include <cstring>

#include "backends/haxm/haxm.h"

namespace hax::haxm {

namespace {

void SetKind(ExitPage* page, ExitKind kind) { page->kind = static_cast<uint32_t>(kind); }

// The buffer is in order of guest addresses; with the direction flag set the transfer went downwards.
void CopyElements(uint8_t* to, const uint8_t* from, uint32_t size, uint32_t count, bool downwards) {
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t other = downwards ? count - 1 - i : i;
    std::memcpy(to + i * size, from + other * size, size);
  }
}

}  // namespace

// The size and count of what MoveReply() has to move; 0 where the driver only wants to be run again.
void HaxmVcpu::Expect(uint32_t size, uint32_t count) {
  reply_waits_ = true;
  reply_size_ = size;
  reply_count_ = count;
}

void HaxmVcpu::MoveReply() {
  if (!reply_waits_ || reply_count_ == 0) return;
  const ExitPage& page = shared_->exit;
  if (tunnel_->exit_status == kExitIo) {
    // The request's own members are the driver's: only the buffer is written.
    CopyElements(io_buffer_, page.data, reply_size_, reply_count_, tunnel_->io.df != 0);
    return;
  }
  uint64_t value = 0;
  std::memcpy(&value, page.data, reply_size_);
  reinterpret_cast<FastMmio*>(io_buffer_)->value = value;
}

bool HaxmVcpu::FillIo() {
  ExitPage& page = shared_->exit;
  const auto& io = tunnel_->io;
  const uint32_t size = io.size;
  if (size != 1 && size != 2 && size != 4) {
    SetKind(&page, ExitKind::kUnknown);
    return true;
  }
  uint32_t count = std::min<uint32_t>(io.count, kIoBufferSize / size);
  const uint8_t* data = io_buffer_;
  if (io.flags & kIoString && count != 0) {
    const uint32_t own = SettleString(count);
    if (io.df) data += (count - own) * size;
    count = own;
  }
  if (count == 0) {  // a string instruction with nothing left to do
    tunnel_->exit_status = kExitInterrupt;
    return false;
  }
  SetKind(&page, ExitKind::kIo);
  page.port = io.port;
  page.size = size;
  page.count = count;
  page.direction = static_cast<uint32_t>(io.direction == kIoIn ? Direction::kIn : Direction::kOut);
  if (io.direction != kIoIn) {
    // The usual case is the hot path: four bytes, of which `size` count, are one move.
    if (count == 1) {
      std::memcpy(page.data, data, sizeof(uint32_t));
    } else {
      CopyElements(page.data, data, size, count, io.df != 0);
    }
    return true;
  }
  Expect(size, count);
  // Unanswered, a read gives all-ones, and nothing of what the page held.
  std::memset(page.data, 0xff, size * count);
  // The driver keeps the upper half of RAX, where the processor would clear it.
  if (size == 4 && !(io.flags & kIoString)) (void)ClearUpperRax();
  return true;
}

// The members of the record that this release does not fill hold what was there before: only four are looked at.
bool HaxmVcpu::FillMmio() {
  ExitPage& page = shared_->exit;
  auto* mmio = reinterpret_cast<FastMmio*>(io_buffer_);
  const uint32_t size = mmio->size;
  if (mmio->direction > kMmioMoveBack || (size != 1 && size != 2 && size != 4 && size != 8)) {
    SetKind(&page, ExitKind::kUnknown);
    return true;
  }
  switch (mmio->direction) {
    case kMmioRead:
      // Of an instruction that goes on to write there. The driver takes what it reads from its client, too.
      if (vm_->ReadRom(mmio->gpa, size, &mmio->value)) {
        Expect(size, 0);
        return false;
      }
      FillMmioRead(mmio->gpa, size);
      break;
    case kMmioWrite:
      FillMmioWrite(mmio->gpa, size, mmio->value);
      break;
    default:
      // For JavaScript a read and then a write, as newer drivers have it.
      exit_kept_ = moves_ = true;
      move_target_ = mmio->direction == kMmioMove ? mmio->value : mmio->gpa;
      FillMmioRead(mmio->direction == kMmioMove ? mmio->gpa : mmio->value, size);
  }
  return true;
}

void HaxmVcpu::FillMmioRead(uint64_t gpa, uint32_t size) {
  ExitPage& page = shared_->exit;
  SetKind(&page, ExitKind::kMmio);
  page.address = gpa;
  page.size = size;
  page.count = 1;
  page.direction = static_cast<uint32_t>(Direction::kIn);
  std::memset(page.data, 0xff, sizeof(uint64_t));
  Expect(size, 1);
}

void HaxmVcpu::FillMmioWrite(uint64_t gpa, uint32_t size, uint64_t value) {
  ExitPage& page = shared_->exit;
  SetKind(&page, ExitKind::kMmio);
  page.address = gpa;
  page.size = size;
  page.count = 1;
  page.direction = static_cast<uint32_t>(Direction::kOut);
  std::memset(page.data, 0, sizeof(uint64_t));
  std::memcpy(page.data, &value, size);
  // A write, too, is finished at the next RUN only.
  Expect(size, 0);
}

// The write of a move, once the read has its reply.
bool HaxmVcpu::FillMoved() {
  if (reply_waits_) TakeMoved();
  moves_ = false;
  FillMmioWrite(move_target_, reply_size_, moved_);
  return true;
}

void HaxmVcpu::TakeMoved() {
  std::memcpy(&moved_, shared_->exit.data, reply_size_);
  reply_waits_ = false;
}

// For ever: no call of the driver brings the vCPU back.
void HaxmVcpu::FillShutdown() {
  SetKind(&shared_->exit, ExitKind::kShutdown);
  dead_ = true;
}

bool HaxmVcpu::FillExit() {
  ExitPage& page = shared_->exit;
  page.raw_code = tunnel_->exit_status;
  switch (tunnel_->exit_status) {
    case kExitIo:
      return FillIo();
    case kExitFastMmio:
      return FillMmio();
    case kExitInterrupt:
      if (!page.request_window || !tunnel_->ready_for_interrupt_injection) return false;
      SetKind(&page, ExitKind::kIrqWindow);
      return true;
    case kExitHlt:
      SetKind(&page, ExitKind::kHlt);
      return true;
    case kExitStatechange:
      FillShutdown();
      return true;
    case kExitPaused:
      tunnel_->exit_reason = 0;
      return false;
    case kExitPagefault:
      SetKind(&page, ExitKind::kMemoryFault);
      page.address = tunnel_->pagefault.gpa;
      page.detail[0] = tunnel_->pagefault.flags;
      page.detail[1] = kPageSize;
      return true;
    case kExitDebug:
      SetKind(&page, ExitKind::kDebug);
      // #BP leaves both registers 0. INT1 is a #DB without a cause, but DR7 is never 0.
      page.subcode = tunnel_->debug.dr6 == 0 && tunnel_->debug.dr7 == 0 ? 3 : 1;
      page.detail[0] = tunnel_->debug.rip;
      page.detail[1] = tunnel_->debug.dr6;
      page.detail[2] = tunnel_->debug.dr7;
      return true;
    case kExitRealmode:  // the processor lacks unrestricted guest mode
    case kExitUnknown:
      SetKind(&page, ExitKind::kFailEntry);
      page.detail[0] = tunnel_->exit_reason;
      page.detail[1] = 0;
      return true;
    default:
      SetKind(&page, ExitKind::kUnknown);
      return true;
  }
}

// The driver's RUN failed, or an earlier one said that the vCPU is dead.
Status HaxmVcpu::EntryFailed(int os_code) {
  ExitPage& page = shared_->exit;
  if (dead_) {
    return Status::Error(Code::kClosed, kRun.name, "this vCPU has shut down, which HAXM cannot undo; make the VM anew");
  }
  page.raw_code = tunnel_->exit_status;
  if (tunnel_->exit_status == kExitStatechange) {
    // An MMIO instruction could not be resumed: Linux returns 1, other systems fail.
    FillShutdown();
    return Status::Ok();
  }
  if (tunnel_->exit_status == kExitUnknown) {
    SetKind(&page, ExitKind::kFailEntry);
    page.detail[0] = tunnel_->exit_reason;
    page.detail[1] = 0;
    return Status::Ok();
  }
  return Status::Os(kRun.name, os_code);
}

}  // namespace hax::haxm
