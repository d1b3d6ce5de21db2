// Element by element: residual sums, scaling, the gated activation with its backward, rotary positions,
// dropout. Formulas and sources stand in kernels/table/{inference,training}.ts.

#include "context.h"
#include "device.h"

__global__ void add_kernel(float *out, const float *x, size_t count) {
  size_t i = global_index();
  if (i < count) out[i] += x[i];
}

__global__ void scale_kernel(float *x, float factor, size_t count) {
  size_t i = global_index();
  if (i < count) x[i] *= factor;
}

// gate * sigmoid(gate): finite for every finite gate, as exp(-gate) may be infinite.
__device__ __forceinline__ float silu(float gate) { return gate / (1.0f + expf(-gate)); }

struct RowStrides {
  size_t out, gate, up;
};

__global__ void swiglu_kernel(float *out, const float *gate, const float *up, unsigned dim,
                              size_t count, RowStrides strides) {
  size_t i = global_index();
  if (i >= count) return;
  size_t row = i / dim, f = i % dim;
  out[row * strides.out + f] =
      __fmul_rn(silu(gate[row * strides.gate + f]), up[row * strides.up + f]);
}

struct SwigluBackward {
  float *dgate, *dup, *out;
  const float *dy, *gate, *up;
  size_t dgate_stride, dup_stride, gate_stride, up_stride;
};

__global__ void swiglu_backward_kernel(SwigluBackward p, unsigned dim, size_t count) {
  size_t i = global_index();
  if (i >= count) return;
  size_t row = i / dim, f = i % dim;
  float g = p.gate[row * p.gate_stride + f], u = p.up[row * p.up_stride + f], dy = p.dy[i];
  float sigmoid = 1.0f / (1.0f + expf(-g));
  float activated = silu(g);
  // dgate may lie where gate does, and dup where up does: both were read before.
  p.dgate[row * p.dgate_stride + f] = dy * u * sigmoid * (1.0f + g * (1.0f - sigmoid));
  p.dup[row * p.dup_stride + f] = dy * activated;
  if (p.out != nullptr) p.out[i] = __fmul_rn(activated, u);
}

__global__ void rope_kernel(float *x, const float *table, unsigned heads, unsigned half,
                            size_t stride, unsigned layout, size_t count) {
  size_t i = global_index();
  if (i >= count) return;
  size_t pair = i % half, head = i / half % heads, row = i / half / heads;
  float c = table[(row * half + pair) * 2], s = table[(row * half + pair) * 2 + 1];
  float *at = x + row * stride + head * 2 * half;
  size_t first = layout == 0 ? pair : 2 * pair, second = layout == 0 ? pair + half : 2 * pair + 1;
  float a = at[first], b = at[second];
  at[first] = __fsub_rn(__fmul_rn(a, c), __fmul_rn(b, s));
  at[second] = __fadd_rn(__fmul_rn(b, c), __fmul_rn(a, s));
}

struct Words {
  uint32_t x[4];
};

// Philox 4x32 with ten rounds (Salmon et al. 2011), as in lib/base/random.ts.
__device__ __forceinline__ Words philox(uint64_t counter, uint64_t stream, uint64_t seed) {
  uint32_t x0 = static_cast<uint32_t>(counter), x1 = static_cast<uint32_t>(counter >> 32);
  uint32_t x2 = static_cast<uint32_t>(stream), x3 = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint32_t high0 = __umulhi(0xd2511f53u, x0), low0 = 0xd2511f53u * x0;
    uint32_t high1 = __umulhi(0xcd9e8d57u, x2), low1 = 0xcd9e8d57u * x2;
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{x0, x1, x2, x3}};
}

struct Dropout {
  uint64_t seed, stream, offset;
  double threshold;
  float factor;
};

// One thread takes the elements of one counter.
__global__ void dropout_kernel(float *x, size_t count, Dropout p) {
  uint64_t counter = p.offset / 4 + global_index();
  uint64_t end = p.offset + count;
  if (counter * 4 >= end) return;
  Words words = philox(counter, p.stream, p.seed);
  for (unsigned word = 0; word < 4; word++) {
    uint64_t j = counter * 4 + word;
    if (j < p.offset || j >= end) continue;
    bool kept = static_cast<double>(words.x[word]) >= p.threshold;
    float *element = x + (j - p.offset);
    *element = kept ? *element * p.factor : 0.0f;
  }
}

