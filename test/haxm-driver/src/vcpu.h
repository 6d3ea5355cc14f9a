// A vCPU: the driver's state machine over one KVM vCPU. The parts are in vcpu.cc (life and requests), run.cc (entry and exits),
// port_io.cc, memory_exit.cc, registers.cc, vcpu_msrs.cc, fpu.cc, debug.cc and null.cc.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "abi.h"
#include "decode.h"
#include "guest_view.h"
#include "msrs.h"
#include "ticker.h"
#include "vm.h"

namespace haxm_model {

// What the last exit left to be done before the guest can go on.
struct Operation {
  enum class Kind : uint8_t {
    kNone,
    kOut,         // KVM may still have rip at the instruction
    kIn,          // KVM waits for the data
    kInSettled,   // KVM is past it; the data still has to go into rax
    kIns,         // the data still has to go into memory
    kRead,        // KVM waits for the data of a device
    kWrite,       // a device's data was handed over; KVM is past the instruction
    kRomRead,     // of an instruction that goes on to write ROM: KVM has done both, and its write is next
    kFaultRead,   // KVM waits for the data of a protected page
    kFaultWrite,  // KVM has given data for a protected page
  };
  Kind kind = Kind::kNone;
  uint64_t gpa = 0;
  uint32_t length = 0;  // of the access as the client sees it
  uint32_t given = 0;   // of it, to KVM
  uint64_t data = 0;    // to be written; or read, where more than one KVM exit takes it
  Insn insn;            // of kRead, and the one that wrote
  bool decoded = false;
  bool moves = false;  // a read whose value the client itself takes to `target`
  uint64_t target = 0;
  // While kind is kWrite or kFaultWrite the client sees the registers from before the instruction. Of kRead `shown` keeps them too.
  bool rolled_back = false;
  kvm_regs shown{};
};

class Vcpu {
 public:
  static std::shared_ptr<Vcpu> Create(const std::shared_ptr<Vm>& vm, uint32_t id);
  Vcpu(std::shared_ptr<Vm> vm, uint32_t id) : vm_(std::move(vm)), id_(id), runner_(vm_.get()) {}
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  uint32_t id() const { return id_; }
  uint64_t shared_pages() const { return reinterpret_cast<uint64_t>(io_buffer_); }  // the I/O buffer and behind it the tunnel
  long Ioctl(uint32_t request, uint64_t argument);
  long RunNull();  // null.cc: RUN with HAXM_MODEL_NULL

  Node node;

 private:
  enum class Next { kReturn, kEnter };  // to the client, or into the guest

  bool Open();
  bool Allocate();
  int SetupTunnel(uint64_t argument);
  int Interrupt(uint64_t argument);

  // run.cc
  long Run();
  long Execute();
  bool FinishBeforeEntry();
  bool Pause();
  void Flush();
  long Enter(bool immediate);
  bool WindowIsOpen();
  void Inject();
  void TakeShadow();
  int HighestPending() const;
  bool AnyPending() const { return HighestPending() >= 0; }
  Next Deliver(long result);
  Next DeliverMsr();
  Next Halt();
  Next Window();
  Next Stop(uint32_t status);
  Next Resumable();  // an exit that the driver itself would resume
  Next Panic(const char* why);
  void DropQueuedException();
  Next InternalError();
  Next Failed(long result);

  // port_io.cc
  Next DeliverIo();
  uint32_t MoveOn(const Insn& insn, int index, kvm_regs* regs) const;
  void ShowString(uint64_t first, uint32_t count);
  Next DeliverOutString(const Insn& insn, bool unfinished);
  Next DeliverInString(const Insn& insn);
  bool FindOutString(Insn* insn, bool* unfinished);
  void FinishIo();
  void RepeatIn();
  void Settle();

  // memory_exit.cc
  Next DeliverMmio();
  Next DeliverRead(uint64_t gpa, uint32_t length);
  bool MovesBetweenDevices(const Insn& insn, uint64_t* target) const;
  Next DeliverWrite(uint64_t gpa, uint32_t length, uint64_t data, bool rom);
  Next Fault(uint64_t gpa, uint32_t access);
  bool ResumeMemory();
  void RollBack(uint64_t gpa, uint32_t length, uint64_t data, bool* unsupported);
  bool DecodeAt(uint64_t rip, Insn* insn) const;

