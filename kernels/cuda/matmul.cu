// Product with a weight of any type, for inference. A warp makes an output column for a few rows: lane
// l sums elements l, l + 32, ... of the inner dimension, then the lanes join in a tree; so an output's
// order depends on the inner dimension alone, and a row has the same bits alone as among others.

#include "block_formats.h"
#include "context.h"

// Rows that share a weight while it is in a register.
constexpr unsigned ROWS = 4;

struct Product {
  float *out;
  const uint8_t *x, *weight;
  uint32_t x_dtype, weight_dtype;
  unsigned rows, out_dim, in_dim;
  size_t x_row_bytes, weight_row_bytes, out_stride;
  bool accumulate;
};

__global__ void matmul_kernel(Product p) {
  unsigned column = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
  unsigned first = blockIdx.y * ROWS, lane = threadIdx.x % WARP;
  // Whole warps leave together.
  if (column >= p.out_dim) return;
  const uint8_t *weight = p.weight + column * p.weight_row_bytes;
  float sums[ROWS] = {};
  for (unsigned k = lane; k < p.in_dim; k += WARP) {
    float w = element(p.weight_dtype, weight, k);
    for (unsigned r = 0; r < ROWS && first + r < p.rows; r++) {
      const uint8_t *x = p.x + (first + r) * p.x_row_bytes;
      sums[r] = __fmaf_rn(element(p.x_dtype, x, k), w, sums[r]);
    }
  }
  for (unsigned r = 0; r < ROWS; r++) {
    float sum = warp_sum(sums[r]);
    if (lane != 0 || first + r >= p.rows) continue;
    float *out = p.out + (first + r) * p.out_stride + column;
    *out = p.accumulate ? *out + sum : sum;
  }
}

extern "C" int32_t k_matmul(address_t handle, address_t out, address_t x, address_t weight,
                            uint32_t x_dtype, uint32_t weight_dtype, uint32_t rows,
                            uint32_t out_dim, uint32_t in_dim, uint32_t x_stride,
                            uint32_t out_stride, uint32_t accumulate) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x, weight);
  BlockShape shape = block_shape(weight_dtype);
  if (rows > 1 && (x_stride < in_dim || out_stride < out_dim)) {
    return context.refuse("a stride is smaller than its row");
  }
  if (x_dtype != DTYPE_F32 && x_dtype != DTYPE_BF16 && x_dtype != DTYPE_Q8_0) {
    return context.refuse("x is f32, bf16 or q8_0");
  }
  if (shape.elements == 0) return context.refuse("weight is f32, f16, bf16 or a block type");
  if (x_dtype == DTYPE_Q8_0 && shape.elements == 1) {
    return context.refuse("q8_0 rows are multiplied by weights of a block type");
  }
  if (x_dtype == DTYPE_BF16 && weight_dtype != DTYPE_BF16) {
    return context.refuse("rows of bf16 are multiplied by weights of bf16");
  }
  if (x_dtype == DTYPE_BF16 && (in_dim | x_stride) % 2 != 0) {
    return context.refuse("rows of bf16 and their stride are even");
  }
  if (in_dim % shape.elements != 0) {
    return context.refuse("a row of weights is a whole number of blocks long");
  }
  if (x_dtype == DTYPE_Q8_0 && rows > 1 && x_stride % 32 != 0) {
    return context.refuse("the stride of q8_0 rows is a multiple of 32");
  }
  if (rows == 0 || out_dim == 0) return 0;
  Product p = {at<float>(out), at<uint8_t>(x), at<uint8_t>(weight), x_dtype, weight_dtype, rows,
               out_dim, in_dim, 0, static_cast<size_t>(in_dim) / shape.elements * shape.bytes,
               out_stride, accumulate != 0};
  BlockShape row = block_shape(x_dtype);
  p.x_row_bytes = size_t(x_stride) / row.elements * row.bytes;
  dim3 blocks(blocksFor(out_dim, BLOCK / WARP), blocksFor(rows, ROWS));
  if (blocks.y > 65535) return context.refuse("rows must be at most %u", 65535 * ROWS);
  LAUNCH(context, matmul_kernel, blocks, BLOCK, 0, p);
  return context.launched("matmul");
}
