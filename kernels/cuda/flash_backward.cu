// Attention backward on tensor cores (Dao 2023, algorithm 2), without additions of several blocks to one
// place: one kernel gathers dq, a block for each tile of queries, another dk and dv, a block for each tile
// of keys, which takes all queries of its group of heads in order. Scores are computed twice for it: seven
// products instead of five.
//
// Tiles that go by lie twice in shared memory, the next one on its way while one is used. A warp reads each
// fragment of such a tile for M products of 16 rows; more than 128 sums a thread and two tiles of scores
// do not fit in 255 registers, hence M = 1 for keys at width 128, and dv and dk one after the other at width
// 256, where tiles of 16 rows leave room in the 99 KiB of shared memory that the smallest of the GPUs have.

#include "flash.h"

// Factor of the softmax's share: P = 2^(score scale log2 e - log2_z).
__device__ __forceinline__ float share_of(float score, float scale, float log2_z) {
  return power_of_two(__fmaf_rn(score, scale, -log2_z));
}

template <int M>
__device__ __forceinline__ void fill_factors(float (&factors)[M][2], float factor) {
#pragma unroll
  for (int m = 0; m < M; m++) factors[m][0] = factors[m][1] = factor;
}

// Of the query rows that this thread has parts of.
template <int M>
struct RowTerms {
  float log2_z[M][2], delta[M][2];
};

template <int M>
__device__ __forceinline__ void load_terms(RowTerms<M> &terms, const FlashRows &f, size_t first) {
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      size_t at = first + 16 * m + 8 * half + threadIdx.x % WARP / 4;
      terms.log2_z[m][half] = f.log2_z[at];
      terms.delta[m][half] = f.delta[at];
    }
  }
}

// From scores and dout v to gradients of scores, P (dout v - delta); `scale` has log2 e in it.
template <int M, int N>
__device__ __forceinline__ void slopes_of_rows(FragmentC (&slopes)[M][N],
                                               const FragmentC (&scores)[M][N],
                                               const RowTerms<M> &terms, float scale) {
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float share = share_of(scores[m][n].x[i], scale, terms.log2_z[m][i / 2]);
        slopes[m][n].x[i] = share * (slopes[m][n].x[i] - terms.delta[m][i / 2]);
      }
    }
  }
}

template <int WIDTH, int M, int KEYS>
__global__ void __launch_bounds__(FLASH_THREADS, 2)
    flash_dq_kernel(Heads h, Backward p, FlashRows f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M, TILE = KEYS * WIDTH;
  DYNAMIC_SHARED(uint16_t, queries);
  uint16_t *douts = queries + ROWS * WIDTH, *tiles = douts + ROWS * WIDTH;
  int *starts = reinterpret_cast<int *>(tiles + 4 * TILE);
  unsigned block_row = (gridDim.x - 1 - blockIdx.x) * ROWS, head = blockIdx.y;
  unsigned own = threadIdx.x / WARP * 16 * M, first_row = block_row + own;
  unsigned last_row = first_row + 16 * M - 1, end = min(block_row + ROWS, h.rows);
  size_t of_head = static_cast<size_t>(head) * WIDTH;
  size_t of_kv = static_cast<size_t>(head / (h.heads / h.kv_heads)) * WIDTH;
  auto fetch = [&](unsigned key) {
    uint16_t *tile = tiles + key / KEYS % 2 * 2 * TILE;
    copy_rows<KEYS, WIDTH, FLASH_THREADS>(tile, f.k + of_kv, f.kv_stride, key, h.rows);
    copy_rows<KEYS, WIDTH, FLASH_THREADS>(tile + TILE, f.v + of_kv, f.kv_stride, key, h.rows);
  };
  unsigned first = flash_start(h, block_row) / KEYS * KEYS;
  copy_rows<ROWS, WIDTH, FLASH_THREADS>(queries, f.q + of_head, f.q_stride, block_row, h.rows);
  copy_rows<ROWS, WIDTH, FLASH_THREADS>(douts, f.dout + of_head, f.q_stride, block_row, h.rows);
  fetch(first);
  commit_copies();
  keep_starts<ROWS>(starts, h, block_row);
  starts += own;
  RowTerms<M> terms;
  load_terms(terms, f, static_cast<size_t>(head) * f.padded + first_row);
  FragmentC sums[M][WIDTH / 8], scores[M][KEYS / 8], slopes[M][KEYS / 8];
  clear(sums);
  for (unsigned key = first; key < end; key += KEYS) {
    wait_copies<0>();
    __syncthreads();
    if (key + KEYS < end) fetch(key + KEYS);
    commit_copies();
    if (key > last_row || static_cast<int>(key + KEYS) <= starts[0]) continue;
    uint16_t *keys = tiles + key / KEYS % 2 * 2 * TILE;
    multiply_lines<WIDTH>(scores, queries, own, keys);
    bool all = key + KEYS - 1 <= first_row && static_cast<int>(key) >= starts[16 * M - 1];
    if (!all) hide_keys(scores, starts, first_row, key);
    multiply_lines<WIDTH>(slopes, douts, own, keys + TILE);
    slopes_of_rows(slopes, scores, terms, h.scale * LOG2_E);
    add_weighted_rows<WIDTH>(sums, slopes, keys);
  }
  float factors[M][2];
  fill_factors(factors, h.scale);
  store_rows(p.dq + static_cast<size_t>(head) * h.head_dim, p.dq_stride, sums, first_row, h.rows,
             h.head_dim, factors);
}

