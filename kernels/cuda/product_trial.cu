// Operands of a trial by a hash of the index, so that every trial of a shape has the same: bf16 of either sign
// from 2^-12 to 1, all exponents alike. Products then span more bits than f32 has, and sums of a few of them
// are not exact in every order.

#include "product_trial.h"

#include "device.h"

__global__ void draw_kernel(uint16_t *x, size_t count, unsigned seed) {
  size_t i = global_index();
  if (i >= count) return;
  // The finalizer of MurmurHash3.
  uint32_t hash = static_cast<uint32_t>(i) ^ seed;
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
  hash ^= hash >> 16;
  uint32_t exponent = 115 + (hash >> 16) % 12;
  x[i] = static_cast<uint16_t>((hash & 0x807fu) | exponent << 7);
}

__global__ void differ_kernel(int *differs, const uint32_t *x, const uint32_t *y, size_t count) {
  size_t i = global_index();
  if (i < count && x[i] != y[i]) *differs = 1;
}

namespace {

constexpr unsigned THREADS = 256;

unsigned blocks(size_t count) { return static_cast<unsigned>((count + THREADS - 1) / THREADS); }

// Elements that an operand spans; the next one begins at 256 bytes.
size_t spanOf(const BrainOperand &operand, size_t lines, size_t depth) {
  size_t span = (operand.across ? depth : lines) * operand.stride;
  return (span + 127) / 128 * 128;
}

}  // namespace

Trial::Trial(const BrainProduct &shape, cudaStream_t stream) : shape_(shape), stream_(stream) {
  size_t a = spanOf(shape.a, shape.rows, shape.depth), b = spanOf(shape.b, shape.columns, shape.depth);
  size_t out = (shape.rows * shape.out_stride * sizeof(float) + 255) / 256 * 256;
  ofB_ = a * sizeof(uint16_t);
  ofOut_ = ofB_ + b * sizeof(uint16_t);
  ofSecond_ = ofOut_ + out;
  ofDiffers_ = ofSecond_ + out;
  void *memory = nullptr;
  if (cudaMalloc(&memory, ofDiffers_ + sizeof(int)) != cudaSuccess) {
    cudaGetLastError();
    return;
  }
  memory_ = static_cast<uint8_t *>(memory);
  if (cudaEventCreate(&begun_) != cudaSuccess || cudaEventCreate(&ended_) != cudaSuccess) return;
  uint16_t *ofA = reinterpret_cast<uint16_t *>(memory_), *ofB = reinterpret_cast<uint16_t *>(memory_ + ofB_);
  LAUNCH_ON(stream, draw_kernel, blocks(a), THREADS, ofA, a, 0x9e3779b9u);
  LAUNCH_ON(stream, draw_kernel, blocks(b), THREADS, ofB, b, 0x7f4a7c15u);
  ready_ = cudaGetLastError() == cudaSuccess;
}

Trial::~Trial() {
  if (begun_ != nullptr) cudaEventDestroy(begun_);
  if (ended_ != nullptr) cudaEventDestroy(ended_);
  // Lets what was enqueued end.
  cudaFree(memory_);
}

BrainProduct Trial::productOf(bool compared) const {
  BrainProduct product = shape_;
  product.a.address = reinterpret_cast<uint16_t *>(memory_);
  product.b.address = reinterpret_cast<uint16_t *>(memory_ + ofB_);
  product.out = reinterpret_cast<float *>(memory_ + (compared ? ofSecond_ : ofOut_));
  return product;
}

bool Trial::clear(const BrainProduct &product) {
  return cudaMemsetAsync(product.out, 0, ofSecond_ - ofOut_, stream_) == cudaSuccess;
}

bool Trial::ended() { return cudaStreamSynchronize(stream_) == cudaSuccess; }

bool Trial::equal() {
  int *differs = reinterpret_cast<int *>(memory_ + ofDiffers_);
  size_t count = (ofSecond_ - ofOut_) / sizeof(float);
  if (cudaMemsetAsync(differs, 0, sizeof(int), stream_) != cudaSuccess) return false;
  LAUNCH_ON(stream_, differ_kernel, blocks(count), THREADS, differs,
            reinterpret_cast<uint32_t *>(memory_ + ofOut_),
            reinterpret_cast<uint32_t *>(memory_ + ofSecond_), count);
  int found = 1;
  bool read = cudaMemcpyAsync(&found, differs, sizeof(int), cudaMemcpyDeviceToHost, stream_) == cudaSuccess;
  return read && ended() && found == 0;
}
