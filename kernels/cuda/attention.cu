// The paged cache of keys and values, and causal attention over it (Dao et al. 2022, algorithm 1; Kwon et
// al. 2023). A warp takes one query head of one row and goes through the positions in tiles of 32
// anchored at 0, a position a lane, with an online softmax.

#include "block_formats.h"
#include "context.h"

struct Cache {
  uint32_t dtype;
  unsigned kv_heads, head_dim, pages, page_size;

  // Bytes of one head at one position.
  __host__ __device__ size_t row_bytes() const {
    BlockShape shape = block_shape(dtype);
    return static_cast<size_t>(head_dim) / shape.elements * shape.bytes;
  }

  __device__ size_t offset(size_t page, unsigned head, unsigned place) const {
    return ((page * kv_heads + head) * page_size + place) * row_bytes();
  }
};

// Where two rows name one slot the later one stays: a block has a head and goes through its rows.
__global__ void kv_store_kernel(uint8_t *cache, const float *x, const int *slots, Cache shape,
                                unsigned rows, size_t stride, int *fault) {
  unsigned head = blockIdx.x, lane = threadIdx.x % WARP;
  for (unsigned row = 0; row < rows; row++) {
    int slot = slots[row];
    if (slot < 0 || static_cast<size_t>(slot) >= size_t(shape.pages) * shape.page_size) {
      if (threadIdx.x == 0) *fault = FAULT_SLOT;
      continue;
    }
    unsigned place = static_cast<unsigned>(slot) % shape.page_size;
    uint8_t *to = cache + shape.offset(static_cast<unsigned>(slot) / shape.page_size, head, place);
    const float *from = x + row * stride + static_cast<size_t>(head) * shape.head_dim;
    for (unsigned i = lane; i < shape.head_dim; i += WARP) {
      if (shape.dtype == DTYPE_F32) reinterpret_cast<float *>(to)[i] = from[i];
      else if (shape.dtype == DTYPE_F16) reinterpret_cast<uint16_t *>(to)[i] = f32_to_f16(from[i]);
      else store_q8_0(to + i / 32 * 34, from[i], lane);
    }
  }
}

struct Attention {
  float *out;
  const float *q;
  const uint8_t *keys, *values;
  const int *page_table, *row_sequence, *row_position;
  Cache cache;
  unsigned heads, sequences, max_pages;
  size_t q_stride, out_stride;
  float scale;
  int *fault;
};

// Offset of a position's head in keys and values; a page that is none is told and read as page 0.
__device__ size_t position_offset(const Attention &p, const int *pages, unsigned position,
                                  unsigned kv_head) {
  int page = pages[position / p.cache.page_size];
  if (page < 0 || static_cast<unsigned>(page) >= p.cache.pages) {
    *p.fault = FAULT_PAGE;
    page = 0;
  }
  return p.cache.offset(static_cast<size_t>(page), kv_head, position % p.cache.page_size);
}

__global__ void attention_kernel(Attention p) {
  DYNAMIC_SHARED(float, sums);
  unsigned row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x;
  unsigned dim = p.cache.head_dim;
  float *out = p.out + row * p.out_stride + static_cast<size_t>(head) * dim;
  const float *q = p.q + row * p.q_stride + static_cast<size_t>(head) * dim;
  unsigned kv_head = head / (p.heads / p.cache.kv_heads);
  int sequence = p.row_sequence[row], last = p.row_position[row];
  bool known = sequence >= 0 && static_cast<unsigned>(sequence) < p.sequences;
  bool inside = last >= 0 && static_cast<unsigned>(last) / p.cache.page_size < p.max_pages;
  if (!known || !inside) {
    if (lane == 0) *p.fault = known ? FAULT_POSITION : FAULT_SEQUENCE;
    return;
  }
  const int *pages = p.page_table + static_cast<size_t>(sequence) * p.max_pages;
  for (unsigned i = lane; i < dim; i += WARP) sums[i] = 0.0f;
  float largest = -INFINITY, total = 0.0f;
  for (unsigned first = 0; first <= static_cast<unsigned>(last); first += WARP) {
    unsigned position = first + lane;
    bool visible = position <= static_cast<unsigned>(last);
    size_t offset = visible ? position_offset(p, pages, position, kv_head) : 0;
    float score = -INFINITY;
    if (visible) {
      float dot = 0.0f;
      for (unsigned i = 0; i < dim; i++) {
        dot = __fmaf_rn(q[i], element(p.cache.dtype, p.keys + offset, i), dot);
      }
      score = dot * p.scale;
    }
    float above = fmaxf(largest, warp_max(score));
    float share = visible ? expf(score - above) : 0.0f;
    float kept = expf(largest - above);
    total = total * kept + warp_sum(share);
    largest = above;
    unsigned count = static_cast<unsigned>(last) - first + 1;
    if (count > WARP) count = WARP;
    for (unsigned i = lane; i < dim + (WARP - dim % WARP) % WARP; i += WARP) {
      // A tile adds up by itself first, so that long contexts round less.
      float sum = 0.0f;
      for (unsigned j = 0; j < count; j++) {
        float weight = __shfl_sync(ALL_LANES, share, static_cast<int>(j));
        size_t there = __shfl_sync(ALL_LANES, offset, static_cast<int>(j));
        if (i < dim) sum = __fmaf_rn(weight, element(p.cache.dtype, p.values + there, i), sum);
      }
      if (i < dim) sums[i] = sums[i] * kept + sum;
    }
  }
  for (unsigned i = lane; i < dim; i += WARP) out[i] = sums[i] / total;
}

