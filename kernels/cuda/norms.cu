// RMSNorm and LayerNorm, forward and backward; a block takes a row, sums are trees over its threads.
// Formulas and sources stand in kernels/table/{inference,training}.ts.

#include "context.h"
#include "device.h"

__global__ void rms_norm_kernel(float *out, const float *x, const float *weight, unsigned dim,
                                float eps) {
  __shared__ float space[WARP];
  const float *row = x + static_cast<size_t>(blockIdx.x) * dim;
  float *result = out + static_cast<size_t>(blockIdx.x) * dim;
  float squares = 0.0f;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) squares += row[i] * row[i];
  float r = 1.0f / sqrtf(block_sum(squares, space) / dim + eps);
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) result[i] = weight[i] * (row[i] * r);
}

__global__ void layer_norm_kernel(float *out, const float *x, const float *weight, const float *bias,
                                  unsigned dim, float eps) {
  __shared__ float space[WARP];
  const float *row = x + static_cast<size_t>(blockIdx.x) * dim;
  float *result = out + static_cast<size_t>(blockIdx.x) * dim;
  float sum = 0.0f, squares = 0.0f;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) sum += row[i];
  float mean = block_sum(sum, space) / dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    squares += (row[i] - mean) * (row[i] - mean);
  }
  float r = 1.0f / sqrtf(block_sum(squares, space) / dim + eps);
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    float normal = (row[i] - mean) * r;
    result[i] = bias == nullptr ? weight[i] * normal : weight[i] * normal + bias[i];
  }
}

// Statistics of a row of a backward pass, kept in the scratch for the sums over rows.
struct RowStatistics {
  float mean, r;
};

__global__ void rms_norm_backward_kernel(float *dx, const float *dy, const float *x,
                                         const float *weight, RowStatistics *statistics,
                                         unsigned dim, float eps) {
  __shared__ float space[WARP];
  size_t start = static_cast<size_t>(blockIdx.x) * dim;
  float squares = 0.0f, dot = 0.0f;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    squares += x[start + i] * x[start + i];
    dot += weight[i] * dy[start + i] * x[start + i];
  }
  float r = 1.0f / sqrtf(block_sum(squares, space) / dim + eps);
  // mean(weight dy n) with n = x r
  float mean_dot = block_sum(dot, space) * r / dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    dx[start + i] += r * (weight[i] * dy[start + i] - x[start + i] * r * mean_dot);
  }
  if (threadIdx.x == 0) statistics[blockIdx.x] = {0.0f, r};
}

__global__ void layer_norm_backward_kernel(float *dx, const float *dy, const float *x,
                                           const float *weight, RowStatistics *statistics,
                                           unsigned dim, float eps) {
  __shared__ float space[WARP];
  size_t start = static_cast<size_t>(blockIdx.x) * dim;
  float sum = 0.0f, squares = 0.0f, slope = 0.0f, dot = 0.0f;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) sum += x[start + i];
  float mean = block_sum(sum, space) / dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    float centred = x[start + i] - mean;
    squares += centred * centred;
    slope += weight[i] * dy[start + i];
    dot += weight[i] * dy[start + i] * centred;
  }
  float r = 1.0f / sqrtf(block_sum(squares, space) / dim + eps);
  float mean_slope = block_sum(slope, space) / dim;
  float mean_dot = block_sum(dot, space) * r / dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    float normal = (x[start + i] - mean) * r;
    dx[start + i] += r * (weight[i] * dy[start + i] - mean_slope - normal * mean_dot);
  }
  if (threadIdx.x == 0) statistics[blockIdx.x] = {mean, r};
}

constexpr unsigned LANES_OF_ROWS = 8;

