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

void HaxmVcpu::MoveReply() {
  if (!reply_waits_) return;
  const ExitPage& page = shared_->exit;
  if (tunnel_->exit_status == kExitIo) {
    // The request's own members are the driver's: only the buffer is written.
    CopyElements(io_buffer_, page.data, page.size, page.count, tunnel_->io.df != 0);
  } else {
    auto* mmio = reinterpret_cast<FastMmio*>(io_buffer_);
    if (page.direction != static_cast<uint32_t>(Direction::kIn)) return;
    uint64_t value = 0;
    std::memcpy(&value, page.data, page.size);
    mmio->value = value;
  }
}

bool HaxmVcpu::FillIo() {
  ExitPage& page = shared_->exit;
  const auto& io = tunnel_->io;
  const uint32_t size = io.size;
  const uint32_t count = (size == 1 || size == 2 || size == 4) ? std::min<uint32_t>(io.count, kIoBufferSize / size) : 0;
  if (count == 0) return false;  // a string instruction with nothing left to do
  SetKind(&page, ExitKind::kIo);
  page.port = io.port;
  page.size = size;
  page.count = count;
  page.direction = static_cast<uint32_t>(io.direction == kIoIn ? Direction::kIn : Direction::kOut);
  reply_waits_ = io.direction == kIoIn;
  if (!reply_waits_) {
    CopyElements(page.data, io_buffer_, size, count, io.df != 0);
  } else if (size == 4 && !(io.flags & kIoString)) {
    // The driver keeps the upper half of RAX, where the processor would clear it.
    (void)ClearUpperRax();
  }
  return true;
}

bool HaxmVcpu::FillExit() {
  ExitPage& page = shared_->exit;
  page.raw_code = tunnel_->exit_status;
  switch (tunnel_->exit_status) {
    case kExitIo:
      return FillIo();
    case kExitFastMmio: {
      // The members that this release does not fill hold what was there before: only these four are looked at.
      const auto* mmio = reinterpret_cast<const FastMmio*>(io_buffer_);
      const uint8_t direction = mmio->direction;
      const uint8_t size = mmio->size;
      if (direction > 1 || (size != 1 && size != 2 && size != 4 && size != 8)) {
        SetKind(&page, ExitKind::kUnknown);
        return true;
      }
      SetKind(&page, ExitKind::kMmio);
      page.address = mmio->gpa;
      page.size = size;
      page.count = 1;
      page.direction = direction;  // 0 the guest reads, 1 it writes: a Direction
      std::memset(page.data, 0, sizeof(uint64_t));
      if (direction == 1) std::memcpy(page.data, &mmio->value, size);
      reply_waits_ = true;  // also a write: the instruction is finished at the next RUN
      return true;
    }
    case kExitInterrupt:
      if (page.request_window && tunnel_->ready_for_interrupt_injection) {
        SetKind(&page, ExitKind::kIrqWindow);
        return true;
      }
      return false;
    case kExitHlt:
      SetKind(&page, ExitKind::kHlt);
      return true;
    case kExitStatechange:
      SetKind(&page, ExitKind::kShutdown);
      dead_ = true;
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
      page.subcode = tunnel_->debug.dr6 == 0 ? 3 : 1;  // #BP leaves both registers 0, #DB does not
      page.detail[0] = tunnel_->debug.rip;
      page.detail[1] = tunnel_->debug.dr6;
      page.detail[2] = tunnel_->debug.dr7;
      return true;
    case kExitRealmode:
    case kExitUnknown:
      SetKind(&page, ExitKind::kFailEntry);
      page.detail[0] = tunnel_->exit_status;
      page.detail[1] = tunnel_->exit_reason;
      return true;
    default:
      SetKind(&page, ExitKind::kUnknown);
      return true;
  }
}

// The driver's RUN failed, or an earlier one said that the vCPU is dead, which it is for ever.
Status HaxmVcpu::EntryFailed(int os_code) {
  ExitPage& page = shared_->exit;
  page.raw_code = tunnel_->exit_status;
  if (dead_) {
    return Status::Error(Code::kClosed, kRun.name, "this vCPU has shut down, which HAXM cannot undo; make the VM anew");
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
