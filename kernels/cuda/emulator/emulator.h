// Runs the kernels of this folder on the processor, so that their arithmetic and their barriers are
// tested on machines without a GPU. It is slow, it says nothing about speed, and it is no proof that a
// kernel works on a GPU: races between warps and misuse of hardware do not show here.
//
// A block's threads are fibers of one operating-system thread. One runs until it waits at a barrier or
// ends; blocks run one after the other, so that their shared memory can be static.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

using std::isfinite;

inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulated {

// Where the running fiber stands.
struct Place {
  dim3 thread, block, threads, blocks;
};

Place &here();

// Runs `body` once for every thread of every block; gives `sharedBytes` of dynamic shared memory.
void launch(dim3 blocks, dim3 threads, size_t sharedBytes, const std::function<void()> &body);

// The block's dynamic shared memory.
unsigned char *dynamicShared();

// Waits for all threads of the block that have not ended.
void blockBarrier();

// Gives every lane of the warp the value of another; all 32 take part.
uint64_t warpExchange(uint64_t value, unsigned lane);

// What a lane shows to its warp.
typedef std::array<uint32_t, 8> Words;

// What all 32 lanes show, lane by lane; theirs until the warp shares again.
const Words *warpShare(const Words &mine);

// Bytes of a copy that are there to be read, and those that it fills.
struct CopyBytes {
  unsigned read, filled;
};

// Asynchronous copies of the running thread: done no sooner than somebody waits for them.
void beginCopy(void *shared, const void *global, CopyBytes bytes);
void commitCopies();
void waitCopies(unsigned ahead);

template <typename T>
T shuffle(T value, unsigned lane) {
  static_assert(sizeof(T) <= 8, "a lane exchanges one word");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warpExchange(bits, lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// A call for later: arguments are taken now, as a GPU takes them.
template <typename Kernel, typename... Arguments>
std::function<void()> bound(Kernel kernel, Arguments... arguments) {
  return [=] { kernel(arguments...); };
}

inline unsigned lane() { return here().thread.x % 32; }

}  // namespace emulated

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

#define threadIdx (emulated::here().thread)
#define blockIdx (emulated::here().block)
#define blockDim (emulated::here().threads)
#define gridDim (emulated::here().blocks)

inline void __syncthreads() { emulated::blockBarrier(); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulated::shuffle(value, emulated::lane() ^ static_cast<unsigned>(mask));
}

template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  return emulated::shuffle(value, static_cast<unsigned>(lane) % 32);
}

inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// What a block may have on every GPU from sm_80 on: sm_86 and sm_89 have the least.
#define ALLOW_SHARED(kernel, bytes) static_assert((bytes) <= 99 * 1024, "more than sm_86 has")

#define LAUNCH_ON(stream, kernel, blocks, threads, ...) \
  emulated::launch(blocks, threads, 0, emulated::bound(kernel, __VA_ARGS__))
#define LAUNCH(context, kernel, blocks, threads, sharedBytes, ...) \
  (context).emulate(blocks, threads, sharedBytes, emulated::bound(kernel, __VA_ARGS__))
#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(emulated::dynamicShared())
