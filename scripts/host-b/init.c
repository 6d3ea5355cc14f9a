// Process 1 of host B, alone in its initramfs: loads the modules, puts a tmpfs over the caller's root directory, runs the one command
// it is given and reports everything through one virtio port, so that nothing can be lost or overtaken:
//   to us:   u32 length, then strings, each ended by NUL: the time in ms, uid, gid, modules directory, working directory,
//            number of shares, the shares' paths, number of arguments, the arguments, and the environment up to the end;
//            after it bytes without a meaning, whose interrupt is all that they are for
//   from us: frames of u8 type, u32 length, payload: b heartbeat, o standard output, e standard error, f cannot start (text),
//            x the command's exit status (u32), sent after everything else has been
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADER 5
#define FRAME 32768  // what the kernel takes in one write to a virtio port
#define NINE_P "trans=virtio,version=9p2000.L,msize=1048576,"

static int port = -1;
static char frame[FRAME];

static void send_frame(char type, const void* payload, uint32_t length) {
  frame[0] = type;
  memcpy(frame + 1, &length, 4);
  if (payload != frame + HEADER) memcpy(frame + HEADER, payload, length);
  for (size_t done = 0; done < HEADER + length;) {
    ssize_t n = write(port, frame + done, HEADER + length - done);
    if (n < 0 && errno != EINTR) reboot(RB_AUTOBOOT);
    if (n > 0) done += (size_t)n;
  }
}

// The caller ends the machine when it has read the last frame; if it does not, we do.
static void end_machine(void) {
  sleep(10);
  reboot(RB_AUTOBOOT);
}

static void fail(const char* format, ...) {
  char text[1024];
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof text - 128, format, arguments);
  va_end(arguments);
  if (n > (int)sizeof text - 129) n = sizeof text - 129;
  n += snprintf(text + n, 128, ": %s", strerror(error));
  if (port >= 0) {
    send_frame('f', text, (uint32_t)n);
    end_machine();
  }
  printf("host-b: %s\n", text);
  fflush(stdout);
  reboot(RB_AUTOBOOT);
}

static void mount_or_fail(const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
  if (mount(source, target, type, flags, data)) fail("mount %s on %s", source, target);
}

static void load_modules(void) {
  char line[256];
  FILE* list = fopen("/modules", "r");
  if (!list) fail("/modules");
  while (fgets(line, sizeof line, list)) {
    line[strcspn(line, "\n")] = 0;
    int fd = open(line, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)) fail("module %s", line);
    close(fd);
  }
  fclose(list);
}

static void open_port(void) {
  for (int tries = 0; tries < 5000; tries++) {
    port = open("/dev/vport0p1", O_RDWR | O_CLOEXEC);
    if (port >= 0) {
      send_frame('b', "", 0);
      return;
    }
    usleep(2000);
  }
  fail("the virtio port");
}

// Reads ahead on 9p in large steps: each request costs far more than the bytes in it.
static void read_ahead(void) {
  struct dirent* entry;
  DIR* directory = opendir("/sys/class/bdi");
  while (directory && (entry = readdir(directory))) {
    char path[300];
    if (strncmp(entry->d_name, "9p", 2)) continue;
    snprintf(path, sizeof path, "/sys/class/bdi/%s/read_ahead_kb", entry->d_name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "488", 3) < 0) perror(path);
    close(fd);
  }
  if (directory) closedir(directory);
}

static void enter_root(void) {
  mkdir("/lower", 0755), mkdir("/upper", 0755), mkdir("/new", 0755);
  mount_or_fail("root", "/lower", "9p", MS_RDONLY, NINE_P "cache=loose,access=any");
  mount_or_fail("tmpfs", "/upper", "tmpfs", 0, "size=75%,mode=755");
  mkdir("/upper/files", 0755), mkdir("/upper/work", 0755);
  mount_or_fail("overlay", "/new", "overlay", 0,
                "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work,xino=off,metacopy=off,index=off");
  read_ahead();
  mount_or_fail("/dev", "/new/dev", NULL, MS_MOVE, NULL);
  mount_or_fail("/proc", "/new/proc", NULL, MS_MOVE, NULL);
  mount_or_fail("/sys", "/new/sys", NULL, MS_MOVE, NULL);
  if (chdir("/new")) fail("/new");
  mount_or_fail(".", "/", NULL, MS_MOVE, NULL);
  if (chroot(".") || chdir("/")) fail("chroot");
}

static void furnish(void) {
  mkdir("/dev/pts", 0755), mkdir("/dev/shm", 01777);
  mount_or_fail("devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
  mount_or_fail("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") || symlink("fd/1", "/dev/stdout") ||
      symlink("fd/2", "/dev/stderr"))
    fail("links in /dev");
  sethostname("host-b", 6);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request)) fail("the loopback interface");
  close(fd);
  struct rlimit files = {1024, 524288};
  setrlimit(RLIMIT_NOFILE, &files);
}

