// Twins of the instructions in `../tensor_cores.h`. They are stricter than a GPU: addresses that are not
// aligned, and rows of one matrix that meet in a bank of shared memory, which only costs time there, end
// the test.
#pragma once

#include <stdexcept>

// Elements of a pair of bf16.
inline float lower_of(uint32_t pair) { return __uint_as_float(pair << 16); }
inline float upper_of(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

inline void multiply_add(FragmentC &c, const FragmentA &a, uint32_t b0, uint32_t b1) {
  const emulated::Words *all = emulated::warpShare(
      {a.pairs[0], a.pairs[1], a.pairs[2], a.pairs[3], b0, b1, 0, 0});
  unsigned g = emulated::lane() / 4, t = emulated::lane() % 4;
  for (unsigned i = 0; i < 4; i++) {
    unsigned lower_row = i / 2, column = 2 * t + i % 2;
    float sum = c.x[i];
    // Depth 2 u, 2 u + 1 of the row is in lane 4 g + u, of the column in lane 4 column + u; then from 8 on.
    for (unsigned half = 0; half < 2; half++) {
      for (unsigned u = 0; u < 4; u++) {
        uint32_t of_row = all[4 * g + u][lower_row + 2 * half];
        uint32_t of_column = all[4 * column + u][4 + half];
        sum += lower_of(of_row) * lower_of(of_column);
        sum += upper_of(of_row) * upper_of(of_column);
      }
    }
    c.x[i] = sum;
  }
}

// Where the rows of a warp's four matrices begin.
struct MatrixRows {
  const uint16_t *at[32];
};

inline MatrixRows matrix_rows(const uint16_t *row) {
  uint64_t bits = reinterpret_cast<uintptr_t>(row);
  const emulated::Words *all = emulated::warpShare(
      {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32), 0, 0, 0, 0, 0, 0});
  MatrixRows rows;
  for (unsigned lane = 0; lane < 32; lane++) {
    uint64_t address = all[lane][0] | static_cast<uint64_t>(all[lane][1]) << 32;
    if (address % 16 != 0) throw std::logic_error("a row of a matrix is not aligned to 16 bytes");
    rows.at[lane] = reinterpret_cast<const uint16_t *>(address);
  }
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    unsigned banks = 0;
    for (unsigned r = 0; r < 8; r++) {
      banks |= 1u << (reinterpret_cast<uintptr_t>(rows.at[8 * matrix + r]) / 16 % 8);
    }
    if (banks != 255) throw std::logic_error("rows of a matrix meet in a bank of shared memory");
  }
  return rows;
}

inline void load_matrices(uint32_t (&to)[4], const uint16_t *row) {
  MatrixRows rows = matrix_rows(row);
  unsigned g = emulated::lane() / 4, t = emulated::lane() % 4;
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    const uint16_t *of_matrix = rows.at[8 * matrix + g];
    to[matrix] = of_matrix[2 * t] | static_cast<uint32_t>(of_matrix[2 * t + 1]) << 16;
  }
}

inline void load_transposed(uint32_t (&to)[4], const uint16_t *row) {
  MatrixRows rows = matrix_rows(row);
  unsigned g = emulated::lane() / 4, t = emulated::lane() % 4;
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    const uint16_t *first = rows.at[8 * matrix + 2 * t], *second = rows.at[8 * matrix + 2 * t + 1];
    to[matrix] = first[g] | static_cast<uint32_t>(second[g]) << 16;
  }
}

inline void copy_16(void *shared, const void *global, unsigned bytes) {
  emulated::beginCopy(shared, global, {bytes, 16});
}

inline void copy_4(void *shared, const void *global, bool inside) {
  emulated::beginCopy(shared, global, {inside ? 4u : 0u, 4});
}

inline void commit_copies() { emulated::commitCopies(); }

template <int AHEAD>
void wait_copies() {
  emulated::waitCopies(AHEAD);
}

inline uint32_t pair_of(float first, float second) {
  return f32_to_bf16(first) | static_cast<uint32_t>(f32_to_bf16(second)) << 16;
}

inline float power_of_two(float x) {
  float power = std::exp2(x);
  return power < 1.17549435e-38f ? 0.0f : power;
}