extern "C" {

int32_t k_add(address_t handle, address_t out, address_t x, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, x);
  size_t n = static_cast<size_t>(count);
  if (n == 0) return 0;
  LAUNCH(context, add_kernel, blocksFor(n), BLOCK, 0, at<float>(out), at<float>(x), n);
  return context.launched("add");
}

int32_t k_scale(address_t handle, address_t x, float factor, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, x);
  size_t n = static_cast<size_t>(count);
  if (n == 0) return 0;
  LAUNCH(context, scale_kernel, blocksFor(n), BLOCK, 0, at<float>(x), factor, n);
  return context.launched("scale");
}

int32_t k_swiglu(address_t handle, address_t out, address_t gate, address_t up, uint32_t rows,
                 uint32_t dim, uint32_t gate_stride, uint32_t up_stride) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, gate, up);
  if (rows > 1 && (gate_stride < dim || up_stride < dim)) {
    return context.refuse("gate_stride and up_stride must be at least dim");
  }
  size_t count = static_cast<size_t>(rows) * dim;
  if (count == 0) return 0;
  RowStrides strides = {dim, gate_stride, up_stride};
  LAUNCH(context, swiglu_kernel, blocksFor(count), BLOCK, 0, at<float>(out), at<float>(gate),
         at<float>(up), dim, count, strides);
  return context.launched("swiglu");
}

int32_t k_swiglu_backward(address_t handle, address_t dgate, address_t dup, address_t out,
                          address_t dy, address_t gate, address_t up, uint32_t rows, uint32_t dim,
                          uint32_t dgate_stride, uint32_t dup_stride, uint32_t gate_stride,
                          uint32_t up_stride) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, dgate, dup, dy, gate, up);
  for (uint32_t stride : {dgate_stride, dup_stride, gate_stride, up_stride}) {
    if (rows > 1 && stride < dim) return context.refuse(
          "dgate_stride, dup_stride, gate_stride and up_stride must be at least dim");
  }
  size_t count = static_cast<size_t>(rows) * dim;
  if (count == 0) return 0;
  SwigluBackward p = {at<float>(dgate), at<float>(dup),  at<float>(out), at<float>(dy),
                      at<float>(gate),  at<float>(up),   dgate_stride,   dup_stride,
                      gate_stride,      up_stride};
  LAUNCH(context, swiglu_backward_kernel, blocksFor(count), BLOCK, 0, p, dim, count);
  return context.launched("swiglu_backward");
}

int32_t k_rope(address_t handle, address_t x, address_t table, uint32_t rows, uint32_t heads,
               uint32_t head_dim, uint32_t stride, uint32_t layout) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, x, table);
  if (layout > 1) return context.refuse("layout must be 0 or 1");
  if (head_dim % 2 != 0) return context.refuse("head_dim must be even");
  if (rows > 1 && stride < static_cast<uint64_t>(heads) * head_dim) {
    return context.refuse("stride must be at least heads * head_dim");
  }
  unsigned half = head_dim / 2;
  size_t count = static_cast<size_t>(rows) * heads * half;
  if (count == 0) return 0;
  LAUNCH(context, rope_kernel, blocksFor(count), BLOCK, 0, at<float>(x), at<float>(table), heads,
         half, stride, layout, count);
  return context.launched("rope");
}

int32_t k_dropout(address_t handle, address_t x, double seed, double stream, double offset,
                  double count, float probability) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, x);
  if (!(probability >= 0.0f && probability < 1.0f)) {
    return context.refuse("probability must be at least 0 and below 1");
  }
  for (double number : {seed, stream, offset}) {
    if (!(number >= 0 && number <= 9007199254740991.0 && number == std::floor(number))) {
      return context.refuse("seed, stream and offset must be integers from 0 to 2^53 - 1");
    }
  }
  size_t n = static_cast<size_t>(count);
  if (n == 0 || probability == 0.0f) return 0;
  Dropout p = {static_cast<uint64_t>(seed), static_cast<uint64_t>(stream),
               static_cast<uint64_t>(offset), static_cast<double>(probability) * 4294967296.0,
               1.0f / (1.0f - probability)};
  size_t counters = (p.offset + n + 3) / 4 - p.offset / 4;
  LAUNCH(context, dropout_kernel, blocksFor(counters), BLOCK, 0, at<float>(x), n, p);
  return context.launched("dropout");
}
}
