// Operands of attention on tensor cores: rounded to bf16 once, so that tiles of them come by asynchronous
// copies and half as many bytes cross the caches for every tile that meets them.

#include "flash.h"
#include "round_rows.h"

// A warp rounds one head of dout and sums dout out, lanes' shares in a tree.
__global__ void flash_delta_kernel(Heads h, Backward p, FlashRows f, unsigned width) {
  unsigned row = blockIdx.x * (BLOCK / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  unsigned head = blockIdx.y;
  if (row >= f.padded) return;
  size_t at = static_cast<size_t>(head) * f.padded + row;
  if (row >= h.rows) {
    if (lane == 0) f.log2_z[at] = INFINITY, f.delta[at] = 0.0f;
    return;
  }
  size_t of_head = static_cast<size_t>(head) * h.head_dim;
  const float *dout = p.dout + row * p.dout_stride + of_head;
  const float *out = p.out + row * p.out_stride + of_head;
  uint16_t *to = f.dout + row * f.q_stride + static_cast<size_t>(head) * width;
  float sum = 0.0f;
  for (unsigned i = lane; i < width; i += WARP) {
    uint16_t rounded = i < h.head_dim ? f32_to_bf16(dout[i]) : uint16_t(0);
    if (i < h.head_dim) sum = __fmaf_rn(bf16_to_f32(rounded), out[i], sum);
    to[i] = rounded;
  }
  sum = warp_sum(sum);
  if (lane == 0) {
    f.delta[at] = sum;
    f.log2_z[at] = p.log_z[static_cast<size_t>(row) * h.heads + head] * LOG2_E;
  }
}

namespace {

// Takes pieces of memory one after another, each aligned to 256 bytes; first only counts.
struct Pieces {
  uint8_t *base;
  size_t used = 0;

  template <typename T>
  T *take(size_t count) {
    T *piece = base == nullptr ? nullptr : reinterpret_cast<T *>(base + used);
    used += (count * sizeof(T) + 255) / 256 * 256;
    return piece;
  }
};

size_t layOut(FlashRows &f, const Heads &h, bool backward, uint8_t *base) {
  Pieces pieces = {base};
  unsigned width = flashWidth(h.head_dim);
  f.padded = blocksFor(h.rows, FLASH_ROUND) * FLASH_ROUND;
  f.q_stride = static_cast<size_t>(h.heads) * width;
  f.kv_stride = static_cast<size_t>(h.kv_heads) * width;
  f.q = pieces.take<uint16_t>(h.rows * f.q_stride);
  f.k = pieces.take<uint16_t>(h.rows * f.kv_stride);
  f.v = pieces.take<uint16_t>(h.rows * f.kv_stride);
  if (!backward) return pieces.used;
  f.dout = pieces.take<uint16_t>(h.rows * f.q_stride);
  f.log2_z = pieces.take<float>(static_cast<size_t>(h.heads) * f.padded);
  f.delta = pieces.take<float>(static_cast<size_t>(h.heads) * f.padded);
  return pieces.used;
}

void roundHeads(Context &context, uint16_t *to, const float *from, size_t stride, unsigned heads,
                const Heads &h) {
  roundRows(context, to, {from, stride, h.rows, heads, h.head_dim}, flashWidth(h.head_dim));
}

template <typename Call>
int32_t operands(Context &context, const Heads &h, const Call &p, bool backward, FlashRows &f) {
  f = {};
  size_t bytes = layOut(f, h, backward, nullptr);
  uint8_t *base = static_cast<uint8_t *>(context.workspace(bytes));
  if (base == nullptr) return context.refuse("attention: no memory for %zu bytes of bf16", bytes);
  layOut(f, h, backward, base);
  roundHeads(context, f.q, p.q, p.q_stride, h.heads, h);
  roundHeads(context, f.k, p.k, p.k_stride, h.kv_heads, h);
  roundHeads(context, f.v, p.v, p.v_stride, h.kv_heads, h);
  return context.launched("attention");
}

}  // namespace

int32_t flashOperands(Context &context, const Heads &h, const Forward &p, FlashRows &f) {
  return operands(context, h, p, false, f);
}

int32_t flashOperands(Context &context, const Heads &h, const Backward &p, FlashRows &f) {
  if (int32_t status = operands(context, h, p, true, f)) return status;
  LAUNCH(context, flash_delta_kernel, dim3(blocksFor(f.padded, BLOCK / WARP), h.heads), BLOCK, 0, h, p,
         f, flashWidth(h.head_dim));
  return context.launched("attention");
}
