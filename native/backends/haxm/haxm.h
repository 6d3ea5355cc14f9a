// The HAXM backend. The driver checks little and its calls have hazards (docs/backends/haxm.md): the care is taken here.
#ifndef NODE_HAX_BACKENDS_HAXM_HAXM_H_
#define NODE_HAX_BACKENDS_HAXM_HAXM_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/haxm/memory_gate.h"
#include "backends/haxm/os.h"
#include "core/hypervisor.h"
#include "core/stop_word.h"

namespace hax::haxm {

class HaxmHypervisor final : public Hypervisor, public std::enable_shared_from_this<HaxmHypervisor> {
 public:
  static Status Open(std::shared_ptr<Hypervisor>* out);
  const Capabilities& capabilities() const override { return capabilities_; }
  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override { return node_.RawCall(request, argument, result); }
  // The driver has a list of its own, which only a vCPU can be asked for; empty here.
  Status SupportedCpuid(std::vector<hax::CpuidEntry>* out) override;
  Status CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) override;

  bool Has(Feature feature) const { return (info_.winfo & feature) != 0; }
  // GET_CPUID and SET_CPUID read a user pointer unguarded: on a CPU with SMAP they oops the kernel.
  bool cpuid_is_safe() const { return cpuid_is_safe_; }
  // Where guest-physical addresses of this processor end.
  uint64_t max_gpa() const { return max_gpa_; }
  // The same, whatever the driver can map.
  uint64_t address_end() const { return address_end_; }

 private:
  Status Probe();
  void Describe();

  Node node_;
  CapabilityInfo info_ = {};
  bool cpuid_is_safe_ = false;
  uint64_t max_gpa_ = 0;
  uint64_t address_end_ = 0;
  Capabilities capabilities_;
};

class HaxmVm final : public Vm, public std::enable_shared_from_this<HaxmVm> {
 public:
  explicit HaxmVm(std::shared_ptr<HaxmHypervisor> hypervisor);
  // Between the two the driver makes the VM.
  Status Reserve() { return node_.Reserve(); }
  Status Open(uint32_t id);

  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override;
  Status MapMemory(Mapping mapping) override;
  Status UnmapMemory(uint64_t gpa) override;
  Status CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) override;

  const HaxmHypervisor& hypervisor() const { return *hypervisor_; }
  const Node& node() const { return node_; }
  uint32_t id() const { return id_; }
  MemoryGate* gate() { return &gate_; }
  // What is in memory, and in read-only memory; false where there is none. On any vCPU's thread.
  bool Read(uint64_t gpa, void* to, uint32_t size) { return Read(gpa, to, size, false); }
  bool ReadRom(uint64_t gpa, uint32_t size, uint64_t* value);

 private:
  bool Read(uint64_t gpa, void* to, uint32_t size, bool rom_only);
  Status MakeNode(uint32_t id, std::shared_ptr<Node>* out);
  // Host memory that the driver knows, which it must before it is mapped.
  struct Block {
    uint64_t end;
    std::shared_ptr<GuestMemory> memory;
  };

  Status Register(const std::shared_ptr<GuestMemory>& memory);
  Status AddBlock(uint64_t start, uint64_t end, const std::shared_ptr<GuestMemory>& memory);
  Status Map(const Mapping& mapping);
  Status SetRam(uint64_t gpa, uint64_t size, uint64_t va, uint32_t flags);

  std::shared_ptr<HaxmHypervisor> hypervisor_;
  // By start. The driver has no call to forget a block: the memory stays until the VM is gone. Before node_, so that the node closes first.
  std::map<uint64_t, Block> blocks_;
  MemoryMap map_;
  MemoryGate gate_;
  uint32_t id_ = 0;
  Node node_;
  // vCPU 0 owns what the others share: it is made first, also when another is asked for, and goes last.
  std::shared_ptr<Node> boot_;
  uint32_t made_ = 0;          // a bit for each vCPU that there has been, or that the driver keeps though it could not be opened
  uint32_t made_by_hand_ = 0;  // and for each that a raw call has made
};

