#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "abi.h"
#include "sys.h"

namespace haxm_model {

namespace {

struct Name {
  const char* name;
  uint32_t request;
};

constexpr Name kNames[] = {
    {"VERSION", kVersion},
    {"CREATE_VM", kCreateVm},
    {"CAPABILITY", kCapability},
    {"SET_MEMLIMIT", kSetMemlimit},
    {"VCPU_CREATE", kVcpuCreate},
    {"ALLOC_RAM", kAllocRam},
    {"SET_RAM", kSetRam},
    {"NOTIFY_QEMU_VERSION", kNotifyQemuVersion},
    {"ADD_RAMBLOCK", kAddRamblock},
    {"SET_RAM2", kSetRam2},
    {"PROTECT_RAM", kProtectRam},
    {"RUN", kRun},
    {"SET_MSRS", kSetMsrs},
    {"GET_MSRS", kGetMsrs},
    {"SET_FPU", kSetFpu},
    {"GET_FPU", kGetFpu},
    {"SETUP_TUNNEL", kSetupTunnel},
    {"INTERRUPT", kInterrupt},
    {"SET_REGS", kSetRegs},
    {"GET_REGS", kGetRegs},
    {"SET_REGS", kSetRegs520},
    {"GET_REGS", kGetRegs520},
    {"DEBUG", kDebug},
    {"SET_CPUID", kSetCpuid},
    {"GET_CPUID", kGetCpuid},
};

struct Failure {
  char name[24];
  int result;
  uint32_t from;  // the first call that fails, counted from 1
  std::atomic<uint32_t> calls;
};

Failure failures[16];
int failure_count = 0;

bool Flag(const char* name) {
  const char* value = getenv(name);
  return value && *value && strcmp(value, "0") != 0;
}

uint64_t Number(const char* name, uint64_t otherwise, int base = 0) {
  const char* value = getenv(name);
  return value && *value ? strtoull(value, nullptr, base) : otherwise;
}

int ErrorNumber(const char* text) {
  for (int number = 1; number < 134; number++) {
    const char* name = strerrorname_np(number);
    if (name && strcmp(name, text) == 0) return number;
  }
  return atoi(text);
}

// REQUEST:ERRNO[:N],… and RUN:+1 for RUN's positive result.
void ReadFailures() {
  const char* value = getenv("HAXM_MODEL_FAIL");
  if (!value) return;
  char copy[1024];
  snprintf(copy, sizeof copy, "%s", value);
  char* rest = copy;
  while (char* item = strtok_r(rest, ", ", &rest)) {
    if (failure_count == 16) return;
    Failure& failure = failures[failure_count++];
    char* colon = strchr(item, ':');
    if (colon) *colon++ = 0;
    snprintf(failure.name, sizeof failure.name, "%s", item);
    failure.from = 1;
    failure.result = -EIO;
    if (!colon) continue;
    char* second = strchr(colon, ':');
    if (second) *second++ = 0;
    failure.result = *colon == '+' ? atoi(colon + 1) : -ErrorNumber(colon);
    if (second) failure.from = static_cast<uint32_t>(atoi(second));
  }
}

// ERRNO:N[:FIRST]
void ReadLateNodes(Config* config) {
  const char* value = getenv("HAXM_MODEL_LATE_NODES");
  if (!value) return;
  char error[24];
  snprintf(error, sizeof error, "%.*s", static_cast<int>(strcspn(value, ":")), value);
  config->late_error = ErrorNumber(error);
  const char* colon = strchr(value, ':');
  config->late_times = colon ? static_cast<uint32_t>(atoi(colon + 1)) : 1;
  if (colon) colon = strchr(colon + 1, ':');
  if (colon) config->late_from = static_cast<uint32_t>(atoi(colon + 1));
}

// STATUS[:N[:TIMES]]
void ReadStatus(Config* config) {
  const char* value = getenv("HAXM_MODEL_STATUS");
  if (value) sscanf(value, "%u:%u:%u", &config->forced_status, &config->forced_from, &config->forced_times);
}

Config Read() {
  Config config;
  config.vt = !Flag("HAXM_MODEL_NO_VT");
  config.nx = !Flag("HAXM_MODEL_NO_NX");
  config.unrestricted_guest = !Flag("HAXM_MODEL_NO_UG");
  config.info = static_cast<uint16_t>(Number("HAXM_MODEL_CAPS", kInfoAll));
  if (!config.unrestricted_guest) config.info &= static_cast<uint16_t>(~kInfoUnrestrictedGuest);
  config.quota = kUnlimitedQuota;
  if (getenv("HAXM_MODEL_QUOTA_MB")) config.quota = Number("HAXM_MODEL_QUOTA_MB", 0) << 20;
  config.api = static_cast<uint32_t>(Number("HAXM_MODEL_API", 4));
  config.tunnel_size = config.info & kInfoTunnelPage ? kPageSize : 48;
  config.registers520 = Number("HAXM_MODEL_REGS", 512) == 520;
  config.tick_us = static_cast<uint32_t>(Number("HAXM_MODEL_TICK_US", 4000));
  config.tick_signal = static_cast<int>(Number("HAXM_MODEL_TICK_SIGNAL", static_cast<uint64_t>(SIGRTMAX - 7)));
  if (const char* kvm = getenv("HAXM_MODEL_KVM")) config.kvm = strdup(kvm);
  if (const char* error = getenv("HAXM_MODEL_OPEN")) config.open_error = ErrorNumber(error);
  config.mode = static_cast<uint32_t>(Number("HAXM_MODEL_MODE", 0600, 8));
  config.max_vms = static_cast<uint32_t>(Number("HAXM_MODEL_MAX_VMS", kMaxVms));
  if (config.max_vms > kMaxVms) config.max_vms = kMaxVms;
  config.smap = Flag("HAXM_MODEL_SMAP");
  config.races = !Flag("HAXM_MODEL_ALLOW_RACES");
  config.check_fork = Flag("HAXM_MODEL_FORK");
  config.null_device = Flag("HAXM_MODEL_NULL");
  config.skips_rom_writes = Flag("HAXM_MODEL_SKIP_ROM_WRITES");
  config.moves = static_cast<uint8_t>(Number("HAXM_MODEL_MOVES", 0));
  ReadLateNodes(&config);
  ReadStatus(&config);
  ReadFailures();
  return config;
}

int OpenLog() {
  const char* value = getenv("HAXM_MODEL_LOG");
  if (!value || !*value || strcmp(value, "0") == 0) return -1;
  if (strcmp(value, "1") == 0) return 2;
  return static_cast<int>(Syscall(SYS_openat, AT_FDCWD, Word(value), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

void Write(int fd, const char* format, va_list arguments) {
  char line[256];
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  if (length < 0) return;
  if (length > static_cast<int>(sizeof line) - 2) length = sizeof line - 2;
  line[length++] = '\n';
  Syscall(SYS_write, fd, Word(line), length);
}

}  // namespace

const Config& TheConfig() {
  static const Config config = Read();
  return config;
}

const char* RequestName(uint32_t request) {
  for (const Name& entry : kNames) {
    if (entry.request == request) return entry.name;
  }
  return "?";
}

int InjectedFailure(uint32_t request) {
  if (failure_count == 0) return 0;
  const char* name = RequestName(request);
  for (int i = 0; i < failure_count; i++) {
    Failure& failure = failures[i];
    if (strcmp(failure.name, name) == 0 && ++failure.calls >= failure.from) return failure.result;
  }
  return 0;
}

void Log(const char* format, ...) {
  static const int fd = OpenLog();
  if (fd < 0) return;
  va_list arguments;
  va_start(arguments, format);
  Write(fd, format, arguments);
  va_end(arguments);
}

void Oops(const char* what) { Die(what, "here the real driver oopses and the process dies"); }

void Die(const char* what, const char* consequence) {
  char line[256];
  const int length = snprintf(line, sizeof line, "haxm-model: %s: %s\n", what, consequence);
  Syscall(SYS_write, 2, Word(line), length);
  Syscall(SYS_kill, Syscall(SYS_getpid), SIGKILL);
  for (;;) Syscall(SYS_pause);
}

}  // namespace haxm_model
