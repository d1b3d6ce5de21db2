// What the machine can do at best: arithmetic in registers, and reading memory.

#include "context.h"
#include "device.h"

constexpr unsigned CHAINS = 8;
// Blocks that fill the largest GPUs; an emulated one has no speed, so that one warp is enough.
#ifdef LLAMERO_EMULATED
constexpr unsigned FILLING = 1, WIDTH = WARP;
#else
constexpr unsigned FILLING = 132, WIDTH = BLOCK;
#endif

__global__ void peak_fma_kernel(double *out, unsigned iterations, unsigned threads) {
  float sums[CHAINS];
  for (unsigned i = 0; i < CHAINS; i++) sums[i] = static_cast<float>(threadIdx.x + i);
  for (unsigned round = 0; round < iterations; round++) {
    for (unsigned i = 0; i < CHAINS; i++) sums[i] = __fmaf_rn(sums[i], 0.999f, 0.001f);
  }
  float alive = 0.0f;
  for (unsigned i = 0; i < CHAINS; i++) alive += sums[i];
  if (global_index() != 0) return;
  out[0] = 2.0 * CHAINS * iterations * threads;
  out[1] = alive;
}

__global__ void peak_read_kernel(double *parts, const float *x, size_t count) {
  __shared__ double space[WARP];
  float sum = 0.0f;
  size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
  for (size_t i = global_index(); i < count; i += step) sum += x[i];
  double total = block_sum(static_cast<double>(sum), space);
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

__global__ void peak_read_join_kernel(double *out, const double *parts, unsigned count) {
  double sum = 0.0;
  for (unsigned i = 0; i < count; i++) sum += parts[i];
  out[0] = sum;
}

extern "C" {

int32_t k_peak_fma(address_t handle, address_t out, uint32_t iterations) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out);
  unsigned blocks = FILLING * 16;
  LAUNCH(context, peak_fma_kernel, blocks, WIDTH, 0, at<double>(out), iterations, blocks * WIDTH);
  return context.launched("peak_fma");
}

int32_t k_peak_read(address_t handle, address_t out, address_t x, double bytes, uint32_t variant) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x);
  if (variant > 2) return context.refuse("variant is 0, 1 or 2");
  unsigned blocks = FILLING * (4u << variant);
  double *parts = static_cast<double *>(context.scratch());
  LAUNCH(context, peak_read_kernel, blocks, WIDTH, 0, parts, at<float>(x),
         static_cast<size_t>(bytes) / 4);
  LAUNCH(context, peak_read_join_kernel, 1, 1, 0, at<double>(out), parts, blocks);
  return context.launched("peak_read");
}
}
