// Elements of every type that a weight may have. The block formats are ggml's; each number is rounded
// as its reference does, without contraction.
#pragma once

#include "abi_generated.h"
#include "device.h"

// Elements and bytes of a block; a plain type's block is one element.
struct BlockShape {
  unsigned elements, bytes;
};

__host__ __device__ inline BlockShape block_shape(uint32_t dtype) {
  switch (dtype) {
    case DTYPE_F32: return {1, 4};
    case DTYPE_F16: return {1, 2};
    case DTYPE_BF16: return {1, 2};
    case DTYPE_Q4_0: return {32, 18};
    case DTYPE_Q4_1: return {32, 20};
    case DTYPE_Q5_0: return {32, 22};
    case DTYPE_Q5_1: return {32, 24};
    case DTYPE_Q8_0: return {32, 34};
    case DTYPE_Q2_K: return {256, 84};
    case DTYPE_Q3_K: return {256, 110};
    case DTYPE_Q4_K: return {256, 144};
    case DTYPE_Q5_K: return {256, 176};
    case DTYPE_Q6_K: return {256, 210};
    default: return {0, 0};
  }
}

__device__ __forceinline__ float half_at(const uint8_t *at) { return f16_to_f32(read_u16(at)); }

__device__ __forceinline__ float scaled(float scale, int level, float minimum) {
  return __fsub_rn(__fmul_rn(scale, static_cast<float>(level)), minimum);
}

// Lower or upper half of the byte that has element e of 32.
__device__ __forceinline__ int nibble(const uint8_t *levels, unsigned e) {
  return e < 16 ? levels[e] & 15 : levels[e - 16] >> 4;
}

__device__ __forceinline__ int fifth_bit(const uint8_t *bits, unsigned e) {
  return ((bits[e / 8] >> (e % 8)) & 1) << 4;
}

// Scale and minimum number j of 8, six bits each, of q4_k and q5_k.
__device__ __forceinline__ void scale_and_minimum(const uint8_t *packed, unsigned j, int *scale,
                                                  int *minimum) {
  if (j < 4) {
    *scale = packed[j] & 63;
    *minimum = packed[j + 4] & 63;
  } else {
    *scale = (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4);
    *minimum = (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4);
  }
}

__device__ __forceinline__ float q2_k(const uint8_t *block, unsigned e) {
  unsigned half = e / 128, quarter = e % 128 / 32, l = e % 32;
  int level = (block[16 + half * 32 + l] >> (2 * quarter)) & 3;
  int packed = block[half * 8 + quarter * 2 + l / 16];
  float scale = __fmul_rn(half_at(block + 80), static_cast<float>(packed & 15));
  float minimum = __fmul_rn(half_at(block + 82), static_cast<float>(packed >> 4));
  return scaled(scale, level, minimum);
}

__device__ __forceinline__ float q3_k(const uint8_t *block, unsigned e) {
  unsigned half = e / 128, quarter = e % 128 / 32, l = e % 32;
  int level = (block[32 + half * 32 + l] >> (2 * quarter)) & 3;
  if (((block[l] >> (half * 4 + quarter)) & 1) == 0) level -= 4;
  unsigned i = half * 8 + quarter * 2 + l / 16;
  const uint8_t *scales = block + 96;
  int low = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
  int high = (scales[8 + i % 4] >> (2 * (i / 4))) & 3;
  float scale = __fmul_rn(half_at(block + 108), static_cast<float>((low | (high << 4)) - 32));
  return __fmul_rn(scale, static_cast<float>(level));
}

// q4_k and q5_k: `fifth` is where q5_k has its upper bits.
__device__ __forceinline__ float q45_k(const uint8_t *block, const uint8_t *levels,
                                       const uint8_t *fifth, unsigned e) {
  unsigned chunk = e / 64, upper = e % 64 / 32, l = e % 32;
  int level = upper ? levels[chunk * 32 + l] >> 4 : levels[chunk * 32 + l] & 15;
  if (fifth != nullptr) level |= ((fifth[l] >> (2 * chunk + upper)) & 1) << 4;
  int scale, minimum;
  scale_and_minimum(block + 4, 2 * chunk + upper, &scale, &minimum);
  return scaled(__fmul_rn(half_at(block), static_cast<float>(scale)), level,
                __fmul_rn(half_at(block + 2), static_cast<float>(minimum)));
}

