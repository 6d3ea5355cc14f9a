// What the environment variables HAXM_MODEL_… ask of the model, read once. docs/haxm-model.md lists them.
#pragma once

#include <cstdint>

namespace haxm_model {

struct Config {
  bool vt = true;
  bool nx = true;
  bool unrestricted_guest = true;
  uint16_t info = 0;         // capability word
  uint64_t quota = 0;        // bytes; 0: none
  uint32_t api = 4;          // current version
  uint16_t tunnel_size = 0;  // what SETUP_TUNNEL tells
  bool registers520 = false;
  uint32_t tick_us = 4000;  // a host interrupt at least this often; 0: never
  int tick_signal = 0;
  const char* kvm = "/dev/kvm";
  int open_error = 0;
  uint32_t mode = 0600;  // of /dev/HAX
  uint32_t max_vms = 64;
  bool smap = false;        // the CPUID calls kill the process, as the driver's oops does
  bool races = true;        // a call beside a RUN kills it too
  bool check_fork = false;  // memory that a fork would break kills the process
  bool null_device = false;
  bool skips_rom_writes = false;  // and RUN comes back with the status of the exit before
  uint8_t moves = 0;              // the direction of the one exit of a MOVS between two devices; 0: two exits
  int late_error = 0;             // what opening a node of a VM or vCPU fails with
  uint32_t late_times = 0;        // and how often, for each
  uint32_t late_from = 0;         // from which on, in the order of their making
  uint32_t forced_status = 0;     // what RUN ends with; 0: what happens
  uint32_t forced_from = 1;       // from its Nth call on
  uint32_t forced_times = UINT32_MAX;
};

const Config& TheConfig();

const char* RequestName(uint32_t request);

// What HAXM_MODEL_FAIL says of this call: 0 go on, negative errno, or the positive value that RUN shall return.
int InjectedFailure(uint32_t request);

// A line such as the driver writes to the kernel's log, with HAXM_MODEL_LOG.
void Log(const char* format, ...) __attribute__((format(printf, 1, 2)));

// What a client must not do: says so and kills the process, as an oops does.
[[noreturn]] void Die(const char* what, const char* consequence);
[[noreturn]] void Oops(const char* what);

}  // namespace haxm_model
