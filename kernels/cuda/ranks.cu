// What ranks that are processes with a GPU each need beside kernels: which GPUs there are, the queue of
// what goes between them, and memory that processes of one machine share. Not of the kernel table: no
// other backend has it. A status is 0, NOT_YET, or a failure that rt_last_error tells.

#include <cstdio>
#include <cstring>

#include "context.h"

#ifndef _WIN32
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#endif

extern "C" {

// How many GPUs are visible; below 0 where rt_last_error(0, ...) says why that cannot be asked.
int32_t cuda_devices(void) { return Context::devices(); }

// Opens a context on one of them.
address_t cuda_open(uint32_t device) {
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(Context::open(device)));
}

// Writes what tells the context's GPU from all others; returns the bytes needed.
uint32_t cuda_identity(address_t handle, uint8_t *text, uint32_t capacity) {
  return contextOf(handle).identify(reinterpret_cast<char *>(text), capacity);
}

// Bytes of the GPU's memory that are free now; 0 where that cannot be told.
double cuda_free_bytes(address_t handle) { return contextOf(handle).freeBytes(); }

int32_t ranks_begin(address_t handle, uint32_t queue) { return contextOf(handle).beginRanks(queue); }

double ranks_end(address_t handle) { return contextOf(handle).endRanks(); }

int32_t ranks_join(address_t handle, uint32_t queue, double number) {
  return contextOf(handle).joinRanks(queue, number);
}

int32_t ranks_reached(address_t handle, uint32_t queue, double number) {
  return contextOf(handle).reachedRanks(queue, number);
}

int32_t ranks_settled(address_t handle) { return contextOf(handle).settled(); }

// Maps a file that several processes have open; 0 where it cannot be.
address_t shared_map(uint8_t *path, uint32_t length, double bytes) {
#ifdef _WIN32
  (void)path, (void)length, (void)bytes;
  return 0;
#else
  char name[4096];
  if (length >= sizeof(name)) return 0;
  std::memcpy(name, path, length);
  name[length] = 0;
  int file = open(name, O_RDWR | O_CLOEXEC);
  if (file < 0) return 0;
  void *memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return 0;
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(memory));
#endif
}

int32_t shared_unmap(address_t memory, double bytes) {
#ifdef _WIN32
  (void)memory, (void)bytes;
  return 1;
#else
  return munmap(at<void>(memory), static_cast<size_t>(bytes)) == 0 ? 0 : 1;
#endif
}

// Sleeps until a word of shared memory is another than `seen` and somebody wakes, at most so long.
void shared_sleep(address_t word, int32_t seen, uint32_t milliseconds) {
#ifdef __linux__
  timespec most = {static_cast<time_t>(milliseconds / 1000),
                   static_cast<long>(milliseconds % 1000) * 1000000L};
  syscall(SYS_futex, at<int32_t>(word), FUTEX_WAIT, seen, &most, nullptr, 0);
#elif !defined(_WIN32)
  (void)word, (void)seen;
  usleep(milliseconds > 1 ? 1000 : 100);
#else
  (void)word, (void)seen, (void)milliseconds;
#endif
}

void shared_wake(address_t word) {
#ifdef __linux__
  syscall(SYS_futex, at<int32_t>(word), FUTEX_WAKE, 0x7fffffff, nullptr, nullptr, 0);
#else
  (void)word;
#endif
}
}