// A tile of queries that goes by: what a block of keys needs of it.
template <int WIDTH, int QUERIES>
struct QueryTile {
  uint16_t q[QUERIES * WIDTH], dout[QUERIES * WIDTH];
  float log2_z[QUERIES], delta[QUERIES];
  int starts[QUERIES];
  int fill[QUERIES];
};

template <int WIDTH, int QUERIES>
__device__ __forceinline__ void fetch_queries(QueryTile<WIDTH, QUERIES> &tile, const Heads &h,
                                              const FlashRows &f, unsigned head, unsigned first) {
  size_t of_head = static_cast<size_t>(head) * WIDTH;
  copy_rows<QUERIES, WIDTH, FLASH_THREADS>(tile.q, f.q + of_head, f.q_stride, first, h.rows);
  copy_rows<QUERIES, WIDTH, FLASH_THREADS>(tile.dout, f.dout + of_head, f.q_stride, first, h.rows);
  unsigned i = threadIdx.x;
  size_t at = static_cast<size_t>(head) * f.padded + first;
  if (i < QUERIES / 4) copy_16(tile.log2_z + 4 * i, f.log2_z + at + 4 * i, 16);
  else if (i < QUERIES / 2) {
    i -= QUERIES / 4;
    copy_16(tile.delta + 4 * i, f.delta + at + 4 * i, 16);
  } else if (i >= 64 && i < 64 + QUERIES) {
    i -= 64;
    copy_4(tile.starts + i, h.starts + (first + i < h.rows ? first + i : 0), first + i < h.rows);
  }
}

// Transposed scores of queries that do not see a key become -infinity.
template <int M, int N>
__device__ __forceinline__ void hide_queries(FragmentC (&scores)[M][N], unsigned first_key,
                                             unsigned first_query, const int *starts) {
  unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < N; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      unsigned column = 8 * n + 2 * t + i % 2;
#pragma unroll
      for (int m = 0; m < M; m++) {
        unsigned key = first_key + 16 * m + i / 2 * 8 + g;
        bool visible = key <= first_query + column && starts[column] <= static_cast<int>(key);
        if (!visible) scores[m][n].x[i] = -INFINITY;
      }
    }
  }
}

// The row after the last whose document starts at or before `key`: starts ascend.
__device__ __forceinline__ unsigned end_of_document(const Heads &h, unsigned key) {
  unsigned low = key + 1, high = h.rows;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (h.starts[middle] <= static_cast<int>(key)) low = middle + 1;
    else high = middle;
  }
  return high;
}

// The same where queries are columns, in place of the scores their shares; the slopes where they are wanted.
template <bool SLOPES, int M, int N, int S>
__device__ __forceinline__ void shares_of_columns(FragmentC (&scores)[M][N],
                                                  FragmentC (&slopes)[M][S], const float *log2_z,
                                                  const float *delta, float scale) {
#pragma unroll
  for (int n = 0; n < N; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      unsigned column = 8 * n + 2 * (threadIdx.x % 4) + i % 2;
      float z = log2_z[column], mean = delta[column];
#pragma unroll
      for (int m = 0; m < M; m++) {
        float share = share_of(scores[m][n].x[i], scale, z);
        scores[m][n].x[i] = share;
        if constexpr (SLOPES) slopes[m][n].x[i] = share * (slopes[m][n].x[i] - mean);
      }
    }
  }
}

