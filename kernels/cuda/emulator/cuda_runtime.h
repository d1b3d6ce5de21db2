// The few functions of the CUDA runtime that trials of products use, on the processor: all work has ended
// when a call returns. Time is what this thread has computed, whatever else the machine does.
#pragma once

#include <cstdlib>
#include <cstring>
#include <ctime>

typedef int cudaError_t;
typedef void *cudaStream_t;
typedef std::timespec *cudaEvent_t;

constexpr cudaError_t cudaSuccess = 0;
constexpr int cudaMemcpyDeviceToHost = 2;

inline cudaError_t cudaMalloc(void **memory, size_t bytes) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *memory == nullptr ? 2 : cudaSuccess;
}

inline cudaError_t cudaFree(void *memory) {
  std::free(memory);
  return cudaSuccess;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }

inline cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, int, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

inline cudaError_t cudaEventCreate(cudaEvent_t *event) {
  *event = new std::timespec();
  return cudaSuccess;
}

inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  return clock_gettime(CLOCK_THREAD_CPUTIME_ID, event) == 0 ? cudaSuccess : 1;
}

inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }

inline cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begun, cudaEvent_t ended) {
  double seconds = static_cast<double>(ended->tv_sec - begun->tv_sec);
  double nanoseconds = static_cast<double>(ended->tv_nsec - begun->tv_nsec);
  *milliseconds = static_cast<float>(1e3 * seconds + 1e-6 * nanoseconds);
  return cudaSuccess;
}
