// What runs in kernels: sums whose order the number of elements alone decides, and 16-bit floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.h"

constexpr unsigned ALL_LANES = 0xffffffffu;

// Sum over a warp in a fixed tree: every lane gets the same bits.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(ALL_LANES, value, mask);
  return value;
}

// Largest number of a warp; NaN never wins.
__device__ __forceinline__ float warp_max(float value) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, mask));
  }
  return value;
}

// Sum over a block of whole warps: lanes, then warps in order. `space` has a place for each warp.
template <typename T>
__device__ __forceinline__ T block_sum(T value, T *space) {
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % WARP == 0) space[threadIdx.x / WARP] = value;
  __syncthreads();
  T sum = space[0];
  for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) sum += space[warp];
  return sum;
}

// Largest number of a block of whole warps; NaN never wins.
__device__ __forceinline__ float block_max(float value, float *space) {
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % WARP == 0) space[threadIdx.x / WARP] = value;
  __syncthreads();
  float largest = space[0];
  for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) largest = fmaxf(largest, space[warp]);
  return largest;
}

// Index of this thread among all of a launch of one dimension.
__device__ __forceinline__ size_t global_index() {
  return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ float bf16_to_f32(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

// Rounds to nearest even; NaN stays one.
__device__ __forceinline__ uint16_t f32_to_bf16(float x) {
  uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ float f16_to_f32(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  uint32_t rest = half & 0x7fffu;
  // Subnormal halves are exact as integers times 2^-24.
  if (rest < 0x400u) {
    float value = __fmul_rn(static_cast<float>(rest), 5.9604644775390625e-8f);
    return __uint_as_float(__float_as_uint(value) | sign);
  }
  if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
  return __uint_as_float(sign | ((rest << 13) + (112u << 23)));
}

// Rounds to nearest even; what is too large becomes infinite, NaN stays one.
__device__ __forceinline__ uint16_t f32_to_f16(float x) {
  uint32_t bits = __float_as_uint(x);
  uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((rest >> 13) & 0x3ffu));
  }
  if (rest >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (rest < 0x38800000u) {
    // Below the normal halves: adding 0.5 leaves the wanted bits at the end, rounded.
    float shifted = __fadd_rn(__uint_as_float(rest), 0.5f);
    return static_cast<uint16_t>(sign | (__float_as_uint(shifted) - 0x3f000000u));
  }
  uint32_t even = (rest >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((rest - (112u << 23) + 0xfffu + even) >> 13));
}

// Two bytes of a file's block, which is not aligned.
__device__ __forceinline__ uint16_t read_u16(const uint8_t *at) {
  return static_cast<uint16_t>(at[0] | (at[1] << 8));
}
