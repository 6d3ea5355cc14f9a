// Descriptors beside those of the system, VMs and vCPUs: eventfds, memfds, devices, statistics; and pages mapped from them.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cerrno>
#include <climits>

#include "backends/kvm/kvm.h"

namespace hax::kvm {

namespace {

constexpr uint64_t kMaxMapping = uint64_t{1} << 40;
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

// Touching a page that the device does not back is SIGBUS: the kernel is made to touch each of them first.
bool Backed(uint8_t* data, size_t length) {
  if (madvise(data, length, MADV_POPULATE_READ) == 0) return true;
  if (errno != EINVAL) return false;
  for (size_t at = 0; at < length; at += kPageSize) {
    uint8_t byte;
    const iovec local = {&byte, 1};
    const iovec remote = {data + at, 1};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1) return false;
  }
  return true;
}

// Whether all of a mapping is there. A memfd that cannot shrink has every page of its length; touching them would allocate them.
bool Present(int fd, uint64_t end, uint8_t* data, size_t length) {
  struct statx file;  // glibc's fstat() is a symbol of 2.33 (core/glibc_floor.h)
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_SHRINK) && statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &file) == 0) {
    return end <= file.stx_size;
  }
  return Backed(data, length);
}

class FileDescriptor final : public Descriptor {
 public:
  explicit FileDescriptor(Fd fd) : fd_(std::move(fd)) {}
  int number() const override { return fd_.get(); }

  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override { return RawCall(fd_, request, argument, result); }
  Status Map(uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out) override { return MapPages(fd_, offset, length, out); }

  Status Read(uint8_t* to, size_t length, int64_t offset, size_t* count) override {
    *count = 0;
    const ssize_t got = offset < 0 ? read(fd_.get(), to, length) : pread(fd_.get(), to, length, offset);
    if (got < 0 && errno == EAGAIN) return Status::Ok();
    if (got < 0) return Status::Os("read", errno);
    *count = static_cast<size_t>(got);
    return Status::Ok();
  }

  Status Write(const uint8_t* from, size_t length) override {
    const ssize_t wrote = write(fd_.get(), from, length);
    return wrote == static_cast<ssize_t>(length) ? Status::Ok() : Status::Os("write", wrote < 0 ? errno : ENOSPC);
  }

 private:
  Fd fd_;
};

Status Make(Fd fd, const char* operation, std::shared_ptr<Descriptor>* out) {
  if (!fd.valid()) return Status::Os(operation, errno);
  *out = std::make_shared<FileDescriptor>(std::move(fd));
  return Status::Ok();
}

}  // namespace

Status MapPages(const Fd& fd, uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out) {
  if (length == 0 || length % kPageSize || offset % kPageSize || offset > kMaxMapping || length > kMaxMapping) {
    return Status::Error(Code::kInvalidArgument, "mmap", "offset and length of a mapping must be multiples of 4096, the length not 0");
  }
  void* data = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) return Status::Os("mmap", errno);
  madvise(data, length, MADV_DONTFORK);
  auto mapping = std::make_shared<DeviceMapping>(static_cast<uint8_t*>(data), length);
  if (!Present(fd.get(), offset + length, mapping->data(), length)) {
    return Status::Error(Code::kInvalidArgument, "mmap", "the device has nothing at all or part of this range", EFAULT);
  }
  *out = std::move(mapping);
  return Status::Ok();
}

Status KvmVcpu::Map(uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out) { return MapPages(fd_, offset, length, out); }

}  // namespace hax::kvm

namespace hax {

using kvm::Fd;

Status OpenEventfd(uint32_t initial, std::shared_ptr<Descriptor>* out) {
  return kvm::Make(Fd(eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd", out);
}

Status OpenMemfd(uint64_t size, std::shared_ptr<Descriptor>* out) {
  Fd fd(memfd_create("node-hax", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Status::Os("memfd_create", errno);
  if (size > LONG_MAX || ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return Status::Os("ftruncate", size > LONG_MAX ? EFBIG : errno);
  // Shrinking it would turn accesses to mapped pages into SIGBUS.
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return Status::Os("fcntl", errno);
  return kvm::Make(std::move(fd), "memfd_create", out);
}

Status AdoptDescriptor(uint32_t number, std::shared_ptr<Descriptor>* out) {
  const int fd = static_cast<int>(number);
  if (number > INT_MAX || fcntl(fd, F_GETFD) < 0)
    return Status::Error(Code::kInvalidArgument, "adopt", "there is no such descriptor", EBADF);
  // Children would inherit KVM_CREATE_GUEST_MEMFD's, and with it keep the VM.
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return kvm::Make(Fd(fd), "adopt", out);
}

}  // namespace hax
