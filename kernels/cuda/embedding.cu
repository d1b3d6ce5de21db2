// Rows of a table, and the gradient of taking them. Formulas stand in kernels/table/.

#include "block_formats.h"
#include "context.h"

__global__ void embedding_kernel(float *out, const uint8_t *table, const int *ids, uint32_t dtype,
                                 size_t row_bytes, unsigned vocab, unsigned dim, int *fault) {
  int id = ids[blockIdx.x];
  bool known = id >= 0 && static_cast<unsigned>(id) < vocab;
  if (!known && threadIdx.x == 0) *fault = FAULT_ID;
  const uint8_t *row = table + (known ? static_cast<size_t>(id) : 0) * row_bytes;
  float *result = out + static_cast<size_t>(blockIdx.x) * dim;
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    result[i] = known ? element(dtype, row, i) : 0.0f;
  }
}

// The block of the first row that has an id adds all rows that have it, in order.
__global__ void embedding_backward_kernel(float *dtable, const float *dy, const int *ids,
                                          unsigned rows, unsigned vocab, unsigned dim, int *fault) {
  __shared__ int space[WARP];
  int id = ids[blockIdx.x], earlier = 0;
  for (unsigned row = threadIdx.x; row < blockIdx.x; row += blockDim.x) earlier += ids[row] == id;
  if (block_sum(earlier, space) > 0) return;
  if (id < 0 || static_cast<unsigned>(id) >= vocab) {
    if (threadIdx.x == 0) *fault = FAULT_ID;
    return;
  }
  for (unsigned i = threadIdx.x; i < dim; i += blockDim.x) {
    float *sum = dtable + static_cast<size_t>(id) * dim + i;
    float value = *sum;
    for (unsigned row = blockIdx.x; row < rows; row++) {
      if (ids[row] == id) value += dy[static_cast<size_t>(row) * dim + i];
    }
    *sum = value;
  }
}

extern "C" {

int32_t k_embedding(address_t handle, address_t out, address_t table, address_t ids,
                    uint32_t table_dtype, uint32_t rows, uint32_t vocab, uint32_t dim) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, table, ids);
  BlockShape shape = block_shape(table_dtype);
  if (shape.elements == 0) {
    return context.refuse("table_dtype must be f32, f16, bf16 or a block type");
  }
  if (dim % shape.elements != 0) {
    return context.refuse("dim is not a multiple of the block length of table_dtype");
  }
  if (rows == 0 || dim == 0) return 0;
  size_t row_bytes = static_cast<size_t>(dim) / shape.elements * shape.bytes;
  LAUNCH(context, embedding_kernel, rows, BLOCK, 0, at<float>(out), at<uint8_t>(table),
         at<int>(ids), table_dtype, row_bytes, vocab, dim, context.fault());
  return context.launched("embedding");
}

int32_t k_embedding_backward(address_t handle, address_t dtable, address_t dy, address_t ids,
                             uint32_t rows, uint32_t vocab, uint32_t dim) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, dtable, dy, ids);
  if (rows == 0 || dim == 0) return 0;
  LAUNCH(context, embedding_backward_kernel, rows, BLOCK, 0, at<float>(dtable), at<float>(dy),
         at<int>(ids), rows, vocab, dim, context.fault());
  return context.launched("embedding_backward");
}
}