  // registers.cc
  void Reset();
  void ShowState(VcpuState* state);
  int GetRegs(uint64_t argument, bool wide);
  int SetRegs(uint64_t argument, bool wide);
  void TakeGeneral(const VcpuState& state);
  void ReadSegments(VcpuState* state);
  void SkipSegments(const VcpuState& now, VcpuState* wanted);
  bool TakeSystem(VcpuState state);
  bool Loadable() const;
  bool Enterable() const;
  bool WellFormed(int index) const;
  bool FlushSystem();
  uint64_t Efer() const;

  // vcpu_msrs.cc
  int GetMsrs(uint64_t argument);
  int SetMsrs(uint64_t argument);
  bool ReadMsr(uint32_t index, uint64_t* value);
  bool WriteMsr(uint32_t index, uint64_t value);

  // fpu.cc
  int GetFpu(uint64_t argument);
  int SetFpu(uint64_t argument);
  void FlushFpu();

  // debug.cc
  int SetDebug(uint64_t argument);
  const kvm_debugregs& DebugRegisters();
  void TakeDebug(const VcpuState& state);
  void LoadDebugRegisters();
  void ArmDebug();
  bool Steps() const { return debug_.control & kDebugEnable && debug_.control & kDebugStep; }
  bool Watches() const;
  bool AtBreakpoint();
  uint8_t NextByte() const;
  Next DeliverDebug();

  kvm_regs& regs() { return run_->s.regs.regs; }
  const kvm_regs& regs() const { return run_->s.regs.regs; }
  kvm_sregs& sregs() { return run_->s.regs.sregs; }
  const kvm_sregs& sregs() const { return run_->s.regs.sregs; }
  GuestView view() const { return GuestView(vm_->ram(), sregs(), regs().rflags); }

  std::shared_ptr<Vm> vm_;
  const uint32_t id_;
  int fd_ = -1;
  kvm_run* run_ = nullptr;
  uint32_t cpuid_version_ = 0;
  Tunnel* tunnel_ = nullptr;
  uint8_t* io_buffer_ = nullptr;
  Runner runner_;

  std::mutex run_lock_;
  std::atomic<int> running_thread_{0};
  std::atomic<uint64_t> pending_[4] = {};  // vectors

  bool panicked_ = false;
  bool entry_failed_ = false;
  bool window_known_ = false;     // KVM's ready flag holds for the registers as they are
  bool halt_behind_sti_ = false;  // the last exit was HLT in the shadow of STI
  bool shadow_back_ = false;      // and GET_REGS has brought the shadow back
  bool blocked_ = false;          // so that the next instruction runs in it
  Operation operation_;
  Operation previous_;  // a read that the last entry completed: its instruction may go on to write

  bool regs_dirty_ = false;
  bool sregs_dirty_ = false;
  bool resume_flag_ = false;           // RF shows in rflags, as after any fault of the processor
  Segment shown_[kSegments] = {};      // as the client set them
  kvm_segment flushed_[kTr + 1] = {};  // and as KVM gave them back
  Segment cached_[kSegments] = {};     // as the driver last read or wrote them
  bool pointers_missing_ = false;      // SET_REGS has switched paging on, or moved its tables: PAE has no page-directory pointers
  bool segments_stale_ = false;        // and the guest has run since
  bool fs_base_waits_ = false;         // SET_MSRS has set it: FS is not read before the next entry
  uint64_t apic_base_ = 0;
  StoredMsrs stored_;
  std::map<uint32_t, uint64_t> unloadable_;  // MSRs that the client has set to what no processor takes

  bool debug_registers_stale_ = false;
  bool debug_registers_wait_ = false;  // for an entry to load them
  bool debug_registers_lost_ = false;  // they have not been loaded: the processor has others
  kvm_debugregs debug_registers_{};
  DebugInfo debug_{};
  bool debug_armed_ = true;
  bool debug_waits_ = false;  // for an entry to set TF, or to clear it
  bool trap_ = false;         // TF is set for the debugger, in the guest's own flags

  bool fpu_dirty_ = false;
  bool fpu_stale_ = false;
  FxImage fpu_{};

  uint32_t runs_ = 0;  // counted for HAXM_MODEL_STATUS

  uint32_t null_port_ = 0;
  bool null_in_ = false;
};

}  // namespace haxm_model
