// Windows. Devices are exclusive; requests go through DeviceIoControl, whose buffers carry the sizes that POSIX has in the number; there is
// no fork. The driver's NTSTATUS arrives as the Win32 error that the system makes of it. Compiled and linked, never run.
#include <windows.h>

#include <cerrno>
#include <cstdio>

#include "backends/haxm/os.h"

namespace hax::haxm {

namespace {

// What the drivers of the other hosts would have answered.
int ErrnoOf(DWORD error) {
  switch (error) {
    case ERROR_INVALID_PARAMETER:    // STATUS_INVALID_PARAMETER
    case ERROR_INSUFFICIENT_BUFFER:  // STATUS_BUFFER_TOO_SMALL
      return EINVAL;
    case ERROR_INVALID_HANDLE:  // STATUS_INVALID_HANDLE: the object is gone
      return ENODEV;
    case ERROR_INVALID_FUNCTION:  // STATUS_INVALID_DEVICE_REQUEST
      return ENOSYS;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
      return ENOENT;
    case ERROR_ACCESS_DENIED:
      return EACCES;
    case ERROR_SHARING_VIOLATION:
    case ERROR_BUSY:
      return EBUSY;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
      return ENOMEM;
    default:
      return EIO;  // ERROR_GEN_FAILURE: STATUS_UNSUCCESSFUL, most of what the driver refuses
  }
}

HANDLE Handle(intptr_t handle) { return reinterpret_cast<HANDLE>(handle); }

// Handles are opened for overlapped calls: on others a KICKOFF would wait for the RUN that it is to end.
int Control(intptr_t handle, const Request& request, void* in, size_t in_size, void* out, size_t out_size) {
  static thread_local const HANDLE event = CreateEventA(nullptr, TRUE, FALSE, nullptr);
  OVERLAPPED call = {};
  call.hEvent = event;
  if (DeviceIoControl(Handle(handle), WindowsCode(request), in, static_cast<DWORD>(in_size), out, static_cast<DWORD>(out_size), nullptr,
                      &call)) {
    return 0;
  }
  DWORD error = GetLastError();
  DWORD returned = 0;
  // SAFETY: `call` and the buffers are the driver's until this returns.
  if (error == ERROR_IO_PENDING) error = GetOverlappedResult(Handle(handle), &call, &returned, TRUE) ? 0 : GetLastError();
  return error == 0 ? 0 : ErrnoOf(error);
}

Status Result(const Request& request, int error) { return error == 0 ? Status::Ok() : Status::Os(request.name, error); }

std::string Format(const char* format, uint32_t first, uint32_t second) {
  char path[64];
  std::snprintf(path, sizeof path, format, first, second);
  return path;
}

}  // namespace

Node::~Node() {
  if (handle_ != -1) CloseHandle(Handle(handle_));
}

// Handles do not run out.
Status Node::Reserve() { return Status::Ok(); }

Status Node::Open(const std::string& path) {
  const HANDLE handle = CreateFileA(path.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS,
                                    FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, nullptr);
  if (handle != INVALID_HANDLE_VALUE) {
    handle_ = reinterpret_cast<intptr_t>(handle);
    return Status::Ok();
  }
  const DWORD error = GetLastError();
  const int number = ErrnoOf(error);
  const std::string reason = "Windows error " + std::to_string(error);
  if (number == ENOENT) return Status::Error(Code::kNoDevice, "open", path + " is not there: " + reason, number);
  if (number == EACCES) return Status::Error(Code::kNoPermission, "open", path + " cannot be opened by this user: " + reason, number);
  return Status::Error(Code::kIoctl, "open", "opening " + path + " failed: " + reason, number);
}

Status Node::Call(const Request& request, void* argument) const {
  const bool in = request.transfer == Transfer::kWrite || request.transfer == Transfer::kBoth;
  const bool out = request.transfer == Transfer::kRead || request.transfer == Transfer::kBoth;
  return Result(
      request, Control(handle_, request, in ? argument : nullptr, in ? request.size : 0, out ? argument : nullptr, out ? request.size : 0));
}

// The numbers say nothing of sizes here, so that nobody could have checked the buffer.
Status Node::RawCall(uint64_t, uintptr_t, int*) const {
  return Status::Error(Code::kUnsupported, "ioctl", "Windows has no raw calls: its request numbers do not tell the size of the argument");
}

int Node::Run() const { return Control(handle_, kRun, nullptr, 0, nullptr, 0); }

void Node::Kick() const { (void)Control(handle_, kKickoff, nullptr, 0, nullptr, 0); }

Status Node::CallWithTable(const Request& request, void* table, size_t bytes) const {
  const bool out = request.number == kGetCpuid.number;
  return Result(request, Control(handle_, request, table, bytes, out ? table : nullptr, out ? bytes : 0));
}

uint32_t RequestCode(const Request& request) { return WindowsCode(request); }

std::string SystemNode() { return "\\\\.\\HAX"; }
std::string VmNode(uint32_t vm) { return Format("\\\\.\\hax_vm%02u", vm, 0); }
std::string VcpuNode(uint32_t vm, uint32_t vcpu) { return Format("\\\\.\\hax_vm%02u_vcpu%02u", vm, vcpu); }

uint32_t MaxVms() { return 64; }

uint64_t MaxGpa() { return kMaxGpa; }

// A buffer that is too short for the registers of the driver; a driver with the smaller ones takes the larger.
bool IsUnknownRequest(const Status& status) { return status.os_code == EINVAL; }

void KeepFromFork(void*, size_t) {}

// Nothing is known of what is left mapped here.
void DropPage(void*, size_t) {}

}  // namespace hax::haxm
