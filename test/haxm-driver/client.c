/* A client of the driver that checks what the observed log does not show: lifetimes and the ways to open a node, what a guest sees,
   what happens between an exit and the next RUN. `client PART` prints one line a check and fails with the number of those that failed.
   Like replay.c it would run on the real driver, but for the parts `switch` and `null`. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "replay.h"

/* What a program compiled with _FORTIFY_SOURCE calls. */
extern int __open_2(const char* path, int flags);
extern int __open64_2(const char* path, int flags);
extern int __openat_2(int directory, const char* path, int flags);
extern int __openat64_2(int directory, const char* path, int flags);

static int failures;

static void check(int good, const char* what, long got) {
  printf("%s %s", good ? "ok" : "NOT OK", what);
  if (!good) printf(" (got %ld %#lx, errno %d)", got, got, errno);
  putchar('\n');
  failures += !good;
}
#define IS(what, got, expected)              \
  do {                                       \
    const long is = (long)(got);             \
    check(is == (long)(expected), what, is); \
  } while (0)
#define REFUSED(what, call, error)                 \
  do {                                             \
    errno = 0;                                     \
    const long is = (call);                        \
    check(is == -1 && errno == (error), what, is); \
  } while (0)

static int exists(const char* path) {
  struct stat st;
  return stat(path, &st) == 0;
}

static int step(const struct machine* m) {
  int interrupts;
  return run_on(m, &interrupts);
}

/* RUN, and the status that it ends with. */
static uint32_t status_of(const struct machine* m) { return step(m) < 0 ? ~0u : m->tunnel->_exit_status; }

static struct hax_fastmmio record(const struct machine* m) {
  struct hax_fastmmio r;
  memcpy(&r, m->io, sizeof r);
  return r;
}

static uint64_t reg(const struct machine* m, size_t offset) {
  struct vcpu_state_t state;
  get_regs(m, &state);
  uint64_t value;
  memcpy(&value, (uint8_t*)&state + offset, 8);
  return value;
}
#define REG(m, name) reg(m, offsetof(struct vcpu_state_t, _##name))

static void openings(void) {
  char path[64];
  struct machine m = {0};
  IS("open", (m.hax = open("/dev/HAX", O_RDWR)) >= 0, 1);
  const int opened[] = {open64("/dev/HAX", O_RDWR),
                        openat(AT_FDCWD, "/dev/HAX", O_RDONLY),
                        openat64(AT_FDCWD, "/dev//./HAX", O_RDWR | O_CLOEXEC),
                        __open_2("/dev/HAX", O_RDWR),
                        __open64_2("/dev/HAX", O_RDWR),
                        __openat_2(AT_FDCWD, "/dev/HAX", O_RDWR),
                        __openat64_2(AT_FDCWD, "/dev/HAX", O_RDWR),
                        (int)syscall(SYS_openat, AT_FDCWD, "/dev/HAX", O_RDWR)};
  for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
    struct hax_module_version version = {0, 0};
    ioctl(opened[i], HAX_IOCTL_VERSION, &version);
    IS("each form of open gives the device", version.compat_version, 1);
    close(opened[i]);
  }
  const int dev = open("/dev", O_RDONLY | O_DIRECTORY);
  const int relative = openat(dev, "HAX", O_RDWR);
  struct hax_capabilityinfo capability = {0};
  IS("openat relative to /dev", ioctl(relative, HAX_IOCTL_CAPABILITY, &capability), 0);
  IS("CLOEXEC is kept", fcntl(openat(dev, "HAX", O_RDWR | O_CLOEXEC), F_GETFD), FD_CLOEXEC);
  IS("access", access("/dev/HAX", R_OK | W_OK), 0);
  IS("faccessat", faccessat(dev, "HAX", F_OK, 0), 0);
  REFUSED("no such VM", access("/dev/hax_vm/vm00", F_OK), ENOENT);
  REFUSED("no such node", open("/dev/hax_vm/vm0", O_RDWR), ENOENT);
  REFUSED("a directory it is not", open("/dev/HAX", O_RDONLY | O_DIRECTORY), ENOTDIR);
  struct stat st;
  fstat(m.hax, &st);
  IS("fstat of a descriptor", S_ISCHR(st.st_mode) && major(st.st_rdev) == 10, 1);
  struct statx sx;
  IS("statx", statx(AT_FDCWD, "/dev/HAX", 0, STATX_BASIC_STATS, &sx), 0);
  IS("statx's device", sx.stx_rdev_major, 10);
  REFUSED("a request with a bad address", ioctl(m.hax, HAX_IOCTL_VERSION, 16), EFAULT);
  REFUSED("a closed descriptor", ioctl(relative + 100, HAX_IOCTL_VERSION, path), EBADF);
  close(relative);
  close(dev);
  close(m.hax);
  const int plain = open("/dev/null", O_RDWR);
  REFUSED("a descriptor's number is free again", ioctl(plain, HAX_IOCTL_VERSION, path), ENOTTY);
  close(plain);
}

