// Over rows of logits: softmax, the largest, log-probabilities, the loss with its gradient. A block
// takes a row. Formulas and sources stand in kernels/table/{inference,training}.ts.

#include <cfloat>

#include "context.h"
#include "device.h"

// Largest of a row, -inf where nothing is a number.
__device__ __forceinline__ float row_max(const float *x, unsigned dim, float *space) {
  float largest = -INFINITY;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) largest = fmaxf(largest, x[i]);
  return block_max(largest, space);
}

__device__ __forceinline__ float row_exp_sum(const float *x, unsigned dim, float largest,
                                             float *space) {
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) sum += expf(x[i] - largest);
  return block_sum(sum, space);
}

__global__ void softmax_kernel(float *out, const float *x, unsigned dim) {
  __shared__ float space[WARP];
  const float *row = x + static_cast<size_t>(blockIdx.x) * dim;
  float *result = out + static_cast<size_t>(blockIdx.x) * dim;
  float largest = row_max(row, dim, space);
  float sum = row_exp_sum(row, dim, largest, space);
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    result[i] = expf(row[i] - largest) / sum;
  }
}

__global__ void argmax_kernel(int *out, const float *x, unsigned dim) {
  __shared__ float values[BLOCK];
  __shared__ unsigned places[BLOCK];
  const float *row = x + static_cast<size_t>(blockIdx.x) * dim;
  float best = -INFINITY;
  unsigned place = dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    // A first -inf is taken too, so that a row of them has its first place.
    if (row[i] > best || (place == dim && row[i] == best)) {
      best = row[i];
      place = i;
    }
  }
  values[threadIdx.x] = best;
  places[threadIdx.x] = place;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      float other = values[threadIdx.x + half];
      unsigned there = places[threadIdx.x + half];
      bool wins = other > values[threadIdx.x] ||
                  (other == values[threadIdx.x] && there < places[threadIdx.x]);
      if (wins) {
        values[threadIdx.x] = other;
        places[threadIdx.x] = there;
      }
    }
  }
  if (threadIdx.x == 0) out[blockIdx.x] = places[0] == dim ? 0 : static_cast<int>(places[0]);
}

__global__ void score_kernel(float *log_prob, float *log_z, const float *logits, const int *targets,
                             unsigned vocab, int *fault) {
  __shared__ float space[WARP];
  const float *row = logits + static_cast<size_t>(blockIdx.x) * vocab;
  float largest = row_max(row, vocab, space);
  float z = largest + logf(row_exp_sum(row, vocab, largest, space));
  if (threadIdx.x != 0) return;
  int target = targets[blockIdx.x];
  if (target >= 0 && static_cast<unsigned>(target) >= vocab) {
    *fault = FAULT_TARGET;
    target = -1;
  }
  log_z[blockIdx.x] = z;
  log_prob[blockIdx.x] = target < 0 ? 0.0f : row[target] - z;
}

struct CrossEntropy {
  float *logits, *log_prob, *log_z;
  const int *targets;
  const float *weights;
  unsigned vocab;
  float z_loss;
  int *fault;
};

__global__ void cross_entropy_kernel(CrossEntropy p) {
  __shared__ float space[WARP];
  size_t row = blockIdx.x;
  float *logits = p.logits + row * p.vocab;
  float largest = row_max(logits, p.vocab, space);
  float z = largest + logf(row_exp_sum(logits, p.vocab, largest, space));
  int target = p.targets[row];
  if (target >= 0 && static_cast<unsigned>(target) >= p.vocab) {
    if (threadIdx.x == 0) *p.fault = FAULT_TARGET;
    target = -1;
  }
  if (threadIdx.x == 0) {
    p.log_z[row] = z;
    p.log_prob[row] = target < 0 ? 0.0f : logits[target] - z;
  }
  float weight = target < 0 ? 0.0f : p.weights[row];
  float factor = weight * (1.0f + 2.0f * p.z_loss * z);
  // The target's logit is read before anyone replaces it.
  __syncthreads();
  for (unsigned i = threadIdx.x; i < p.vocab; i += blockDim.x) {
    float gradient = factor * expf(logits[i] - z);
    if (static_cast<int>(i) == target) gradient -= weight;
    logits[i] = weight == 0.0f ? 0.0f : gradient;
  }
}

extern "C" {

int32_t k_softmax(address_t handle, address_t out, address_t x, uint32_t rows, uint32_t dim) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x);
  if (rows == 0 || dim == 0) return 0;
  LAUNCH(context, softmax_kernel, rows, BLOCK, 0, at<float>(out), at<float>(x), dim);
  return context.launched("softmax");
}

int32_t k_argmax(address_t handle, address_t out, address_t x, uint32_t rows, uint32_t dim) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x);
  if (dim == 0 || dim > 0x7fffffffu) {
    return context.refuse("dim must be at least 1 and fit in 31 bits");
  }
  if (rows == 0) return 0;
  LAUNCH(context, argmax_kernel, rows, BLOCK, 0, at<int>(out), at<float>(x), dim);
  return context.launched("argmax");
}

int32_t k_score(address_t handle, address_t log_prob, address_t log_z, address_t logits,
                address_t targets, uint32_t rows, uint32_t vocab) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, log_prob, log_z, logits, targets);
  if (vocab == 0) return context.refuse("vocab must be at least 1");
  if (rows == 0) return 0;
  LAUNCH(context, score_kernel, rows, BLOCK, 0, at<float>(log_prob), at<float>(log_z),
         at<float>(logits), at<int>(targets), vocab, context.fault());
  return context.launched("score");
}

int32_t k_cross_entropy(address_t handle, address_t logits, address_t log_prob, address_t log_z,
                        address_t targets, address_t weights, uint32_t rows, uint32_t vocab,
                        float z_loss) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, logits, log_prob, log_z, targets, weights);
  if (vocab == 0) return context.refuse("vocab must be at least 1");
  if (rows == 0) return 0;
  CrossEntropy p = {at<float>(logits),  at<float>(log_prob), at<float>(log_z), at<int>(targets),
                    at<float>(weights), vocab,               z_loss,           context.fault()};
  LAUNCH(context, cross_entropy_kernel, rows, BLOCK, 0, p);
  return context.launched("cross_entropy");
}
}
