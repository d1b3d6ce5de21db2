// Products in bf16 on tensor cores. A block of 8 warps makes 128 x 128 outputs, a warp 64 x 32 of them, from
// tiles of 64 of the depth, the next ones on their way while these are used.
//
// For every 16 of the depth a warp reads 3 KiB of shared memory (24 cycles at 128 bytes) for 65,536
// operations (32 cycles of an A100's 2048): tensor cores bound it. Two blocks fit on a multiprocessor: 128
// registers a thread, 64 KiB of shared memory each.

#include "brain_product.h"
#include "context.h"
#include "tiles.h"

constexpr int GEMM_SIDE = 128, GEMM_DEPTH = 64, GEMM_THREADS = 256;
constexpr int GEMM_TILE = GEMM_SIDE * GEMM_DEPTH;

// Begins to copy 128 lines from `line` on by 64 of the depth from `k` on; what lies outside is 0.
template <bool ACROSS>
__device__ __forceinline__ void copy_lines(uint16_t *tile, const BrainOperand &from, size_t line,
                                           size_t lines, size_t k, size_t depth) {
  constexpr int ROWS = ACROSS ? GEMM_DEPTH : GEMM_SIDE, WIDTH = ACROSS ? GEMM_SIDE : GEMM_DEPTH;
  constexpr unsigned PIECES = WIDTH / PIECE;
  size_t first_row = ACROSS ? k : line, rows = ACROSS ? depth : lines;
  size_t first = ACROSS ? line : k, width = ACROSS ? lines : depth;
#pragma unroll
  for (unsigned i = threadIdx.x; i < ROWS * PIECES; i += GEMM_THREADS) {
    unsigned row = i / PIECES, piece = i % PIECES;
    size_t column = first + piece * PIECE;
    bool inside = first_row + row < rows && column < width;
    size_t left = inside ? width - column : 0;
    const uint16_t *at = from.address + (inside ? (first_row + row) * from.stride + column : 0);
    copy_16(piece_at<WIDTH>(tile, row, piece), at, left < PIECE ? static_cast<unsigned>(left) * 2 : 16);
  }
}

template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply_tiles(FragmentC (&sums)[4][4], uint16_t *a, uint16_t *b,
                                               unsigned row, unsigned column) {
#pragma unroll
  for (int k = 0; k < GEMM_DEPTH; k += 16) {
    FragmentA of_a[4];
#pragma unroll
    for (int m = 0; m < 4; m++) {
      if constexpr (A_ACROSS) of_a[m] = columns_at<GEMM_SIDE>(a, k, row + 16 * m);
      else of_a[m] = rows_at<GEMM_DEPTH>(a, row + 16 * m, k);
    }
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      FragmentB of_b;
      if constexpr (B_ACROSS) of_b = depth_at<GEMM_SIDE>(b, k, column + 8 * n);
      else of_b = lines_at<GEMM_DEPTH>(b, column + 8 * n, k);
#pragma unroll
      for (int m = 0; m < 4; m++) {
        multiply_add(sums[m][n], of_a[m], of_b.pairs[0], of_b.pairs[1]);
        multiply_add(sums[m][n + 1], of_a[m], of_b.pairs[2], of_b.pairs[3]);
      }
    }
  }
}

__device__ __forceinline__ void write_sums(const BrainProduct &p, const FragmentC (&sums)[4][4],
                                           size_t row, size_t column) {
  unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < 4; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      size_t at_row = row + 16 * m + 8 * half + g;
      if (at_row >= p.rows) continue;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        size_t at_column = column + i / 2 * 8 + 2 * t + i % 2;
        if (at_column >= p.columns) continue;
        float *out = p.out + at_row * p.out_stride + at_column;
        float sum = sums[m][i / 2].x[2 * half + i % 2];
        *out = p.accumulate ? *out + sum : sum;
      }
    }
  }
}

template <bool A_ACROSS, bool B_ACROSS>
__global__ void __launch_bounds__(GEMM_THREADS, 2) brain_gemm_kernel(BrainProduct p) {
  DYNAMIC_SHARED(uint16_t, tiles);
  size_t row = static_cast<size_t>(blockIdx.y) * GEMM_SIDE;
  size_t column = static_cast<size_t>(blockIdx.x) * GEMM_SIDE;
  unsigned warp = threadIdx.x / WARP, own_row = warp / 4 * 64, own_column = warp % 4 * 32;
  auto fetch = [&](unsigned k) {
    uint16_t *a = tiles + k / GEMM_DEPTH % 2 * 2 * GEMM_TILE;
    copy_lines<A_ACROSS>(a, p.a, row, p.rows, k, p.depth);
    copy_lines<B_ACROSS>(a + GEMM_TILE, p.b, column, p.columns, k, p.depth);
    commit_copies();
  };
  FragmentC sums[4][4];
  clear(sums);
  fetch(0);
  for (unsigned k = 0; k < p.depth; k += GEMM_DEPTH) {
    wait_copies<0>();
    __syncthreads();
    if (p.depth - k > GEMM_DEPTH) fetch(k + GEMM_DEPTH);
    uint16_t *a = tiles + k / GEMM_DEPTH % 2 * 2 * GEMM_TILE;
    multiply_tiles<A_ACROSS, B_ACROSS>(sums, a, a + GEMM_TILE, own_row, own_column);
  }
  write_sums(p, sums, row + own_row, column + own_column);
}

namespace {

template <bool A_ACROSS, bool B_ACROSS>
void multiply(Context &context, const BrainProduct &p) {
  constexpr size_t BYTES = sizeof(uint16_t) * 4 * GEMM_TILE;
  auto kernel = brain_gemm_kernel<A_ACROSS, B_ACROSS>;
  ALLOW_SHARED(kernel, BYTES);
  dim3 blocks(blocksFor(p.columns, GEMM_SIDE), blocksFor(p.rows, GEMM_SIDE));
  LAUNCH(context, kernel, blocks, GEMM_THREADS, BYTES, p);
}

}  // namespace

void multiplyOnTensorCores(Context &context, const BrainProduct &p) {
  if (p.a.across) {
    if (p.b.across) multiply<true, true>(context, p);
    else multiply<true, false>(context, p);
  } else if (p.b.across) multiply<false, true>(context, p);
  else multiply<false, false>(context, p);
}