static void lifetimes(void) {
  struct machine m;
  START(&m, "\xb0\x41\xe6\x80\xf4");
  real_mode(&m, 0x1000);
  REFUSED("a VM node opens once", open(vm_path(m.id), O_RDWR), EBUSY);
  REFUSED("a vCPU node too", open(vcpu_path(m.id, 0), O_RDWR), EBUSY);
  const int copies[] = {dup(m.vcpu),
                        dup2(m.vcpu, 200),
                        dup3(m.vcpu, 201, O_CLOEXEC),
                        fcntl(m.vcpu, F_DUPFD, 210),
                        fcntl(m.vcpu, F_DUPFD_CLOEXEC, 220),
                        (int)syscall(SYS_dup, m.vcpu)};
  close(m.vcpu);
  IS("a duplicate keeps the vCPU", exists(vcpu_path(m.id, 0)), 1);
  for (int i = 0; i < 5; i++) {
    m.vcpu = copies[i];
    struct vcpu_state_t state = {0};
    IS("a duplicate serves", ioctl(m.vcpu, HAX_VCPU_GET_REGS, &state), 0);
    close(copies[i]);
  }
  m.vcpu = copies[5];
  const int vm = dup(m.vm);
  close(m.vm);
  IS("dup of the VM", alloc_ram(vm, memory(4096), 4096), 0);
  close(vm);
  IS("the VM lives as long as its vCPU", exists(vm_path(m.id)), 1);
  REFUSED("opened never resets", open(vm_path(m.id), O_RDWR), EBUSY);
  IS("RUN: OUT", status_of(&m), HAX_EXIT_IO);
  IS("the byte", m.io[0], 0x41);
  IS("RUN: HLT", status_of(&m), HAX_EXIT_HLT);
  syscall(SYS_close, m.vcpu);
  IS("the last close ends the vCPU", exists(vcpu_path(m.id, 0)), 0);
  IS("and the VM", exists(vm_path(m.id)), 0);
  IS("the tunnel stays readable", m.tunnel->_exit_status, HAX_EXIT_HLT);
  close(m.hax);
  struct machine n;
  open_vm(&n);
  IS("the id is free again", n.id, m.id);
  open_vcpu(&n, 0);
  close_range((unsigned)n.vcpu, (unsigned)n.vcpu, 0);
  IS("close_range", exists(vcpu_path(n.id, 0)), 0);
  open_vcpu(&n, 0);
  IS("a vCPU id is free after its close", exists(vcpu_path(n.id, 0)), 1);
  const pid_t child = fork();
  if (child == 0) {
    const int hax = open("/dev/HAX", O_RDWR);
    uint32_t id = 0;
    close(n.vcpu);
    _exit(ioctl(hax, HAX_IOCTL_CREATE_VM, &id) == 0 ? 7 : 8);
  }
  int result;
  waitpid(child, &result, 0);
  IS("a child has a driver of its own", WEXITSTATUS(result), 7);
  struct vcpu_state_t state = {0};
  IS("and takes nothing from its parent", ioctl(n.vcpu, HAX_VCPU_GET_REGS, &state), 0);
  finish(&n);
}

/* Runs CPUID for each leaf of a list at 3000 (function, index) and leaves four words each at 4000. */
static const char kCpuidGuest[] =
    "\xbe\x00\x30\xbf\x00\x40"                 /* si=3000; di=4000 */
    "\x66\xad\x66\x89\xc5\x66\xad\x66\x89\xc1" /* 1006 lodsd; ebp=eax; lodsd; ecx=eax */
    "\x66\x83\xfd\xff\x74\x15"                 /* 1010 if ebp == ffffffff goto hlt */
    "\x66\x89\xe8\x0f\xa2"                     /* eax=ebp; cpuid */
    "\x66\xab\x66\x93\x66\xab\x66\x91\x66\xab" /* stosd; swap ebx, stosd; swap ecx, stosd */
    "\x66\x92\x66\xab\xeb\xdb"                 /* swap edx, stosd; next */
    "\xf4";

