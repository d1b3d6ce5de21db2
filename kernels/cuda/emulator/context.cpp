// A context without a GPU: memory of the process, kernels that have ended when a call returns.

#include "../context.h"

#include <unistd.h>

#include <chrono>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

thread_local char failure[128] = "no memory for a context";

}  // namespace

const char *Context::failedOpen() { return failure; }

// As many as a test says.
int Context::devices() {
  const char *wanted = std::getenv("LLAMERO_EMULATED_GPUS");
  return wanted == nullptr ? 1 : std::atoi(wanted);
}

Context *Context::open(unsigned device) {
  if (static_cast<int>(device) >= devices()) {
    std::snprintf(failure, sizeof(failure), "no GPU %u: %d are visible", device, devices());
    return nullptr;
  }
  Context *context = new Context();
  if (context->start(device)) return context;
  delete context;
  return nullptr;
}

bool Context::start(unsigned device) {
  device_ = device;
  for (unsigned queue = 0; queue < RANK_QUEUES; queue++) rankStreams_[queue] = &ranks_[queue];
  cublas_ = CublasLt::open(&cublasAbsent_);
  scratch_ = std::malloc(SCRATCH_BYTES);
  fault_ = static_cast<int *>(std::calloc(1, sizeof(int)));
  return scratch_ != nullptr && fault_ != nullptr;
}

Context::~Context() {
  ending_ = true;
  if (worker_.joinable()) worker_.join();
  for (auto &[address, bytes] : owned_) std::free(reinterpret_cast<void *>(address));
  std::free(scratch_);
  std::free(workspace_);
  delete cublas_;
  std::free(fault_);
}

int32_t Context::launched(const char *) { return 0; }

// Filled with NaN: nothing may count on zeros, or on what a call left there.
void *Context::workspace(size_t bytes) {
  if (bytes > workspaceBytes_) {
    std::free(workspace_);
    workspace_ = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    workspaceBytes_ = workspace_ == nullptr ? 0 : bytes;
  }
  if (workspace_ != nullptr) std::memset(workspace_, 0xff, bytes);
  return workspace_;
}

address_t Context::alloc(size_t bytes) {
  size_t rounded = bytes / 64 * 64 + 64;
  if (rounded < bytes) return 0;
  void *memory = std::aligned_alloc(64, rounded);
  if (memory == nullptr) return 0;
  std::memset(memory, 0, rounded);
  owned_[reinterpret_cast<uintptr_t>(memory)] = bytes;
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(memory));
}

// Like cudaFree it lets all that was enqueued end first: work on its way may still use the memory.
int32_t Context::free(address_t memory) {
  for (int look = 0; look < 20000 && pump(); look++) {
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
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
  auto move = [=] { return std::memmove(target, source, bytes), STEP_DONE; };
  if (stream() != nullptr) stream()->push(move);
  else move();
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

void Context::emulate(dim3 blocks, dim3 threads, size_t sharedBytes, std::function<void()> body) {
  if (stream() == nullptr) return emulated::launch(blocks, threads, sharedBytes, body);
  stream()->push([=] { return emulated::launch(blocks, threads, sharedBytes, body), STEP_DONE; });
}

int32_t Context::beginRanks(unsigned queue) {
  if (queue >= RANK_QUEUES) return refuse("queue %u between ranks: there are %u", queue, RANK_QUEUES);
  if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
  rankQueue_ = static_cast<int>(queue);
  return 0;
}

double Context::endRanks() {
  unsigned queue = static_cast<unsigned>(rankQueue_);
  ranks_[queue].push([this, queue] { return reached_[queue]++, STEP_DONE; });
  rankQueue_ = -1;
  return static_cast<double>(++ranksMarked_[queue]);
}

// Kernels of the other queue run when they are called: what they wait for must have been before.
int32_t Context::joinRanks(unsigned queue, double number) { return reachedRanks(queue, number); }

// All queues go on, as far as each can; whether anything is left to do.
bool Context::pump() {
  bool left = false;
  for (DeferredStream &queue : ranks_) left = queue.pump() || left;
  return left;
}

void Context::work() {
  while (!ending_) {
    bool left = pump();
    std::this_thread::sleep_for(std::chrono::microseconds(left ? 300 : 1500));
  }
}

int32_t Context::reachedRanks(unsigned queue, double number) {
  pump();
  for (DeferredStream &each : ranks_) {
    if (each.failed()) return refuse("what goes between ranks has failed");
  }
  return static_cast<double>(reached_[queue]) >= number ? 0 : NOT_YET;
}

int32_t Context::settled() { return 0; }

// As much as a test says; the processor's own is told elsewhere.
double Context::freeBytes() const {
  const char *wanted = std::getenv("LLAMERO_EMULATED_GPU_BYTES");
  return wanted == nullptr ? 0.0 : std::atof(wanted);
}

// Contexts of one process share a GPU, as virtual ranks do.
unsigned Context::identify(char *text, unsigned capacity) const {
  return static_cast<unsigned>(
      std::snprintf(text, capacity, "emulated %d of process %d", device_, static_cast<int>(getpid())));
}

unsigned Context::describe(char *text, unsigned capacity) const {
  int bytes = std::snprintf(text, capacity,
                            "{\"isa\":\"emulated\",\"threads\":1,\"features\":[\"emulated\"]}");
  return static_cast<unsigned>(bytes);
}
