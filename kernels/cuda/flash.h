// Attention of whole documents on tensor cores (Dao 2023; factors in bf16, all sums in f32).
//
// A warp owns 16 M rows of the block's tile; tiles of the rows that they meet go by in shared memory. Scores
// become factors of the next product where they are, in registers; nothing is added by two blocks, so that
// every sum has one order: tiles anchored at row 0, ascending, within a tile that of `multiply_add`.
#pragma once

#include "training_attention.h"
#include "tiles.h"

constexpr int FLASH_WARPS = 4;
constexpr int FLASH_THREADS = FLASH_WARPS * 32;
// Rows of any tile divide this.
constexpr unsigned FLASH_ROUND = 128;
constexpr unsigned MOST_FLASH_DIM = 256;
constexpr float LOG2_E = 1.44269504088896341f;
constexpr float LN_2 = 0.693147180559945309f;

// Operands in bf16, heads filled up with zeros to `width`; log_z times log2 e (infinite after the last row)
// and rowsum(dout out), heads one after another, `padded` rows each.
struct FlashRows {
  uint16_t *q, *k, *v, *dout;
  float *log2_z, *delta;
  size_t q_stride, kv_stride;
  unsigned padded;
};

inline bool takesTensorCores(const Heads &h) {
  return h.brain && h.head_dim <= MOST_FLASH_DIM && h.scale > 0.0f;
}

// What a head is filled up to.
inline unsigned flashWidth(unsigned head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }

// Enqueue the operands' rounding into memory of the context's own; `f` tells where they are.
int32_t flashOperands(Context &context, const Heads &h, const Forward &p, FlashRows &f);
int32_t flashOperands(Context &context, const Heads &h, const Backward &p, FlashRows &f);

// Enqueue attention where `takesTensorCores`.
int32_t flashForward(Context &context, const Heads &h, const Forward &p);
int32_t flashBackward(Context &context, const Heads &h, const Backward &p);

// First row that a row sees, whatever `starts` say, so that nothing outside is read.
__device__ __forceinline__ unsigned flash_start(const Heads &h, unsigned row) {
  unsigned start = first_visible(h, row);
  return start < row ? start : row;
}

// Keeps the first visible rows of a block's own ROWS; a row after the last sees what that one does.
template <int ROWS>
__device__ __forceinline__ void keep_starts(int *starts, const Heads &h, unsigned block_row) {
  for (unsigned i = threadIdx.x; i < ROWS; i += FLASH_THREADS) {
    starts[i] = static_cast<int>(flash_start(h, min(block_row + i, h.rows - 1)));
  }
}

// Scores of keys that a row does not see become -infinity; `starts` are those of the warp's rows.
template <int M, int N>
__device__ __forceinline__ void hide_keys(FragmentC (&scores)[M][N], const int *starts,
                                          unsigned first_row, unsigned first_key) {
  int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
  // The diagonal, seen from the thread's first row and key.
  int ahead = static_cast<int>(first_key + 2 * t) - static_cast<int>(first_row + g);
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int behind = starts[16 * m + 8 * half + g] - static_cast<int>(first_key + 2 * t);
#pragma unroll
      for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          bool visible = ahead + 8 * n + i <= 16 * m + 8 * half && 8 * n + i >= behind;
          if (!visible) scores[m][n].x[2 * half + i] = -INFINITY;
        }
      }
    }
  }
}