// The order the caller sent, as a list of strings that ends with NULL.
static char** read_order(void) {
  uint32_t length = 0, got = 0;
  char* bytes = (char*)&length;
  size_t wanted = 4, count = 0;
  for (int part = 0; part < 2; part++) {
    for (got = 0; got < wanted;) {
      ssize_t n = read(port, bytes + got, wanted - got);
      if (n > 0)
        got += (uint32_t)n;
      else
        usleep(2000);  // 0: the other end is not connected yet
    }
    if (part == 0) bytes = malloc(wanted = length);
  }
  char** list = calloc(length + 1, sizeof *list);
  for (char* at = bytes; at < bytes + length; at += strlen(at) + 1) list[count++] = at;
  return list;
}

// A share can lie where the machine has a file system of its own, such as /dev/shm.
static void make_directory(char* path) {
  for (char* end = path; (end = strchr(end + 1, '/'));) {
    *end = 0;
    mkdir(path, 0755);
    *end = '/';
  }
  mkdir(path, 0755);
}

static void run(char** order, int output, int error) {
  uid_t uid = (uid_t)atol(order[1]);
  gid_t gid = (gid_t)atol(order[2]);
  char** arguments = order + 6 + atol(order[5]);
  long count = atol(arguments[0]);
  char** environment = arguments + 1 + count;
  memmove(arguments, arguments + 1, (size_t)count * sizeof *arguments);
  arguments[count] = NULL;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setpriority(PRIO_PROCESS, 0, 0);
  setsid();
  int input = open("/dev/null", O_RDONLY);
  dup2(input, 0), dup2(output, 1), dup2(error, 2);
  if (input > 2) close(input);
  if (uid || gid) {
    if (setgroups(0, NULL) || setgid(gid) || setuid(uid)) _exit(126);
  }
  environ = environment;
  execvp(arguments[0], arguments);
  int status = errno == ENOENT ? 127 : 126;
  dprintf(2, "test-in-vm: %s: %s\n", arguments[0], strerror(errno));
  _exit(status);
}

// Passes on what the command writes until it has ended and both pipes are empty; a heartbeat every second.
static uint32_t supervise(pid_t command, int signals, int output, int error) {
  struct pollfd ends[4] = {{output, POLLIN, 0}, {error, POLLIN, 0}, {signals, POLLIN, 0}, {port, POLLIN, 0}};
  uint32_t result = 0;
  time_t beaten = 0;
  for (int open_ends = 2, running = 1; open_ends || running;) {
    struct timespec now;
    poll(ends, 4, 1000);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != beaten) {
      beaten = now.tv_sec;
      send_frame('b', "", 0);
    }
    for (int i = 0; i < 2; i++) {
      if (!ends[i].revents) continue;
      ssize_t n = read(ends[i].fd, frame + HEADER, FRAME - HEADER);
      if (n > 0)
        send_frame(i ? 'e' : 'o', frame + HEADER, (uint32_t)n);
      else if (n == 0 || errno != EINTR)
        ends[i].fd = -1, open_ends--;
    }
    char nudge;
    if (ends[3].revents & POLLIN && read(port, &nudge, 1) != 1) fail("the port");
    if (!ends[2].revents) continue;
    struct signalfd_siginfo information;
    if (read(signals, &information, sizeof information) < 0) continue;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != command) continue;
      result = WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status);
      running = 0;
      kill(-1, SIGKILL);  // whatever the command left behind: it would keep the pipes open
    }
  }
  return result;
}

int main(void) {
  mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
  mount_or_fail("proc", "/proc", "proc", 0, NULL);
  mount_or_fail("sysfs", "/sys", "sysfs", 0, NULL);
  mount_or_fail("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
  load_modules();
  open_port();
  char** order = read_order();
  // The emulated clock chip tells whole seconds; make(1) compares times of files on both sides of a share.
  long long ms = atoll(order[0]);
  struct timespec now = {ms / 1000, ms % 1000 * 1000000};
  clock_settime(CLOCK_REALTIME, &now);
  enter_root();
  furnish();
  if (chown("/dev/kvm", 0, (gid_t)atol(order[2])) || chmod("/dev/kvm", 0660)) fail("/dev/kvm");
  // So that modprobe finds the running kernel's modules, which the caller's root does not have.
  mkdir("/lib/modules", 0755);
  mount_or_fail(order[3], "/lib/modules", NULL, MS_BIND, NULL);
  for (long i = 0; i < atol(order[5]); i++) {
    char tag[32];
    snprintf(tag, sizeof tag, "share%ld", i);
    make_directory(order[6 + i]);
    mount_or_fail(tag, order[6 + i], "9p", 0, NINE_P "cache=mmap,access=user");
  }
  if (chdir(order[4])) fail("the working directory %s", order[4]);
  int output[2], error[2];
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int signals = signalfd(-1, &child, SFD_CLOEXEC);
  if (signals < 0 || pipe2(output, O_CLOEXEC) || pipe2(error, O_CLOEXEC)) fail("pipes");
  setpriority(PRIO_PROCESS, 0, -10);  // the heartbeat is not to depend on what the command does with the processor
  pid_t command = fork();
  if (command < 0) fail("fork");
  if (command == 0) run(order, output[1], error[1]);
  close(output[1]), close(error[1]);
  uint32_t result = supervise(command, signals, output[0], error[0]);
  sync();  // what was mapped and written in a share
  send_frame('x', &result, 4);
  end_machine();
}
