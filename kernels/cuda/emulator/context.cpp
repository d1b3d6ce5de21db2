// A context without a GPU: memory of the process, kernels that have ended when a call returns.

#include "../context.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

const char *Context::failedOpen() { return "no memory for a context"; }

Context *Context::open() {
  Context *context = new Context();
  if (context->start()) return context;
  delete context;
  return nullptr;
}

bool Context::start() {
  scratch_ = std::malloc(SCRATCH_BYTES);
  fault_ = static_cast<int *>(std::calloc(1, sizeof(int)));
  return scratch_ != nullptr && fault_ != nullptr;
}

Context::~Context() {
  for (auto &[address, bytes] : owned_) std::free(reinterpret_cast<void *>(address));
  std::free(scratch_);
  std::free(fault_);
}

int32_t Context::launched(const char *) { return 0; }

address_t Context::alloc(size_t bytes) {
  size_t rounded = bytes / 64 * 64 + 64;
  if (rounded < bytes) return 0;
  void *memory = std::aligned_alloc(64, rounded);
  if (memory == nullptr) return 0;
  std::memset(memory, 0, rounded);
  owned_[reinterpret_cast<uintptr_t>(memory)] = bytes;
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(memory));
}

int32_t Context::free(address_t memory) {
  if (owned_.erase(static_cast<uintptr_t>(memory)) == 0) {
    return refuse("address %.0f is not one that alloc gave", memory);
  }
  std::free(at<void>(memory));
  return 0;
}

int32_t Context::upload(void *target, const void *source, size_t bytes) {
  std::memcpy(target, source, bytes);
  return 0;
}

int32_t Context::download(void *target, const void *source, size_t bytes) {
  std::memcpy(target, source, bytes);
  return 0;
}

int32_t Context::copy(uint8_t *target, const uint8_t *source, size_t bytes) {
  std::memmove(target, source, bytes);
  return 0;
}

int32_t Context::fill(void *target, unsigned value, size_t bytes) {
  std::memset(target, static_cast<int>(value), bytes);
  return 0;
}

int32_t Context::chooseQueue(unsigned index) {
  if (index >= QUEUES) return refuse("queue %u: there are %u", index, QUEUES);
  queue_ = index;
  return 0;
}

double Context::mark() { return static_cast<double>(++marked_); }

int32_t Context::wait(double) { return takeFault(); }

unsigned Context::describe(char *text, unsigned capacity) const {
  int bytes = std::snprintf(text, capacity,
                            "{\"isa\":\"emulated\",\"threads\":1,\"features\":[\"emulated\"]}");
  return static_cast<unsigned>(bytes);
}
