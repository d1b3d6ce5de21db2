// Attention forward on tensor cores (Dao 2023, algorithm 1): a block has 64 M query rows of one head; keys
// and values come in tiles of KEYS rows, the values of a tile while its scores are computed and the keys of
// the next one while its values are gathered.
//
// Shared memory: queries, one tile of keys, one of values: 32 KiB at width 64, 64 at 128, 96 at 256. A warp
// of 32 rows reads a tile's fragments once for two products of 16 rows, so that at width 64 and 128 a tile
// costs 0.62 of the cycles in shared memory (128 bytes a cycle) that its products take on an A100 (2048
// operations a cycle): tensor cores are what bounds it, not memory. Two blocks fit on a multiprocessor by
// registers (at most 255 a thread): one computes scores while the other has its exponentials.

#include "flash.h"

// Of the rows that this thread has parts of: largest score so far, sum of exponentials of this thread's keys.
template <int M>
struct Online {
  float largest[M][2], total[M][2];
};

// Scores become exponentials, sums of older tiles shrink to the new largest score; `scale` has log2 e in it.
template <int M, int N, int WIDE>
__device__ __forceinline__ void soften(FragmentC (&scores)[M][N], FragmentC (&sums)[M][WIDE],
                                       Online<M> &online, float scale) {
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float above = online.largest[m][half];
#pragma unroll
      for (int n = 0; n < N; n++) {
        above = fmaxf(above, fmaxf(scores[m][n].x[2 * half], scores[m][n].x[2 * half + 1]));
      }
      above = row_max(above);
      // A row that has seen nothing yet.
      float shift = above == -INFINITY ? 0.0f : above * scale;
      float kept = power_of_two(__fmaf_rn(online.largest[m][half], scale, -shift));
      float total = 0.0f;
#pragma unroll
      for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          scores[m][n].x[i] = power_of_two(__fmaf_rn(scores[m][n].x[i], scale, -shift));
          total += scores[m][n].x[i];
        }
      }
#pragma unroll
      for (int n = 0; n < WIDE; n++) {
        sums[m][n].x[2 * half] *= kept;
        sums[m][n].x[2 * half + 1] *= kept;
      }
      online.total[m][half] = __fmaf_rn(online.total[m][half], kept, total);
      online.largest[m][half] = above;
    }
  }
}

template <int M>
__device__ __forceinline__ void finish(const Heads &h, const Forward &p, Online<M> &online,
                                       float (&factors)[M][2], unsigned first) {
  unsigned head = blockIdx.y, g = threadIdx.x % WARP / 4;
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = row_sum(online.total[m][half]);
      factors[m][half] = 1.0f / total;
      unsigned row = first + 16 * m + 8 * half + g;
      if (threadIdx.x % 4 != 0 || row >= h.rows) continue;
      p.log_z[static_cast<size_t>(row) * h.heads + head] =
          __fmaf_rn(online.largest[m][half], h.scale, logf(total));
    }
  }
}

template <int WIDTH, int M, int KEYS>
__global__ void __launch_bounds__(FLASH_THREADS, 2)
    flash_forward_kernel(Heads h, Forward p, FlashRows f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M;
  DYNAMIC_SHARED(uint16_t, queries);
  uint16_t *keys = queries + ROWS * WIDTH, *values = keys + KEYS * WIDTH;
  int *starts = reinterpret_cast<int *>(values + KEYS * WIDTH);
  // Blocks of late rows have most to do in long documents: they begin first.
  unsigned block_row = (gridDim.x - 1 - blockIdx.x) * ROWS, head = blockIdx.y;
  unsigned own = threadIdx.x / WARP * 16 * M, first_row = block_row + own;
  unsigned last_row = first_row + 16 * M - 1, end = min(block_row + ROWS, h.rows);
  size_t of_kv = static_cast<size_t>(head / (h.heads / h.kv_heads)) * WIDTH;
  const uint16_t *k = f.k + of_kv, *v = f.v + of_kv;
  unsigned first = flash_start(h, block_row) / KEYS * KEYS;
  copy_rows<ROWS, WIDTH, FLASH_THREADS>(queries, f.q + static_cast<size_t>(head) * WIDTH, f.q_stride,
                                        block_row, h.rows);
  copy_rows<KEYS, WIDTH, FLASH_THREADS>(keys, k, f.kv_stride, first, h.rows);
  commit_copies();
  keep_starts<ROWS>(starts, h, block_row);
  starts += own;
  FragmentC sums[M][WIDTH / 8], scores[M][KEYS / 8];
  clear(sums);
  Online<M> online;
#pragma unroll
  for (int m = 0; m < M; m++) {
    online.largest[m][0] = online.largest[m][1] = -INFINITY;
    online.total[m][0] = online.total[m][1] = 0.0f;
  }
  for (unsigned key = first; key < end; key += KEYS) {
    wait_copies<0>();
    __syncthreads();
    copy_rows<KEYS, WIDTH, FLASH_THREADS>(values, v, f.kv_stride, key, h.rows);
    commit_copies();
    // Starts ascend.
    bool meets = key <= last_row && static_cast<int>(key + KEYS) > starts[0];
    if (meets) {
      multiply_lines<WIDTH>(scores, queries, own, keys);
      bool all = key + KEYS - 1 <= first_row && static_cast<int>(key) >= starts[16 * M - 1];
      if (!all) hide_keys(scores, starts, first_row, key);
      soften(scores, sums, online, h.scale * LOG2_E);
    }
    wait_copies<0>();
    __syncthreads();
    if (key + KEYS < end) copy_rows<KEYS, WIDTH, FLASH_THREADS>(keys, k, f.kv_stride, key + KEYS, h.rows);
    commit_copies();
    if (meets) add_weighted_rows<WIDTH>(sums, scores, values);
  }
  float factors[M][2];
  finish(h, p, online, factors, first_row);
  store_rows(p.out + static_cast<size_t>(head) * h.head_dim, p.out_stride, sums, first_row, h.rows,
             h.head_dim, factors);
}

namespace {

template <int WIDTH, int M, int KEYS>
int32_t forward(Context &context, const Heads &h, const Forward &p, const FlashRows &f) {
  constexpr int ROWS = FLASH_WARPS * 16 * M;
  constexpr size_t BYTES = sizeof(uint16_t) * WIDTH * (ROWS + 2 * KEYS) + sizeof(int) * ROWS;
  auto kernel = flash_forward_kernel<WIDTH, M, KEYS>;
  ALLOW_SHARED(kernel, BYTES);
  LAUNCH(context, kernel, dim3(blocksFor(h.rows, ROWS), h.heads), FLASH_THREADS, BYTES, h, p, f);
  return context.launched("attention_forward");
}

}  // namespace

int32_t flashForward(Context &context, const Heads &h, const Forward &p) {
  FlashRows f;
  if (int32_t status = flashOperands(context, h, p, f)) return status;
  switch (flashWidth(h.head_dim)) {
    case 64: return forward<64, 2, 64>(context, h, p, f);
    case 128: return forward<128, 2, 64>(context, h, p, f);
    default: return forward<256, 1, 64>(context, h, p, f);
  }
}
