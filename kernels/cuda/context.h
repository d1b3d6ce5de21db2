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
#include <atomic>
#include <thread>

#include "emulator/stream.h"
typedef EmulatedStream *Stream;
#else
typedef cudaStream_t Stream;
#endif

// What can be neither done nor refused yet: the caller looks again.
constexpr int32_t NOT_YET = 2;

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

  // Queues of what goes between ranks, beside that of kernels: one for what all ranks of a group do
  // together, and one for each way that messages of a pipeline go, so that none waits behind another.
  static constexpr unsigned RANK_QUEUES = 5;

  // Opens a GPU among those that are visible; null and a text in `failedOpen` where that cannot be.
  static Context *open(unsigned device);
  static const char *failedOpen();
  // How many GPUs are visible; below 0 where that cannot be asked, and `failedOpen` says why.
  static int devices();
  ~Context();

  Stream stream() const { return rankQueue_ < 0 ? streams_[queue_] : rankStreams_[rankQueue_]; }

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
  // Bytes of the GPU's memory that are free now; 0 where that cannot be told.
  double freeBytes() const;
  // What no other GPU is called.
  unsigned identify(char *text, unsigned capacity) const;

  // What goes between ranks: enqueued between these two, after all that kernels were given before. The
  // end's number is for `joinRanks` and `reachedRanks` of the same queue.
  int32_t beginRanks(unsigned queue);
  double endRanks();
  // Lets kernels that are enqueued from now on begin after that number; NOT_YET where the host must wait.
  int32_t joinRanks(unsigned queue, double number);
  // Whether that number has been reached: 0, NOT_YET, or a failure.
  int32_t reachedRanks(unsigned queue, double number);
  // Whether kernels have ended: 0, NOT_YET, or a failure.
  int32_t settled();

  // Memory of one call's own; kernels of one queue run in order.
  void *scratch() const { return scratch_; }
  // The same for as much as is asked for: grows at the first call that wants more, null where it cannot.
  void *workspace(size_t bytes);
  // Products in bf16 where cuBLASLt is installed; null where it is not.
  CublasLt *cublas() const { return cublas_; }
  // Where kernels leave a fault.
  int *fault() const { return fault_; }

 private:
  Context() = default;
  bool start(unsigned device);
  int32_t takeFault();

  Stream streams_[QUEUES] = {};
  unsigned queue_ = 0;
  Stream rankStreams_[RANK_QUEUES] = {};
  // The queue between ranks that is chosen; below 0 that of kernels.
  int rankQueue_ = -1;
  void *scratch_ = nullptr;
  void *workspace_ = nullptr;
  size_t workspaceBytes_ = 0;
  int *fault_ = nullptr;
  CublasLt *cublas_ = nullptr;
  const char *cublasAbsent_ = "";
  std::unordered_map<uintptr_t, size_t> owned_;
  char error_[512] = "";
  char name_[256] = "";
  char architecture_[32] = "";
  char identity_[40] = "";
#ifdef LLAMERO_EMULATED
 public:
  // Runs a kernel: at once, or when the ranks' queue comes to it.
  void emulate(dim3 blocks, dim3 threads, size_t sharedBytes, std::function<void()> body);

 private:
  // Does what is enqueued between ranks, until the context ends.
  void work();
  bool pump();
  DeferredStream ranks_[RANK_QUEUES];
  std::atomic<uint64_t> reached_[RANK_QUEUES] = {};
  std::thread worker_;
  std::atomic<bool> ending_{false};
  unsigned device_ = 0;
#else
  static constexpr unsigned EVENTS = 64;
  cudaEvent_t events_[EVENTS] = {};
  cudaEvent_t rankEvents_[RANK_QUEUES][EVENTS] = {};
  cudaEvent_t kernelsDone_ = nullptr;
  cudaEvent_t rankEventOf(unsigned queue, double number);
#endif
  uint64_t marked_ = 0;
  uint64_t ranksMarked_[RANK_QUEUES] = {};
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