namespace {

int32_t checkCache(Context &context, const Cache &cache) {
  if (cache.dtype == DTYPE_Q8_0) {
    if (cache.head_dim % 32 == 0) return 0;
    return context.refuse("head_dim must be a multiple of 32 in a cache of q8_0");
  }
  if (cache.dtype == DTYPE_F32 || cache.dtype == DTYPE_F16) return 0;
  return context.refuse("cache_dtype must be f32, f16 or q8_0");
}

}  // namespace

extern "C" {

int32_t k_kv_store(address_t handle, address_t cache, address_t x, address_t slots,
                   uint32_t cache_dtype, uint32_t rows, uint32_t kv_heads, uint32_t head_dim,
                   uint32_t stride, uint32_t pages, uint32_t page_size) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, cache, x, slots);
  if (rows > 1 && stride < static_cast<uint64_t>(kv_heads) * head_dim) {
    return context.refuse("stride must be at least kv_heads * head_dim");
  }
  Cache shape = {cache_dtype, kv_heads, head_dim, pages, page_size};
  if (int32_t status = checkCache(context, shape)) return status;
  if (rows == 0 || kv_heads == 0 || head_dim == 0) return 0;
  LAUNCH(context, kv_store_kernel, kv_heads, WARP, 0, at<uint8_t>(cache), at<float>(x),
         at<int>(slots), shape, rows, stride, context.fault());
  return context.launched("kv_store");
}

int32_t k_attention(address_t handle, address_t out, address_t q, address_t keys, address_t values,
                    address_t page_table, address_t row_sequence, address_t row_position,
                    uint32_t cache_dtype, uint32_t rows, uint32_t heads, uint32_t kv_heads,
                    uint32_t head_dim, uint32_t pages, uint32_t page_size, uint32_t sequences,
                    uint32_t max_pages, uint32_t q_stride, uint32_t out_stride, float scale) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, q, keys, values, page_table, row_sequence, row_position);
  if (kv_heads == 0 || heads % kv_heads != 0) {
    return context.refuse("heads must be a multiple of kv_heads");
  }
  if (head_dim == 0 || head_dim > 8192) return context.refuse("head_dim must be from 1 to 8192");
  if (page_size == 0) return context.refuse("page_size must be at least 1");
  uint64_t width = static_cast<uint64_t>(heads) * head_dim;
  if (rows > 1 && (q_stride < width || out_stride < width)) {
    return context.refuse("q_stride and out_stride must be at least heads * head_dim");
  }
  Cache cache = {cache_dtype, kv_heads, head_dim, pages, page_size};
  if (int32_t status = checkCache(context, cache)) return status;
  if (rows == 0 || heads == 0) return 0;
  if (heads > 65535) return context.refuse("heads must be at most 65535");
  Attention p = {at<float>(out),      at<float>(q),          at<uint8_t>(keys),
                 at<uint8_t>(values), at<int>(page_table),   at<int>(row_sequence),
                 at<int>(row_position), cache,               heads,
                 sequences,           max_pages,             q_stride,
                 out_stride,          scale,                 context.fault()};
  LAUNCH(context, attention_kernel, dim3(rows, heads), WARP, head_dim * sizeof(float), p);
  return context.launched("attention");
}
}
