// Causal attention of whole documents for training, forward and backward (Dao 2023, algorithms 1 and 2),
// plain: a warp takes one row of one head, lanes take the rows that it meets, 32 at a time from the first.
// Nothing of rows x rows is stored, and every sum has one order. In bf16 tensor cores do it (`flash.h`), for
// all head sizes that they take.

#include "flash.h"

__device__ __forceinline__ float factor_of(float x, bool brain) {
  return brain ? bf16_to_f32(f32_to_bf16(x)) : x;
}

__device__ __forceinline__ float dot(const Heads &h, const float *a, const float *b) {
  float sum = 0.0f;
  for (unsigned i = 0; i < h.head_dim; i++) {
    sum = __fmaf_rn(factor_of(a[i], h.brain), factor_of(b[i], h.brain), sum);
  }
  return sum;
}

// sums[i] += sum over lanes of weight * rows[lane][i], lanes in order; `row` is this lane's. They add up by
// themselves first, so that long documents round less.
__device__ void add_weighted(const Heads &h, float *sums, float weight, const float *row,
                             unsigned count) {
  unsigned lane = threadIdx.x, dim = h.head_dim;
  weight = factor_of(weight, h.brain);
  unsigned long long mine = reinterpret_cast<uintptr_t>(row);
  for (unsigned i = lane; i < dim + (WARP - dim % WARP) % WARP; i += WARP) {
    float sum = 0.0f;
    for (unsigned j = 0; j < count; j++) {
      float factor = __shfl_sync(ALL_LANES, weight, static_cast<int>(j));
      unsigned long long there = __shfl_sync(ALL_LANES, mine, static_cast<int>(j));
      const float *other = reinterpret_cast<const float *>(static_cast<uintptr_t>(there));
      if (i < dim) sum = __fmaf_rn(factor, factor_of(other[i], h.brain), sum);
    }
    if (i < dim) sums[i] += sum;
  }
}

__global__ void attention_forward_kernel(Heads h, Forward p) {
  DYNAMIC_SHARED(float, sums);
  unsigned row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x, dim = h.head_dim;
  size_t kv = static_cast<size_t>(head / (h.heads / h.kv_heads)) * dim;
  const float *q = p.q + row * p.q_stride + static_cast<size_t>(head) * dim;
  for (unsigned i = lane; i < dim; i += WARP) sums[i] = 0.0f;
  float largest = -INFINITY, total = 0.0f;
  for (unsigned first = first_visible(h, row); first <= row; first += WARP) {
    unsigned other = first + lane;
    bool visible = other <= row;
    size_t seen = visible ? other : row;
    float score = visible ? dot(h, q, p.k + seen * p.k_stride + kv) * h.scale : -INFINITY;
    float above = fmaxf(largest, warp_max(score));
    float share = visible ? expf(score - above) : 0.0f;
    float kept = expf(largest - above);
    total = total * kept + warp_sum(share);
    largest = above;
    for (unsigned i = lane; i < dim; i += WARP) sums[i] *= kept;
    unsigned count = row - first + 1 < WARP ? row - first + 1 : WARP;
    add_weighted(h, sums, share, p.v + seen * p.v_stride + kv, count);
  }
  float *out = p.out + row * p.out_stride + static_cast<size_t>(head) * dim;
  for (unsigned i = lane; i < dim; i += WARP) out[i] = sums[i] / total;
  if (lane == 0) p.log_z[static_cast<size_t>(row) * h.heads + head] = largest + logf(total);
}

// Of one query row and one key row: the softmax's share and the gradient of the score.
struct Pair {
  float share, slope;
};

__device__ __forceinline__ Pair pair_of(const Heads &h, const Backward &p, unsigned query,
                                        unsigned key, unsigned head) {
  unsigned dim = h.head_dim;
  size_t of_head = static_cast<size_t>(head) * dim;
  size_t kv = static_cast<size_t>(head / (h.heads / h.kv_heads)) * dim;
  const float *dout = p.dout + query * p.dout_stride + of_head;
  const float *q = p.q + query * p.q_stride + of_head;
  float score = dot(h, q, p.k + key * p.k_stride + kv) * h.scale;
  float share = expf(score - p.log_z[static_cast<size_t>(query) * h.heads + head]);
  float through = dot(h, dout, p.v + key * p.v_stride + kv);
  float mean = dot(h, dout, p.out + query * p.out_stride + of_head);
  return {share, share * (through - mean)};
}

__global__ void attention_dq_kernel(Heads h, Backward p) {
  DYNAMIC_SHARED(float, sums);
  unsigned row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x, dim = h.head_dim;
  size_t kv = static_cast<size_t>(head / (h.heads / h.kv_heads)) * dim;
  for (unsigned i = lane; i < dim; i += WARP) sums[i] = 0.0f;
  for (unsigned first = first_visible(h, row); first <= row; first += WARP) {
    unsigned other = first + lane;
    bool visible = other <= row;
    unsigned seen = visible ? other : row;
    float slope = visible ? pair_of(h, p, row, seen, head).slope : 0.0f;
    unsigned count = row - first + 1 < WARP ? row - first + 1 : WARP;
    add_weighted(h, sums, slope, p.k + seen * p.k_stride + kv, count);
  }
  float *dq = p.dq + row * p.dq_stride + static_cast<size_t>(head) * dim;
  for (unsigned i = lane; i < dim; i += WARP) dq[i] = sums[i] * h.scale;
}

