// The other end of the TCP echo: asks once about every millisecond, at random times, and prints how long each answer took. A program of its
// own, so that nothing of it depends on the process that is measured. Usage: echo-client PORT COUNT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(int count, char** words) {
  if (count != 3) return 2;
  const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0) {
    perror("connect");
    return 1;
  }
  uint32_t random = 1;
  for (int left = atoi(words[2]); left > 0; left--) {
    random = random * 1664525 + 1013904223;
    // 0.5 to 1.5 ms
    const struct timespec pause = {.tv_nsec = 500000 + (long)(random >> 12) % 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    char byte = 'x';
    const uint64_t start = now();
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
      perror("echo");
      return 1;
    }
    printf("%llu\n", (unsigned long long)(now() - start));
  }
  return 0;
}
