// The floor under an exit that another thread serves: two threads in C that hand a word to each other, and nothing else. Each is kept to a
// processor of its own: on one, where the scheduler may leave threads that sleep in turns, nothing crosses.
// Usage: crossing sleep|spin EXITS ROUNDS; prints the nanoseconds of an exit and its answer, one line for each round.
// sleep: the server waits in epoll for an eventfd, as an event loop does, the other side on a futex. spin: neither sleeps.
#define _GNU_SOURCE
#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Alignas(64) atomic_uint asked;
static _Alignas(64) atomic_uint answered;
static int event, events;
static bool sleeps;
static unsigned exits;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// On one processor the other side would get its turn with the next tick of the clock: a round would take minutes.
static void spin(unsigned* spun) {
  if (++*spun % 1000 == 0) {
    sched_yield();
  } else {
    _mm_pause();
  }
}

static void keep_to(int processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0) abort();
}

static void* guest(void* processor) {
  keep_to(*(const int*)processor);
  for (unsigned i = 1; i <= exits; i++) {
    atomic_store(&asked, i);
    if (sleeps && eventfd_write(event, 1) != 0) abort();
    unsigned spun = 0;
    for (unsigned seen; (seen = atomic_load(&answered)) != i;) {
      if (sleeps) {
        syscall(SYS_futex, &answered, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
      } else {
        spin(&spun);
      }
    }
  }
  return NULL;
}

static void serve(void) {
  for (unsigned i = 1; i <= exits; i++) {
    unsigned spun = 0;
    while (atomic_load(&asked) != i) {
      struct epoll_event got;
      eventfd_t value;
      if (!sleeps) {
        spin(&spun);
      } else if (epoll_wait(events, &got, 1, -1) == 1) {
        eventfd_read(event, &value);
      }
    }
    atomic_store(&answered, i);
    if (sleeps) syscall(SYS_futex, &answered, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  }
}

int main(int count, char** words) {
  if (count != 4) return 2;
  sleeps = strcmp(words[1], "sleep") == 0;
  exits = (unsigned)atoi(words[2]);
  event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  events = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event wanted = {.events = EPOLLIN};
  if (epoll_ctl(events, EPOLL_CTL_ADD, event, &wanted) != 0) return 1;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
  int first = 0, last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(first, &allowed)) first++;
  while (!CPU_ISSET(last, &allowed)) last--;
  keep_to(first);
  for (int left = atoi(words[3]); left > 0; left--) {
    pthread_t thread;
    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    const uint64_t start = now();
    if (pthread_create(&thread, NULL, guest, &last) != 0) return 1;
    serve();
    const uint64_t took = now() - start;
    pthread_join(thread, NULL);
    printf("%.1f\n", (double)took / exits);
  }
  return 0;
}
