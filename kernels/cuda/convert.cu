// Rows from one element type to another: f32 to f16, bf16 or q8_0, and any type to f32. Blocks of other
// types are made on the processor, once, when a model is quantized.

#include "block_formats.h"
#include "context.h"

__global__ void narrow_kernel(uint16_t *out, const float *x, size_t count, bool brain) {
  size_t i = global_index();
  if (i < count) out[i] = brain ? f32_to_bf16(x[i]) : f32_to_f16(x[i]);
}

__global__ void widen_kernel(float *out, const uint8_t *x, uint32_t dtype, size_t count) {
  size_t i = global_index();
  // Rows are whole blocks long, so that all of them are one long row.
  if (i < count) out[i] = element(dtype, x, i);
}

__global__ void to_q8_0_kernel(uint8_t *out, const float *x, size_t blocks) {
  size_t block = global_index() / WARP;
  if (block >= blocks) return;
  unsigned lane = threadIdx.x % WARP;
  store_q8_0(out + block * 34, x[block * 32 + lane], lane);
}

extern "C" int32_t k_convert(address_t handle, address_t out, address_t x, uint32_t out_dtype,
                             uint32_t x_dtype, uint32_t rows, uint32_t dim) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x);
  BlockShape from = block_shape(x_dtype), to = block_shape(out_dtype);
  if (from.elements == 0 || to.elements == 0 || (x_dtype != DTYPE_F32 && out_dtype != DTYPE_F32)) {
    return context.refuse("converts f32 to f16, bf16 or blocks, and these to f32");
  }
  if ((x_dtype == DTYPE_Q8_0 || out_dtype == DTYPE_Q8_0) && dim % 32 != 0) {
    return context.refuse("a q8_0 row is a multiple of 32 long");
  }
  if (dim % from.elements != 0 || dim % to.elements != 0) {
    return context.refuse("a row is a whole number of blocks long");
  }
  size_t count = static_cast<size_t>(rows) * dim;
  if (count == 0) return 0;
  if (out_dtype == DTYPE_F32) {
    LAUNCH(context, widen_kernel, blocksFor(count), BLOCK, 0, at<float>(out), at<uint8_t>(x),
           x_dtype, count);
  } else if (out_dtype == DTYPE_Q8_0) {
    LAUNCH(context, to_q8_0_kernel, blocksFor(count), BLOCK, 0, at<uint8_t>(out), at<float>(x),
           count / 32);
  } else if (to.elements == 1) {
    LAUNCH(context, narrow_kernel, blocksFor(count), BLOCK, 0, at<uint16_t>(out), at<float>(x),
           count, out_dtype == DTYPE_BF16);
  } else {
    return context.refuse("a GPU makes no blocks but those of q8_0: quantize with --backend native");
  }
  return context.launched("convert");
}
