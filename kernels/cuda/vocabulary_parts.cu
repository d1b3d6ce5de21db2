// Cross-entropy where every rank has a part of the vocabulary (Shoeybi et al. 2019, section 3). Formulas
// stand in kernels/table/training.ts; a block takes a row.

#include "context.h"
#include "device.h"

struct Part {
  float *exponentials, *shift, *sum, *chosen;
  const float *logits;
  const int *targets;
  unsigned vocab;
  int *fault;
};

// The row's target in this part, -1 where it is elsewhere; one that is none is told.
__device__ __forceinline__ int target_of(const int *targets, unsigned vocab, int *fault) {
  int target = targets[blockIdx.x];
  if (target < 0 || static_cast<unsigned>(target) < vocab) return target < 0 ? -1 : target;
  if (threadIdx.x == 0) *fault = FAULT_TARGET;
  return -1;
}

__global__ void score_part_kernel(Part p) {
  __shared__ float space[WARP];
  size_t row = blockIdx.x;
  const float *logits = p.logits + row * p.vocab;
  int target = target_of(p.targets, p.vocab, p.fault);
  // Read before its exponential may take its place.
  float chosen = target < 0 ? 0.0f : logits[target];
  float largest = -INFINITY;
  for (unsigned i = threadIdx.x; i < p.vocab; i += blockDim.x) largest = fmaxf(largest, logits[i]);
  largest = block_max(largest, space);
  float shift = isfinite(largest) ? largest : 0.0f;
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < p.vocab; i += blockDim.x) {
    float exponential = expf(logits[i] - shift);
    sum += exponential;
    if (p.exponentials != nullptr) p.exponentials[row * p.vocab + i] = exponential;
  }
  sum = block_sum(sum, space);
  if (threadIdx.x != 0) return;
  p.shift[row] = shift;
  p.sum[row] = sum;
  p.chosen[row] = chosen;
}

__global__ void cross_entropy_part_kernel(float *logits, const float *factors,
                                          const float *weights, const int *targets, unsigned vocab,
                                          int *fault) {
  size_t row = blockIdx.x;
  float factor = factors[row], weight = weights[row];
  int target = target_of(targets, vocab, fault);
  for (unsigned i = threadIdx.x; i < vocab; i += blockDim.x) {
    float gradient = factor * logits[row * vocab + i];
    if (static_cast<int>(i) == target) gradient -= weight;
    logits[row * vocab + i] = weight == 0.0f ? 0.0f : gradient;
  }
}

extern "C" {

int32_t k_score_part(address_t handle, address_t exponentials, address_t shift, address_t sum,
                     address_t chosen, address_t logits, address_t targets, uint32_t rows,
                     uint32_t vocab) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, shift, sum, chosen, logits, targets);
  if (vocab == 0) return context.refuse("vocab must be at least 1");
  if (rows == 0) return 0;
  Part p = {at<float>(exponentials), at<float>(shift), at<float>(sum), at<float>(chosen),
            at<float>(logits),       at<int>(targets), vocab,          context.fault()};
  LAUNCH(context, score_part_kernel, rows, BLOCK, 0, p);
  return context.launched("score_part");
}

int32_t k_cross_entropy_part(address_t handle, address_t logits, address_t factors,
                             address_t weights, address_t targets, uint32_t rows, uint32_t vocab) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, logits, factors, weights, targets);
  if (vocab == 0) return context.refuse("vocab must be at least 1");
  if (rows == 0) return 0;
  LAUNCH(context, cross_entropy_part_kernel, rows, BLOCK, 0, at<float>(logits), at<float>(factors),
         at<float>(weights), at<int>(targets), vocab, context.fault());
  return context.launched("cross_entropy_part");
}
}