// A key row is seen by the rows from itself on whose document starts at or before it; its query heads
// come in order.
__global__ void attention_dkv_kernel(Heads h, Backward p) {
  DYNAMIC_SHARED(float, sums);
  unsigned row = blockIdx.x, kv_head = blockIdx.y, lane = threadIdx.x, dim = h.head_dim;
  float *dk = sums, *dv = sums + dim;
  for (unsigned i = lane; i < dim; i += WARP) dk[i] = dv[i] = 0.0f;
  unsigned group = h.heads / h.kv_heads;
  for (unsigned head = kv_head * group; head < (kv_head + 1) * group; head++) {
    size_t of_head = static_cast<size_t>(head) * dim;
    for (unsigned first = row; first < h.rows; first += WARP) {
      unsigned query = first + lane;
      bool sees = query < h.rows && h.starts[query] <= static_cast<int>(row);
      // Starts ascend: those that see the row come before those that do not.
      unsigned count = static_cast<unsigned>(warp_sum(sees ? 1 : 0));
      if (count == 0) break;
      unsigned from = sees ? query : row;
      Pair pair = sees ? pair_of(h, p, from, row, head) : Pair{0.0f, 0.0f};
      add_weighted(h, dv, pair.share, p.dout + from * p.dout_stride + of_head, count);
      add_weighted(h, dk, pair.slope, p.q + from * p.q_stride + of_head, count);
      if (count < WARP) break;
    }
  }
  size_t at = static_cast<size_t>(kv_head) * dim;
  for (unsigned i = lane; i < dim; i += WARP) {
    p.dk[row * p.dk_stride + at + i] = dk[i] * h.scale;
    p.dv[row * p.dv_stride + at + i] = dv[i];
  }
}

namespace {

constexpr unsigned MOST_HEAD_DIM = 4096;

bool is_precision(uint32_t code) { return code == DTYPE_F32 || code == DTYPE_BF16; }

int32_t check(Context &context, const Heads &h) {
  if (h.kv_heads == 0 || h.heads % h.kv_heads != 0) {
    return context.refuse("heads is not a multiple of kv_heads");
  }
  if (h.head_dim == 0 || h.head_dim > MOST_HEAD_DIM) {
    return context.refuse("head_dim must be from 1 to %u", MOST_HEAD_DIM);
  }
  if (h.heads > 65535) return context.refuse("heads must be at most 65535");
  return 0;
}

bool narrow(const Heads &h, std::initializer_list<size_t> ofHeads,
            std::initializer_list<size_t> ofKvHeads) {
  if (h.rows < 2) return false;
  for (size_t stride : ofHeads) {
    if (stride < static_cast<size_t>(h.heads) * h.head_dim) return true;
  }
  for (size_t stride : ofKvHeads) {
    if (stride < static_cast<size_t>(h.kv_heads) * h.head_dim) return true;
  }
  return false;
}

}  // namespace

extern "C" {

int32_t k_attention_forward(address_t handle, address_t out, address_t log_z, address_t q,
                            address_t k, address_t v, address_t starts, uint32_t rows,
                            uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
                            uint32_t out_stride, uint32_t q_stride, uint32_t k_stride,
                            uint32_t v_stride, float scale, uint32_t precision) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, log_z, q, k, v, starts);
  if (!is_precision(precision)) return context.refuse("precision must be f32 or bf16");
  bool brain = precision == DTYPE_BF16;
  Heads h = {at<int>(starts), rows, heads, kv_heads, head_dim, scale, brain, context.fault()};
  if (int32_t status = check(context, h)) return status;
  if (narrow(h, {out_stride, q_stride}, {k_stride, v_stride})) {
    return context.refuse("a stride is below the width of its rows");
  }
  if (rows == 0 || heads == 0) return 0;
  Forward p = {at<float>(out), at<float>(log_z), at<float>(q), at<float>(k), at<float>(v),
               out_stride,     q_stride,         k_stride,     v_stride};
  if (takesTensorCores(h)) return flashForward(context, h, p);
  LAUNCH(context, attention_forward_kernel, dim3(rows, heads), WARP, head_dim * sizeof(float), h, p);
  return context.launched("attention_forward");
}

int32_t k_attention_backward(address_t handle, address_t dq, address_t dk, address_t dv,
                             address_t dout, address_t out, address_t log_z, address_t q,
                             address_t k, address_t v, address_t starts, uint32_t rows,
                             uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
                             uint32_t dq_stride, uint32_t dk_stride, uint32_t dv_stride,
                             uint32_t dout_stride, uint32_t out_stride, uint32_t q_stride,
                             uint32_t k_stride, uint32_t v_stride, float scale,
                             uint32_t precision) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, dq, dk, dv, dout, out, log_z, q, k, v, starts);
  if (!is_precision(precision)) return context.refuse("precision must be f32 or bf16");
  bool brain = precision == DTYPE_BF16;
  Heads h = {at<int>(starts), rows, heads, kv_heads, head_dim, scale, brain, context.fault()};
  if (int32_t status = check(context, h)) return status;
  if (narrow(h, {dq_stride, dout_stride, out_stride, q_stride},
             {dk_stride, dv_stride, k_stride, v_stride})) {
    return context.refuse("a stride is below the width of its rows");
  }
  if (rows == 0 || heads == 0) return 0;
  Backward p = {at<float>(dq),    at<float>(dk), at<float>(dv), at<float>(dout), at<float>(out),
                at<float>(log_z), at<float>(q),  at<float>(k),  at<float>(v),    dq_stride,
                dk_stride,        dv_stride,     dout_stride,   out_stride,      q_stride,
                k_stride,         v_stride};
  if (takesTensorCores(h)) return flashBackward(context, h, p);
  size_t row_bytes = head_dim * sizeof(float);
  LAUNCH(context, attention_dq_kernel, dim3(rows, heads), WARP, row_bytes, h, p);
  if (int32_t status = context.launched("attention_backward")) return status;
  LAUNCH(context, attention_dkv_kernel, dim3(rows, kv_heads), WARP, 2 * row_bytes, h, p);
  return context.launched("attention_backward");
}
}