// dweight += sum over rows of dy n, dbias += sum over rows of dy. A thread of a column takes every
// eighth row in order; the eight join in order.
__global__ void norm_weights_kernel(float *dweight, float *dbias, const float *dy, const float *x,
                                    const RowStatistics *statistics, unsigned rows, unsigned dim) {
  __shared__ float weights[LANES_OF_ROWS][WARP];
  __shared__ float biases[LANES_OF_ROWS][WARP];
  unsigned column = threadIdx.x % WARP, lane = threadIdx.x / WARP;
  size_t i = static_cast<size_t>(blockIdx.x) * WARP + column;
  float weight = 0.0f, bias = 0.0f;
  for (size_t row = lane; row < rows && i < dim; row += LANES_OF_ROWS) {
    RowStatistics of = statistics[row];
    float slope = dy[row * dim + i];
    weight += slope * ((x[row * dim + i] - of.mean) * of.r);
    bias += slope;
  }
  weights[lane][column] = weight;
  biases[lane][column] = bias;
  __syncthreads();
  if (lane != 0 || i >= dim) return;
  for (unsigned other = 1; other < LANES_OF_ROWS; other++) {
    weight += weights[other][column];
    bias += biases[other][column];
  }
  dweight[i] += weight;
  if (dbias != nullptr) dbias[i] += bias;
}

namespace {

// Rows whose statistics fit in the scratch at once.
constexpr unsigned MOST_ROWS =
    static_cast<unsigned>(Context::SCRATCH_BYTES / sizeof(RowStatistics));

struct Weights {
  float *dweight, *dbias;
  const float *dy, *x;
};

int32_t sumWeights(Context &context, const Weights &p, unsigned rows, unsigned dim) {
  LAUNCH(context, norm_weights_kernel, blocksFor(dim, WARP), LANES_OF_ROWS * WARP, 0, p.dweight,
         p.dbias, p.dy, p.x, static_cast<const RowStatistics *>(context.scratch()), rows, dim);
  return context.launched("norm weights");
}

}  // namespace

extern "C" {

int32_t k_rms_norm(address_t handle, address_t out, address_t x, address_t weight, uint32_t rows,
                   uint32_t dim, float eps) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x, weight);
  if (rows == 0 || dim == 0) return 0;
  LAUNCH(context, rms_norm_kernel, rows, BLOCK, 0, at<float>(out), at<float>(x), at<float>(weight),
         dim, eps);
  return context.launched("rms_norm");
}

int32_t k_layer_norm(address_t handle, address_t out, address_t x, address_t weight, address_t bias,
                     uint32_t rows, uint32_t dim, float eps) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x, weight);
  if (rows == 0 || dim == 0) return 0;
  LAUNCH(context, layer_norm_kernel, rows, BLOCK, 0, at<float>(out), at<float>(x),
         at<float>(weight), at<float>(bias), dim, eps);
  return context.launched("layer_norm");
}

int32_t k_rms_norm_backward(address_t handle, address_t dx, address_t dweight, address_t dy,
                            address_t x, address_t weight, uint32_t rows, uint32_t dim, float eps) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, dx, dweight, dy, x, weight);
  if (rows == 0 || dim == 0) return 0;
  if (rows > MOST_ROWS) return context.refuse("rows must be at most %u", MOST_ROWS);
  LAUNCH(context, rms_norm_backward_kernel, rows, BLOCK, 0, at<float>(dx), at<float>(dy),
         at<float>(x), at<float>(weight), static_cast<RowStatistics *>(context.scratch()), dim, eps);
  if (int32_t status = context.launched("rms_norm_backward")) return status;
  return sumWeights(context, {at<float>(dweight), nullptr, at<float>(dy), at<float>(x)}, rows, dim);
}

int32_t k_layer_norm_backward(address_t handle, address_t dx, address_t dweight, address_t dbias,
                              address_t dy, address_t x, address_t weight, uint32_t rows,
                              uint32_t dim, float eps) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, dx, dweight, dy, x, weight);
  if (rows == 0 || dim == 0) return 0;
  if (rows > MOST_ROWS) return context.refuse("rows must be at most %u", MOST_ROWS);
  LAUNCH(context, layer_norm_backward_kernel, rows, BLOCK, 0, at<float>(dx), at<float>(dy),
         at<float>(x), at<float>(weight), static_cast<RowStatistics *>(context.scratch()), dim, eps);
  if (int32_t status = context.launched("layer_norm_backward")) return status;
  Weights weights = {at<float>(dweight), at<float>(dbias), at<float>(dy), at<float>(x)};
  return sumWeights(context, weights, rows, dim);
}
}
