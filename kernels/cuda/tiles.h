// Tiles of bf16 in shared memory and what a warp computes from them on tensor cores.
//
// A row of a tile is a multiple of 128 bytes, which all have the same banks. So the 16-byte pieces of a row
// change places with the row's number: the eight rows that one ldmatrix reads at one column lie in
// different banks, and so do the eight pieces that neighbouring threads copy.
#pragma once

#include "tensor_cores.h"

constexpr int PIECE = 8;

template <int WIDTH>
__device__ __forceinline__ uint16_t *piece_at(uint16_t *tile, unsigned row, unsigned piece) {
  static_assert(WIDTH % 64 == 0, "a row fills whole rounds of banks");
  return tile + row * WIDTH + (piece ^ (row % 8)) * PIECE;
}

// Begins to copy ROWS rows from `first` on, WIDTH elements each; rows from `end` on are 0.
template <int ROWS, int WIDTH, int THREADS>
__device__ __forceinline__ void copy_rows(uint16_t *tile, const uint16_t *from, size_t stride,
                                          size_t first, size_t end) {
  constexpr unsigned PIECES = WIDTH / PIECE;
#pragma unroll
  for (unsigned i = threadIdx.x; i < ROWS * PIECES; i += THREADS) {
    unsigned row = i / PIECES, piece = i % PIECES;
    bool inside = first + row < end;
    const uint16_t *at = from + (inside ? (first + row) * stride + piece * PIECE : 0);
    copy_16(piece_at<WIDTH>(tile, row, piece), at, inside ? 16 : 0);
  }
}

// The 16 x 16 elements at a row and a column of a tile; both are multiples of 16.
template <int WIDTH>
__device__ __forceinline__ FragmentA rows_at(uint16_t *tile, unsigned row, unsigned column) {
  unsigned lane = threadIdx.x % WARP;
  FragmentA a;
  load_matrices(a.pairs, piece_at<WIDTH>(tile, row + lane % 16, column / PIECE + lane / 16));
  return a;
}

// The same, a column of the tile for a row of the fragment.
template <int WIDTH>
__device__ __forceinline__ FragmentA columns_at(uint16_t *tile, unsigned row, unsigned column) {
  unsigned lane = threadIdx.x % WARP;
  FragmentA a;
  load_transposed(a.pairs, piece_at<WIDTH>(tile, row + lane / 16 * 8 + lane % 8,
                                           column / PIECE + lane / 8 % 2));
  return a;
}

// Of b^T: rows of the tile are columns of the fragment.
template <int WIDTH>
__device__ __forceinline__ FragmentB lines_at(uint16_t *tile, unsigned row, unsigned column) {
  unsigned lane = threadIdx.x % WARP;
  FragmentB b;
  load_matrices(b.pairs, piece_at<WIDTH>(tile, row + lane / 16 * 8 + lane % 8,
                                         column / PIECE + lane / 8 % 2));
  return b;
}

// Of b: rows of the tile are rows of the fragment.
template <int WIDTH>
__device__ __forceinline__ FragmentB depth_at(uint16_t *tile, unsigned row, unsigned column) {
  unsigned lane = threadIdx.x % WARP;
  FragmentB b;
  load_transposed(b.pairs, piece_at<WIDTH>(tile, row + lane % 16, column / PIECE + lane / 16));
  return b;
}

template <int M, int N>
__device__ __forceinline__ void clear(FragmentC (&c)[M][N]) {
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) c[m][n].x[i] = 0.0f;
    }
  }
}

// c = a b^T: 16 M rows of tile a from `row` on by 8 N rows of tile b, depth after depth.
template <int WIDTH, int M, int N>
__device__ __forceinline__ void multiply_lines(FragmentC (&c)[M][N], uint16_t *a, unsigned row,
                                               uint16_t *b) {
  clear(c);
#pragma unroll
  for (int k = 0; k < WIDTH; k += 16) {
    FragmentA of_a[M];
#pragma unroll
    for (int m = 0; m < M; m++) of_a[m] = rows_at<WIDTH>(a, row + 16 * m, k);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      FragmentB of_b = lines_at<WIDTH>(b, 8 * n, k);
#pragma unroll
      for (int m = 0; m < M; m++) {
        multiply_add(c[m][n], of_a[m], of_b.pairs[0], of_b.pairs[1]);
        multiply_add(c[m][n + 1], of_a[m], of_b.pairs[2], of_b.pairs[3]);
      }
    }
  }
}

// c += a b, a's 8 N columns rounded to bf16, b a tile of as many rows. Where a's elements are as a product
// left them, they are where the next product wants its left factor.
template <int WIDTH, int M, int N>
__device__ __forceinline__ void add_weighted_rows(FragmentC (&c)[M][WIDTH / 8],
                                                  const FragmentC (&a)[M][N], uint16_t *b) {
#pragma unroll
  for (int k = 0; k < N; k += 2) {
    FragmentA of_a[M];
#pragma unroll
    for (int m = 0; m < M; m++) {
      of_a[m].pairs[0] = pair_of(a[m][k].x[0], a[m][k].x[1]);
      of_a[m].pairs[1] = pair_of(a[m][k].x[2], a[m][k].x[3]);
      of_a[m].pairs[2] = pair_of(a[m][k + 1].x[0], a[m][k + 1].x[1]);
      of_a[m].pairs[3] = pair_of(a[m][k + 1].x[2], a[m][k + 1].x[3]);
    }
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n += 2) {
      FragmentB of_b = depth_at<WIDTH>(b, 8 * k, 8 * n);
#pragma unroll
      for (int m = 0; m < M; m++) {
        multiply_add(c[m][n], of_a[m], of_b.pairs[0], of_b.pairs[1]);
        multiply_add(c[m][n + 1], of_a[m], of_b.pairs[2], of_b.pairs[3]);
      }
    }
  }
}

// Sum over the four lanes that have a row of a FragmentC, in a fixed tree.
__device__ __forceinline__ float row_sum(float value) {
  value += __shfl_xor_sync(ALL_LANES, value, 1);
  return value + __shfl_xor_sync(ALL_LANES, value, 2);
}

__device__ __forceinline__ float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, 1));
  return fmaxf(value, __shfl_xor_sync(ALL_LANES, value, 2));
}

// Writes a warp's 16 M rows, times a factor; rows from `rows` on and columns from `width` on are left out.
template <int M, int N>
__device__ __forceinline__ void store_rows(float *out, size_t stride, const FragmentC (&c)[M][N],
                                           unsigned first, unsigned rows, unsigned width,
                                           const float (&factors)[M][2]) {
  unsigned g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      unsigned row = first + 16 * m + 8 * half + g;
      if (row >= rows) continue;
      float *line = out + row * stride;
#pragma unroll
      for (int n = 0; n < N; n++) {
        unsigned column = 8 * n + 2 * t;
        if (column < width) line[column] = c[m][n].x[2 * half] * factors[m][half];
        if (column + 1 < width) line[column + 1] = c[m][n].x[2 * half + 1] * factors[m][half];
      }
    }
  }
}
