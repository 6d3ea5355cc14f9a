// HAXM_MODEL_NULL: a device that executes nothing, to time the way to the driver and back. The general registers program it:
// rcx how many port exits before HLT; rdx the first port, rbx how many ports eight apart to go round; rax the byte; rsi 1 for IN,
// 0 for OUT; rdi nanoseconds that an entry takes.
#include <ctime>

#include "vcpu.h"

namespace haxm_model {

namespace {

void Spin(uint64_t nanoseconds) {
  timespec begin;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (static_cast<uint64_t>((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec) < nanoseconds);
}

}  // namespace

long Vcpu::RunNull() {
  kvm_regs& general = regs();
  if (null_in_ && tunnel_->exit_status == kStatusIo) general.rax = (general.rax & ~uint64_t{0xff}) | io_buffer_[0];
  null_in_ = false;
  if (general.rdi) Spin(general.rdi);
  tunnel_->apic_base = apic_base_;
  if (general.rcx == 0) {
    tunnel_->exit_reason = kReasonHlt;
    tunnel_->ready_for_interrupt_injection = 1;
    tunnel_->exit_status = kStatusHlt;
    return 0;
  }
  general.rcx--;
  general.rip++;
  tunnel_->exit_reason = kReasonIo;
  tunnel_->ready_for_interrupt_injection = 0;
  auto& io = tunnel_->io;
  null_in_ = general.rsi != 0;
  io.direction = null_in_ ? 1 : 0;
  io.df = 0;
  io.size = 1;
  io.port = static_cast<uint16_t>(general.rdx + null_port_ * 8);
  io.count = 1;
  io.flags = 0;
  if (!null_in_) io_buffer_[0] = static_cast<uint8_t>(general.rax);
  if (++null_port_ >= general.rbx) null_port_ = 0;
  tunnel_->exit_status = kStatusIo;
  return 0;
}

}  // namespace haxm_model
