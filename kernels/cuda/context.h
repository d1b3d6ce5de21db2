// The context behind every call: one GPU, its queues, scratch memory, and why the last call failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <unordered_map>

#include "abi_generated.h"
#include "cublaslt.h"
#include "launch.h"

#ifdef LLAMERO_EMULATED
typedef void *Stream;
#else
typedef cudaStream_t Stream;
#endif

// What a kernel found in its data, told at the next `download` or `wait`: 0 is nothing.
enum Fault : int {
  FAULT_NONE = 0,
  FAULT_ID = 1,
  FAULT_SLOT = 2,
  FAULT_SEQUENCE = 3,
  FAULT_POSITION = 4,
  FAULT_PAGE = 5,
  FAULT_START = 6,
  FAULT_TARGET = 7,
};

class Context {
 public:
  static constexpr unsigned QUEUES = 4;
  static constexpr size_t SCRATCH_BYTES = size_t(64) << 20;

  // Opens the first GPU that is visible; null and a text in `failedOpen` where there is none.
  static Context *open();
  static const char *failedOpen();
  ~Context();

  Stream stream() const { return streams_[queue_]; }

  // Keeps a reason; every call that fails returns what this returns.
  int32_t refuse(const char *format, ...);
  // Whether the last launch was taken; `kernel` names it.
  int32_t launched(const char *kernel);
  const char *error() const { return error_; }

  address_t alloc(size_t bytes);
  int32_t free(address_t memory);
  int32_t upload(void *target, const void *source, size_t bytes);
  int32_t download(void *target, const void *source, size_t bytes);
  int32_t copy(uint8_t *target, const uint8_t *source, size_t bytes);
  int32_t fill(void *target, unsigned value, size_t bytes);
  int32_t chooseQueue(unsigned index);
  double mark();
  int32_t wait(double event);
  unsigned describe(char *text, unsigned capacity) const;

  // Memory of one call's own; kernels of one queue run in order.
  void *scratch() const { return scratch_; }
  // Products in bf16 where cuBLASLt is installed; null where it is not.
  CublasLt *cublas() const { return cublas_; }
  // Where kernels leave a fault.
  int *fault() const { return fault_; }

 private:
  Context() = default;
  bool start();
  int32_t takeFault();

  Stream streams_[QUEUES] = {};
  unsigned queue_ = 0;
  void *scratch_ = nullptr;
  int *fault_ = nullptr;
  CublasLt *cublas_ = nullptr;
  const char *cublasAbsent_ = "";
  std::unordered_map<uintptr_t, size_t> owned_;
  char error_[512] = "";
  char name_[256] = "";
  char architecture_[32] = "";
#ifndef LLAMERO_EMULATED
  static constexpr unsigned EVENTS = 64;
  cudaEvent_t events_[EVENTS] = {};
#endif
  uint64_t marked_ = 0;
};

inline Context &contextOf(address_t handle) {
  return *reinterpret_cast<Context *>(static_cast<uintptr_t>(handle));
}

template <typename T>
T *at(address_t address) {
  return reinterpret_cast<T *>(static_cast<uintptr_t>(address));
}

// Whether none of the tensors that a kernel needs is absent.
inline bool present(std::initializer_list<address_t> tensors) {
  for (address_t address : tensors) {
    if (address == 0) return false;
  }
  return true;
}

#define REQUIRE_TENSORS(context, ...) \
  if (!present({__VA_ARGS__})) return (context).refuse("a required tensor has address 0")

constexpr unsigned BLOCK = 256;

// Blocks of `per` elements that cover `count`.
inline unsigned blocksFor(size_t count, size_t per = BLOCK) {
  return static_cast<unsigned>((count + per - 1) / per);
}
