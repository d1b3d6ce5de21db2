// Products of small matrices of bf16 by one warp, by the instructions that every GPU from sm_80 on has:
// mma.sync m16n8k16, ldmatrix, cp.async (PTX ISA 8.4, sections 9.7.13.4, 9.7.13.4.15, 9.7.8.24). The emulator
// has twins of them (`emulator/tensor_cores.h`), with the same elements in the same lanes:
//
// Of lane 4 g + t, FragmentA (16 x 16) holds rows g, g + 8, g, g + 8 and of each two columns, from
// 2 t, 2 t, 2 t + 8, 2 t + 8 on; half of a FragmentB (16 x 8) rows 2 t, 2 t + 1 and 2 t + 8, 2 t + 9 of column g;
// FragmentC (16 x 8) columns 2 t, 2 t + 1 of row g, then of row g + 8.
#pragma once

#include "device.h"

struct FragmentA {
  uint32_t pairs[4];
};

// Two neighbours: 16 x 16 in all.
struct FragmentB {
  uint32_t pairs[4];
};

struct FragmentC {
  float x[4];
};

#ifdef LLAMERO_EMULATED
#include "emulator/tensor_cores.h"
#else

// c += a b, b one half of a FragmentB. Volatile, so that no compiler moves it to where some lanes do not go.
__device__ __forceinline__ void multiply_add(FragmentC &c, const FragmentA &a, uint32_t b0,
                                             uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t shared_address(const void *shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Four matrices of 8 x 8: lane l gives the first byte of row l % 8 of matrix l / 8 and gets of each matrix
// columns 2 t, 2 t + 1 of row g.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const uint16_t *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}

// The same, but gets rows 2 t, 2 t + 1 of column g.
__device__ __forceinline__ void load_transposed(uint32_t (&to)[4], const uint16_t *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}

// Begins to copy `bytes`, at most 16, to 16 bytes of shared memory that are filled up with zeros; both are
// aligned to 16. They are there for this thread after `wait_copies`, for others after a barrier besides.
__device__ __forceinline__ void copy_16(void *shared, const void *global, unsigned bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes));
}

// The same for all 4 bytes or none.
__device__ __forceinline__ void copy_4(void *shared, const void *global, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(inside ? 4 : 0));
}

// Ends a group of copies, which may be empty.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups but the youngest `AHEAD`.
template <int AHEAD>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(AHEAD) : "memory");
}

// Rounds two numbers to bf16, to nearest even; the first in the lower half.
__device__ __forceinline__ uint32_t pair_of(float first, float second) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

// 2^x within 2 units of the last place; 0 for what would be below the normal numbers.
__device__ __forceinline__ float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

#endif