static void cpuid(void) {
  static const uint32_t kLeaves[][2] = {{0, 0},          {1, 0},          {2, 0},          {7, 0},          {7, 1},
                                        {0xa, 0},        {0xd, 0},        {0xd, 1},        {0x15, 0},       {0x16, 0},
                                        {0x40000000, 0}, {0x80000000, 0}, {0x80000001, 0}, {0x80000002, 0}, {0x80000003, 0},
                                        {0x80000004, 0}, {0x80000006, 0}, {0x80000008, 0}};
  static const uint32_t kAbsent[][2] = {
      {3, 0},          {4, 0},          {5, 0},          {6, 0},          {8, 0},          {9, 0},          {0xb, 0},
      {0xb, 1},        {0xe, 0},        {0xf, 0},        {0x10, 0},       {0x14, 0},       {0x17, 0},       {0x1f, 0},
      {0x40000001, 0}, {0x40000002, 0}, {0x40000003, 0}, {0x40000006, 0}, {0x40000100, 0}, {0x40000101, 0}, {0x80000005, 0},
      {0x80000007, 0}, {0x80000009, 0}, {0x8000000a, 0}, {0x8000001d, 0}, {0x8000001f, 0}};
  enum { THERE = sizeof kLeaves / sizeof *kLeaves, ABSENT = sizeof kAbsent / sizeof *kAbsent };
  struct machine m;
  START(&m, kCpuidGuest);
  uint32_t(*asked)[2] = (void*)(m.ram + 0x3000);
  uint32_t(*answers)[4] = (void*)(m.ram + 0x4000);
  memcpy(asked, kLeaves, sizeof kLeaves);
  memcpy(asked + THERE, kAbsent, sizeof kAbsent);
  asked[THERE + ABSENT][0] = ~0u;
  real_mode(&m, 0x1000);
  IS("the guest ends", status_of(&m), HAX_EXIT_HLT);
  struct hax_cpuid* table = calloc(1, sizeof *table + 64 * sizeof table->entries[0]);
  table->total = 64;
  ioctl(m.vcpu, HAX_VCPU_IOCTL_GET_CPUID, &table);
  IS("GET_CPUID's list is complete", table->total, THERE);
  for (uint32_t i = 0; i < THERE; i++) {
    const struct hax_cpuid_entry* e = &table->entries[i];
    const int same = e->function == kLeaves[i][0] && e->index == kLeaves[i][1];
    /* OSXSAVE follows CR4, and the size of the XSAVE area XCR0. */
    const uint32_t loose_b = e->function == 0xd ? ~0u : 0;
    const uint32_t loose_c = e->function == 1 ? 1u << 27 : 0;
    const uint32_t* a = answers[i];
    const int equal = a[0] == e->eax && !((a[1] ^ e->ebx) & ~loose_b) && !((a[2] ^ e->ecx) & ~loose_c) && a[3] == e->edx;
    char what[80];
    snprintf(what, sizeof what, "the guest sees leaf %x.%x of the list", e->function, e->index);
    check(same && equal, what, a[0]);
  }
  IS("HAXM's signature", memcmp(answers[10] + 1, "HAXMHAXMHAXM", 12), 0);
  IS("an Intel processor", memcmp(answers[0] + 1, "GenuineIntel" + 0, 4), 0);
  IS("hypervisor bit", answers[1][2] >> 31, 1);
  for (uint32_t i = THERE; i < THERE + ABSENT; i++) {
    char what[80];
    snprintf(what, sizeof what, "leaf %x.%x is empty", asked[i][0], asked[i][1]);
    check(!(answers[i][0] | answers[i][1] | answers[i][2] | answers[i][3]), what, answers[i][0]);
  }
  finish(&m);
}

#include "client_guests.h"

int main(int count, char** words) {
  static const struct {
    const char* name;
    void (*part)(void);
  } parts[] = {{"openings", openings}, {"lifetimes", lifetimes},      {"cpuid", cpuid},           {"ports", ports},
               {"mmio", mmio},         {"between", between},          {"interrupts", interrupts}, {"memory", memory_part},
               {"threads", threads},   {"protected", protected_mode}, {"signals", signals},       {"fork", forks},
               {"null", null_device},  {"switch", switches},          {"shadow", shadow}};
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (count >= 2 && strcmp(words[1], parts[i].name) == 0) {
      parts[i].part();
      return failures;
    }
  }
  fprintf(stderr, "Usage: client PART\n");
  return 99;
}
