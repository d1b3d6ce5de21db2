// A context on a GPU: streams, memory and events of the CUDA runtime.

#include "context.h"

#include <cstdio>
#include <cstring>

namespace {

thread_local char failure[512] = "";

bool succeeded(cudaError_t status, const char *what) {
  if (status == cudaSuccess) return true;
  std::snprintf(failure, sizeof(failure), "%s: %s", what, cudaGetErrorString(status));
  return false;
}

}  // namespace

const char *Context::failedOpen() { return failure; }

int Context::devices() {
  int devices = 0;
  return succeeded(cudaGetDeviceCount(&devices), "no GPU") ? devices : -1;
}

Context *Context::open(unsigned device) {
  int visible = devices();
  if (visible < 0) return nullptr;
  if (static_cast<int>(device) >= visible) {
    if (visible == 0) std::snprintf(failure, sizeof(failure), "no GPU is visible");
    else std::snprintf(failure, sizeof(failure), "no GPU %u: %d are visible", device, visible);
    return nullptr;
  }
  Context *context = new Context();
  if (context->start(device)) return context;
  delete context;
  return nullptr;
}

bool Context::start(unsigned device) {
  // CUDA_VISIBLE_DEVICES says which GPUs there are and in which order; a thread works with one.
  int index = static_cast<int>(device);
  if (!succeeded(cudaSetDevice(index), "cannot use the GPU")) return false;
  cudaDeviceProp properties;
  if (!succeeded(cudaGetDeviceProperties(&properties, index), "cannot ask the GPU")) return false;
  for (int i = 0; i < 16; i++) {
    std::snprintf(identity_ + 2 * i, 3, "%02x", static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  std::snprintf(name_, sizeof(name_), "%s", properties.name);
  std::snprintf(architecture_, sizeof(architecture_), "sm_%d%d", properties.major, properties.minor);
  if (properties.major < 8) {
    std::snprintf(failure, sizeof(failure), "%s is %s; sm_80 is the oldest", name_, architecture_);
    return false;
  }
  for (Stream &stream : streams_) {
    if (!succeeded(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "no queue")) return false;
  }
  for (cudaEvent_t &event : events_) {
    if (!succeeded(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "no event")) return false;
  }
  for (Stream &stream : rankStreams_) {
    if (!succeeded(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "no queue")) return false;
  }
  for (cudaEvent_t *queue : rankEvents_) {
    for (unsigned i = 0; i < EVENTS; i++) {
      if (!succeeded(cudaEventCreateWithFlags(&queue[i], cudaEventDisableTiming), "no event")) return false;
    }
  }
  if (!succeeded(cudaEventCreateWithFlags(&kernelsDone_, cudaEventDisableTiming), "no event")) return false;
  cublas_ = CublasLt::open(&cublasAbsent_);
  return succeeded(cudaMalloc(&scratch_, SCRATCH_BYTES), "no scratch memory") &&
         succeeded(cudaMalloc(&fault_, sizeof(int)), "no memory") &&
         succeeded(cudaMemset(fault_, 0, sizeof(int)), "cannot clear memory");
}

Context::~Context() {
  cudaDeviceSynchronize();
  delete cublas_;
  for (auto &[address, bytes] : owned_) cudaFree(reinterpret_cast<void *>(address));
  cudaFree(scratch_);
  cudaFree(workspace_);
  cudaFree(fault_);
  for (cudaEvent_t event : events_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  for (cudaEvent_t *queue : rankEvents_) {
    for (unsigned i = 0; i < EVENTS; i++) {
      if (queue[i] != nullptr) cudaEventDestroy(queue[i]);
    }
  }
  if (kernelsDone_ != nullptr) cudaEventDestroy(kernelsDone_);
  for (Stream stream : streams_) {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
  for (Stream stream : rankStreams_) {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
}

// A wait takes the event as it was recorded last: one is enough for all beginnings.
int32_t Context::beginRanks(unsigned queue) {
  if (queue >= RANK_QUEUES) return refuse("queue %u between ranks: there are %u", queue, RANK_QUEUES);
  cudaError_t status = cudaEventRecord(kernelsDone_, streams_[0]);
  if (status == cudaSuccess) status = cudaStreamWaitEvent(rankStreams_[queue], kernelsDone_, 0);
  if (status != cudaSuccess) return refuse("ranks: %s", cudaGetErrorString(status));
  rankQueue_ = static_cast<int>(queue);
  return 0;
}

double Context::endRanks() {
  uint64_t &marked = ranksMarked_[rankQueue_];
  cudaEventRecord(rankEvents_[rankQueue_][marked % EVENTS], rankStreams_[rankQueue_]);
  rankQueue_ = -1;
  return static_cast<double>(++marked);
}

// The event of a number, or of the oldest that is left, before which all that are older were reached.
cudaEvent_t Context::rankEventOf(unsigned queue, double number) {
  uint64_t wanted = static_cast<uint64_t>(number);
  uint64_t marked = ranksMarked_[queue];
  uint64_t oldest = marked > EVENTS ? marked - EVENTS + 1 : 1;
  return rankEvents_[queue][((wanted < oldest ? oldest : wanted) - 1) % EVENTS];
}

int32_t Context::joinRanks(unsigned queue, double number) {
  cudaError_t status = cudaStreamWaitEvent(streams_[0], rankEventOf(queue, number), 0);
  return status == cudaSuccess ? 0 : refuse("ranks: %s", cudaGetErrorString(status));
}

int32_t Context::reachedRanks(unsigned queue, double number) {
  cudaError_t status = cudaEventQuery(rankEventOf(queue, number));
  if (status == cudaErrorNotReady) return NOT_YET;
  return status == cudaSuccess ? 0 : refuse("ranks: %s", cudaGetErrorString(status));
}

int32_t Context::settled() {
  cudaError_t status = cudaStreamQuery(streams_[0]);
  if (status == cudaErrorNotReady) return NOT_YET;
  return status == cudaSuccess ? 0 : refuse("wait: %s", cudaGetErrorString(status));
}

double Context::freeBytes() const {
  size_t available = 0, all = 0;
  return cudaMemGetInfo(&available, &all) == cudaSuccess ? static_cast<double>(available) : 0.0;
}

unsigned Context::identify(char *text, unsigned capacity) const {
  return static_cast<unsigned>(std::snprintf(text, capacity, "%s", identity_));
}

int32_t Context::launched(const char *kernel) {
  cudaError_t status = cudaGetLastError();
  return status == cudaSuccess ? 0 : refuse("%s: %s", kernel, cudaGetErrorString(status));
}

void *Context::workspace(size_t bytes) {
  if (bytes <= workspaceBytes_) return workspace_;
  // Lets kernels that still use it end.
  cudaFree(workspace_);
  workspace_ = nullptr;
  workspaceBytes_ = 0;
  if (cudaMalloc(&workspace_, bytes) != cudaSuccess) {
    cudaGetLastError();
    workspace_ = nullptr;
    return nullptr;
  }
  workspaceBytes_ = bytes;
  return workspace_;
}

address_t Context::alloc(size_t bytes) {
  void *memory = nullptr;
  // The runtime aligns to 256 bytes at least. An empty tensor has an address too.
  if (cudaMalloc(&memory, bytes == 0 ? 1 : bytes) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  if (cudaMemsetAsync(memory, 0, bytes, stream()) != cudaSuccess) return 0;
  owned_[reinterpret_cast<uintptr_t>(memory)] = bytes;
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(memory));
}

int32_t Context::free(address_t memory) {
  auto found = owned_.find(static_cast<uintptr_t>(memory));
  if (found == owned_.end()) return refuse("address %.0f is not one that alloc gave", memory);
  owned_.erase(found);
  // Waits for the kernels that use it, as the runtime documents.
  return cudaFree(at<void>(memory)) == cudaSuccess ? 0 : launched("free");
}

int32_t Context::upload(void *target, const void *source, size_t bytes) {
  // From pageable memory: the source may change as soon as this returns.
  cudaError_t status = cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream());
  return status == cudaSuccess ? 0 : refuse("upload: %s", cudaGetErrorString(status));
}

int32_t Context::download(void *target, const void *source, size_t bytes) {
  cudaError_t status = cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream());
  if (status == cudaSuccess) status = cudaStreamSynchronize(stream());
  return status == cudaSuccess ? 0 : refuse("download: %s", cudaGetErrorString(status));
}

int32_t Context::copy(uint8_t *target, const uint8_t *source, size_t bytes) {
  bool apart = target + bytes <= source || source + bytes <= target;
  size_t piece = apart ? bytes : SCRATCH_BYTES;
  auto move = [&](void *to, const void *from, size_t count) {
    return cudaMemcpyAsync(to, from, count, cudaMemcpyDeviceToDevice, stream()) == cudaSuccess;
  };
  for (size_t done = 0; done < bytes;) {
    size_t count = bytes - done < piece ? bytes - done : piece;
    // Ranges that overlap go by way of the scratch, from the end where they move up.
    size_t offset = !apart && target > source ? bytes - done - count : done;
    bool moved = apart ? move(target + offset, source + offset, count)
                       : move(scratch_, source + offset, count) &&
                             move(target + offset, scratch_, count);
    if (!moved) return launched("copy");
    done += count;
  }
  return 0;
}

int32_t Context::fill(void *target, unsigned value, size_t bytes) {
  cudaError_t status = cudaMemsetAsync(target, static_cast<int>(value), bytes, stream());
  return status == cudaSuccess ? 0 : refuse("fill: %s", cudaGetErrorString(status));
}

int32_t Context::chooseQueue(unsigned index) {
  if (index >= QUEUES) return refuse("queue %u: there are %u", index, QUEUES);
  queue_ = index;
  return 0;
}

double Context::mark() {
  cudaEventRecord(events_[marked_ % EVENTS], stream());
  return static_cast<double>(++marked_);
}

int32_t Context::wait(double event) {
  cudaError_t status = cudaSuccess;
  uint64_t number = static_cast<uint64_t>(event);
  if (number == 0 || number > marked_ || marked_ - number >= EVENTS) {
    // Marks that are older than the ring: what came after them is waited for too.
    status = cudaDeviceSynchronize();
  } else {
    status = cudaEventSynchronize(events_[(number - 1) % EVENTS]);
  }
  return status == cudaSuccess ? takeFault() : refuse("wait: %s", cudaGetErrorString(status));
}

unsigned Context::describe(char *text, unsigned capacity) const {
  int bytes = std::snprintf(text, capacity, "{\"isa\":\"%s\",\"threads\":1,\"features\":[\"%s\",\"%s\"]}",
                            architecture_, name_, cublas_ ? "cuBLASLt" : cublasAbsent_);
  return static_cast<unsigned>(bytes);
}