__device__ __forceinline__ float q6_k(const uint8_t *block, unsigned e) {
  unsigned half = e / 128, quarter = e % 128 / 32, l = e % 32;
  int low = block[half * 64 + l + (quarter & 1) * 32];
  low = quarter >= 2 ? low >> 4 : low & 15;
  int high = (block[128 + half * 32 + l] >> (2 * quarter)) & 3;
  int scale = static_cast<int8_t>(block[192 + half * 8 + l / 16 + 2 * quarter]);
  float step = __fmul_rn(half_at(block + 208), static_cast<float>(scale));
  return __fmul_rn(step, static_cast<float>((low | (high << 4)) - 32));
}

// Element k of a row of any type.
__device__ __forceinline__ float element(uint32_t dtype, const uint8_t *row, size_t k) {
  if (dtype == DTYPE_F32) return reinterpret_cast<const float *>(row)[k];
  if (dtype == DTYPE_F16) return f16_to_f32(reinterpret_cast<const uint16_t *>(row)[k]);
  if (dtype == DTYPE_BF16) return bf16_to_f32(reinterpret_cast<const uint16_t *>(row)[k]);
  BlockShape shape = block_shape(dtype);
  const uint8_t *block = row + k / shape.elements * shape.bytes;
  unsigned e = static_cast<unsigned>(k % shape.elements);
  switch (dtype) {
    case DTYPE_Q4_0: return __fmul_rn(half_at(block), static_cast<float>(nibble(block + 2, e) - 8));
    case DTYPE_Q4_1:
      return __fadd_rn(__fmul_rn(half_at(block), static_cast<float>(nibble(block + 4, e))),
                       half_at(block + 2));
    case DTYPE_Q5_0:
      return __fmul_rn(half_at(block), static_cast<float>(
                                           (nibble(block + 6, e) | fifth_bit(block + 2, e)) - 16));
    case DTYPE_Q5_1:
      return __fadd_rn(__fmul_rn(half_at(block), static_cast<float>(nibble(block + 8, e) |
                                                                    fifth_bit(block + 4, e))),
                       half_at(block + 2));
    case DTYPE_Q8_0:
      return __fmul_rn(half_at(block), static_cast<float>(static_cast<int8_t>(block[2 + e])));
    case DTYPE_Q2_K: return q2_k(block, e);
    case DTYPE_Q3_K: return q3_k(block, e);
    case DTYPE_Q4_K: return q45_k(block, block + 16, nullptr, e);
    case DTYPE_Q5_K: return q45_k(block, block + 48, block + 16, e);
    default: return q6_k(block, e);
  }
}

// Writes 32 floats, one a lane, as a block of q8_0: the largest becomes 127, halves go away from zero.
// A block in which something is not finite becomes NaN.
__device__ __forceinline__ void store_q8_0(uint8_t *block, float x, unsigned lane) {
  // As integers magnitudes have the same order, and NaN is the largest.
  unsigned bits = __float_as_uint(x) & 0x7fffffffu;
  for (int mask = WARP / 2; mask > 0; mask /= 2) {
    unsigned other = __shfl_xor_sync(ALL_LANES, bits, mask);
    bits = other > bits ? other : bits;
  }
  float scale = __fdiv_rn(__uint_as_float(bits), 127.0f);
  float inverse = scale == 0.0f ? 0.0f : __fdiv_rn(1.0f, scale);
  float level = roundf(__fmul_rn(x, inverse));
  int whole = fabsf(level) < 128.0f ? static_cast<int>(level) : 0;
  block[2 + lane] = static_cast<uint8_t>(whole);
  if (lane != 0) return;
  uint16_t half = f32_to_f16(scale);
  block[0] = static_cast<uint8_t>(half);
  block[1] = static_cast<uint8_t>(half >> 8);
}