class HaxmVcpu final : public Vcpu {
 public:
  HaxmVcpu(std::shared_ptr<HaxmVm> vm, std::shared_ptr<Node> node) : vm_(std::move(vm)), node_(std::move(node)) {}
  ~HaxmVcpu();
  Status Open();

  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override;
  void RunGuest() override;
  Status Complete() override;
  void Kick(InterruptReason reason) override {
    Vcpu::Kick(reason);
    node_->Kick();
  }
  KickTarget MarkKick(InterruptReason reason) override { return stop_.Mark(reason); }
  void ForgetKick(InterruptReason reason) override { stop_.Forget(reason); }
  Status GetState(uint32_t mask) override;
  Status SetState(uint32_t mask) override;
  Status Inject(uint32_t vector) override;
  Status SetCpuid(const std::vector<hax::CpuidEntry>& entries) override;

 private:
  // exits.cc
  void MoveReply();
  // True if JavaScript must see it; false to enter the guest again.
  bool FillExit();
  bool FillIo();
  bool FillMmio();
  void FillMmioRead(uint64_t gpa, uint32_t size);
  void FillMmioWrite(uint64_t gpa, uint32_t size, uint64_t value);
  bool FillMoved();
  void TakeMoved();
  void FillShutdown();
  void Expect(uint32_t size, uint32_t count);
  Status EntryFailed(int os_code);
  void Failed(int os_code);
  int RunOnce();
  void DropStaleStatus();
  void Interrupted();

  // raw.cc
  Status RawRun(uint64_t request, int* result);
  void ReadTunnel(TunnelView* to) const;
  void WriteTunnel(const TunnelChanges& changes);
  void DebugSet(uint32_t control);

  // state.cc
  Status GetRegisters(VcpuState* state);
  Status ReadRegisters(VcpuState* state);
  Status SetRegisters(const VcpuState& state);
  Status WriteRegisters(const VcpuState& state);
  Status GetSystem(const VcpuState& from);
  void SystemToHaxm(VcpuState* to) const;
  Status PrepareSystem(const VcpuState& from, const VcpuState& to);
  Status KeepEfer(const VcpuState& set);
  Status MoveMsrs(bool set);
  Status SetMsrs();
  Status SettleGsBase();
  Status Msrs(MsrData* data, bool set);
  Status SetBatch(const MsrState* list, uint32_t count, uint32_t* done);
  Status Takes(const MsrState* list, uint32_t count, bool* all);
  Status ClearUpperRax();
  Status HaltAgain();
  Status EndShadow();
  bool TrapIsDrivers() const { return steps_ || steps_end_at_ == shared_->exit.entries; }

  // strings.cc
  struct StringInstruction {
    bool repeated;
    uint32_t address_size;  // 16, or 0: nothing is to be done about it
    uint32_t length;
  };
  bool Translate(const VcpuState& state, uint64_t efer, uint64_t linear, uint64_t* gpa);
  bool DecodeString(const VcpuState& state, bool over, StringInstruction* out);
  uint32_t SettleString(uint32_t count);

  std::shared_ptr<HaxmVm> vm_;
  const std::shared_ptr<Node> node_;
  // SAFETY: both pages are mapped by the driver until the vCPU's node closes; only this object looks at them.
  Tunnel* tunnel_ = nullptr;
  uint8_t* io_buffer_ = nullptr;
  StopWord stop_;
  bool opened_ = false;
  bool with_xcr0_ = false;  // the register layout of the first 7.8.0 binaries
  bool layout_known_ = false;
  // The last exit is one that the driver completes at the next RUN; `size` times `count` bytes of the exit page are what it wants.
  // Kept here, because JavaScript can write to the page.
  bool reply_waits_ = false;
  uint32_t reply_size_ = 0;
  uint32_t reply_count_ = 0;
  bool exit_kept_ = false;  // there is an exit already, which the next Run() hands over
  bool moves_ = false;      // and it is the write of a move between two devices, which the driver leaves to us
  uint64_t move_target_ = 0;
  uint64_t moved_ = 0;
  bool halted_ = false;                   // the guest stands behind an HLT that exited
  bool halt_read_ = false;                // and its registers have been read since
  bool debug_by_hand_ = false;            // a raw call may have set debug registers
  bool steps_ = false;                    // the driver has TF set, in the guest's own RFLAGS
  uint64_t steps_end_at_ = ~uint64_t{0};  // and has yet to clear it, at the entry after so many
  bool dead_ = false;                     // status 7 is for ever
};

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_HAXM_H_
