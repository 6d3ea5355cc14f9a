// Prints the rate of this machine's time stamp counter in kHz. The kernel inside host B takes it as given (tsc_early_khz): were it to
// calibrate the counter itself, on a busy machine its clock would run several times too fast.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct sample {
  uint64_t ticks;
  int64_t ns;
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Of many pairs of readings, the one taken closest together: being scheduled away between the two spoils a pair, not the result.
static struct sample take(void) {
  struct sample best = {0, 0};
  uint64_t narrowest = UINT64_MAX;
  for (int i = 0; i < 200; i++) {
    uint64_t before = __rdtsc();
    int64_t ns = now_ns();
    uint64_t after = __rdtsc();
    if (after - before < narrowest) {
      narrowest = after - before;
      best.ticks = before + (after - before) / 2;
      best.ns = ns;
    }
  }
  return best;
}

int main(void) {
  struct sample first = take();
  struct timespec pause = {0, 50 * 1000 * 1000};
  nanosleep(&pause, NULL);
  struct sample last = take();
  double khz = (double)(last.ticks - first.ticks) / ((double)(last.ns - first.ns) / 1e6);
  printf("%.0f\n", khz);
  return khz > 0 ? 0 : 1;
}