// Makes dv, dk or both; what is not asked for costs neither registers nor products.
template <int WIDTH, int M, int QUERIES, bool DV, bool DK>
__global__ void __launch_bounds__(FLASH_THREADS, 2)
    flash_dkv_kernel(Heads h, Backward p, FlashRows f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M, N = QUERIES / 8, WIDE = WIDTH / 8;
  typedef QueryTile<WIDTH, QUERIES> Tile;
  DYNAMIC_SHARED(uint16_t, keys);
  uint16_t *values = keys + ROWS * WIDTH;
  Tile *tiles = reinterpret_cast<Tile *>(values + (DK ? ROWS * WIDTH : 0));
  unsigned block_row = blockIdx.x * ROWS, kv_head = blockIdx.y, group = h.heads / h.kv_heads;
  unsigned own = threadIdx.x / WARP * 16 * M, first_row = block_row + own;
  unsigned last_row = first_row + 16 * M - 1;
  size_t of_kv = static_cast<size_t>(kv_head) * WIDTH;
  copy_rows<ROWS, WIDTH, FLASH_THREADS>(keys, f.k + of_kv, f.kv_stride, block_row, h.rows);
  if (DK) copy_rows<ROWS, WIDTH, FLASH_THREADS>(values, f.v + of_kv, f.kv_stride, block_row, h.rows);
  unsigned first = block_row / QUERIES * QUERIES;
  unsigned end = end_of_document(h, min(block_row + ROWS, h.rows) - 1);
  unsigned count = (end - first + QUERIES - 1) / QUERIES;
  fetch_queries(tiles[0], h, f, kv_head * group, first);
  commit_copies();
  FragmentC dk[M][DK ? WIDE : 1], dv[M][DV ? WIDE : 1], scores[M][N], slopes[M][DK ? N : 1];
  clear(dk);
  clear(dv);
  for (unsigned step = 0; step < group * count; step++) {
    wait_copies<0>();
    __syncthreads();
    if (step + 1 < group * count) {
      fetch_queries(tiles[(step + 1) % 2], h, f, kv_head * group + (step + 1) / count,
                    first + (step + 1) % count * QUERIES);
    }
    commit_copies();
    Tile &tile = tiles[step % 2];
    unsigned query = first + step % count * QUERIES;
    unsigned last = min(QUERIES, h.rows - query) - 1;
    if (query + last < first_row || tile.starts[0] > static_cast<int>(last_row)) continue;
    multiply_lines<WIDTH>(scores, keys, own, tile.q);
    bool all = query >= last_row && tile.starts[last] <= static_cast<int>(first_row);
    if (!all) hide_queries(scores, first_row, query, tile.starts);
    if constexpr (DK) multiply_lines<WIDTH>(slopes, values, own, tile.dout);
    shares_of_columns<DK>(scores, slopes, tile.log2_z, tile.delta, h.scale * LOG2_E);
    if constexpr (DV) add_weighted_rows<WIDTH>(dv, scores, tile.dout);
    if constexpr (DK) add_weighted_rows<WIDTH>(dk, slopes, tile.q);
  }
  size_t at = static_cast<size_t>(kv_head) * h.head_dim;
  float factors[M][2];
  fill_factors(factors, 1.0f);
  if constexpr (DV) store_rows(p.dv + at, p.dv_stride, dv, first_row, h.rows, h.head_dim, factors);
  fill_factors(factors, h.scale);
  if constexpr (DK) store_rows(p.dk + at, p.dk_stride, dk, first_row, h.rows, h.head_dim, factors);
}

namespace {

template <int WIDTH, int M, int KEYS>
int32_t backwardQueries(Context &context, const Heads &h, const Backward &p, const FlashRows &f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M;
  constexpr size_t BYTES = sizeof(uint16_t) * WIDTH * (2 * ROWS + 4 * KEYS) + sizeof(int) * ROWS;
  auto kernel = flash_dq_kernel<WIDTH, M, KEYS>;
  ALLOW_SHARED(kernel, BYTES);
  LAUNCH(context, kernel, dim3(blocksFor(h.rows, ROWS), h.heads), FLASH_THREADS, BYTES, h, p, f);
  return context.launched("attention_backward");
}

template <int WIDTH, int M, int QUERIES, bool DV, bool DK>
int32_t backwardKeys(Context &context, const Heads &h, const Backward &p, const FlashRows &f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M;
  constexpr size_t BYTES =
      sizeof(uint16_t) * WIDTH * ROWS * (DK ? 2 : 1) + 2 * sizeof(QueryTile<WIDTH, QUERIES>);
  auto kernel = flash_dkv_kernel<WIDTH, M, QUERIES, DV, DK>;
  ALLOW_SHARED(kernel, BYTES);
  LAUNCH(context, kernel, dim3(blocksFor(h.rows, ROWS), h.kv_heads), FLASH_THREADS, BYTES, h, p, f);
  return context.launched("attention_backward");
}

template <int WIDTH, int OF_QUERIES, int OF_KEYS, int KEYS, int QUERIES>
int32_t backward(Context &context, const Heads &h, const Backward &p, const FlashRows &f) {
  if (int32_t status = backwardQueries<WIDTH, OF_QUERIES, KEYS>(context, h, p, f)) return status;
  if constexpr (WIDTH < 256) {
    return backwardKeys<WIDTH, OF_KEYS, QUERIES, true, true>(context, h, p, f);
  } else {
    int32_t status = backwardKeys<WIDTH, OF_KEYS, QUERIES, true, false>(context, h, p, f);
    return status ? status : backwardKeys<WIDTH, OF_KEYS, QUERIES, false, true>(context, h, p, f);
  }
}

}  // namespace

int32_t flashBackward(Context &context, const Heads &h, const Backward &p) {
  FlashRows f;
  if (int32_t status = flashOperands(context, h, p, f)) return status;
  switch (flashWidth(h.head_dim)) {
    case 64: return backward<64, 2, 2, 32, 32>(context, h, p, f);
    case 128: return backward<128, 2, 1, 32, 32>(context, h, p, f);
    default: return backward<256, 1, 1, 16, 16>(context, h, p, f);
  }
}
