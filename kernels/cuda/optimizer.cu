// Gradient norm, clipping, AdamW and PaLM's Adafactor. Hyper-parameters and the clip factor are read from
// the GPU's memory, so that a step can be enqueued without waiting for the one before. Formulas stand
// in kernels/table/training_products.ts.

#include <cfloat>

#include "context.h"
#include "device.h"

// Elements whose squares one block adds up: fixed, so that count alone decides the order.
constexpr size_t PART = 1 << 15;

__global__ void square_parts_kernel(double *parts, const float *x, size_t count) {
  __shared__ double space[WARP];
  size_t first = blockIdx.x * PART, end = first + PART < count ? first + PART : count;
  double sum = 0.0;
  for (size_t i = first + threadIdx.x; i < end; i += blockDim.x) {
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  sum = block_sum(sum, space);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// Parts join one after the other, as ranks that have some of them join theirs.
__global__ void join_parts_kernel(double *total, const double *parts, size_t count) {
  double sum = 0.0;
  for (size_t i = 0; i < count; i++) sum += parts[i];
  *total += sum;
}

__global__ void clip_scale_kernel(float *clip, const double *sum, float limit) {
  double norm = sqrt(*sum);
  double factor = limit > 0.0f && norm > limit ? limit / norm : 1.0;
  float scaled = static_cast<float>(factor);
  float single = static_cast<float>(norm);
  float clipped = scaled * single;
  bool finite = isfinite(single) && isfinite(clipped * clipped);
  clip[0] = single;
  clip[1] = scaled;
  clip[2] = finite ? 1.0f : 0.0f;
}

struct Tensors {
  float *weight, *m, *v;
  const float *grad;
  const double *hyper;
  const float *clip;
  uint16_t *compute;
  size_t count;
};

__device__ __forceinline__ float without_subnormal(float x) {
  return fabsf(x) < FLT_MIN ? 0.0f : x;
}

__device__ __forceinline__ void store_weight(const Tensors &t, size_t i, float weight) {
  t.weight[i] = weight;
  if (t.compute != nullptr) t.compute[i] = f32_to_bf16(weight);
}

__global__ void adamw_kernel(Tensors t) {
  size_t i = global_index();
  if (i >= t.count || t.clip[2] == 0.0f) return;
  double lr = t.hyper[0], beta1 = t.hyper[1], beta2 = t.hyper[2];
  float g = t.grad[i] * t.clip[1];
  float m = __fmaf_rn(t.m[i], static_cast<float>(beta1), g * static_cast<float>(1.0 - beta1));
  float v = __fmaf_rn(t.v[i], static_cast<float>(beta2), g * static_cast<float>(1.0 - beta2) * g);
  m = without_subnormal(m);
  v = without_subnormal(v);
  float root = static_cast<float>(1.0 / sqrt(t.hyper[6]));
  float below = __fmaf_rn(sqrtf(v), root, static_cast<float>(t.hyper[3]));
  float kept = t.weight[i] * static_cast<float>(1.0 - lr * t.hyper[4]);
  t.m[i] = m;
  t.v[i] = v;
  store_weight(t, i, __fmaf_rn(m / below, -static_cast<float>(lr / t.hyper[5]), kept));
}

// g / sqrt(v), and 0 where both are.
__device__ __forceinline__ float update(float g, float v) { return g / sqrtf(fmaxf(v, FLT_MIN)); }

// Updates second moments; a part's sums of weight^2 and of (g / sqrt(v))^2 go side by side.
__global__ void adafactor_squares_kernel(Tensors t, double *parts) {
  __shared__ double space[WARP];
  size_t first = blockIdx.x * PART, end = first + PART < t.count ? first + PART : t.count;
  bool moves = t.clip[2] != 0.0f;
  float beta2 = static_cast<float>(t.hyper[2]);
  float rest = static_cast<float>(1.0 - t.hyper[2]);
  double weights = 0.0, updates = 0.0;
  for (size_t i = first + threadIdx.x; i < end && moves; i += blockDim.x) {
    float g = t.grad[i] * t.clip[1];
    float v = without_subnormal(__fmaf_rn(t.v[i], beta2, __fmaf_rn(g, g, 1e-30f) * rest));
    float y = update(g, v);
    t.v[i] = v;
    weights += static_cast<double>(t.weight[i]) * static_cast<double>(t.weight[i]);
    updates += static_cast<double>(y) * static_cast<double>(y);
  }
  weights = block_sum(weights, space);
  updates = block_sum(updates, space);
  if (threadIdx.x != 0) return;
  parts[2 * blockIdx.x] = weights;
  parts[2 * blockIdx.x + 1] = updates;
}

__global__ void join_pairs_kernel(double *totals, const double *parts, size_t count) {
  double weights = 0.0, updates = 0.0;
  for (size_t i = 0; i < count; i++) {
    weights += parts[2 * i];
    updates += parts[2 * i + 1];
  }
  totals[0] = weights;
  totals[1] = updates;
}

__global__ void adafactor_move_kernel(Tensors t, const double *totals, double count) {
  size_t i = global_index();
  if (i >= t.count || t.clip[2] == 0.0f) return;
  double limit = t.hyper[3];
  double weight_rms = sqrt(totals[0] / count), update_rms = sqrt(totals[1] / count);
  double excess = limit > 0.0 ? update_rms / limit : 1.0;
  double scale = t.hyper[0] * fmax(weight_rms, 1e-3) / fmax(excess, 1.0);
  float rate = static_cast<float>((1.0 - t.hyper[1]) * scale);
  float y = update(t.grad[i] * t.clip[1], t.v[i]);
  float kept = t.m[i] * static_cast<float>(t.hyper[1]);
  float m = without_subnormal(__fmaf_rn(y, rate, kept));
  t.m[i] = m;
  store_weight(t, i, __fsub_rn(__fmul_rn(t.weight[i], static_cast<float>(1.0 - t.hyper[4])), m));
}

namespace {

// Parts whose sums, two to a part, fit in the scratch behind the totals.
constexpr size_t MOST_PARTS = Context::SCRATCH_BYTES / sizeof(double) / 2 - 1;

int32_t checkParts(Context &context, double parts, size_t count) {
  if (parts == blocksFor(count, PART)) return 0;
  return context.refuse("parts must be count / 32768, rounded up");
}

int32_t tooMany(Context &context) {
  return context.refuse("count must be at most %zu", MOST_PARTS * PART);
}

Tensors tensors(address_t weight, address_t m, address_t v, address_t grad, address_t hyper,
                address_t clip, address_t compute, double count) {
  return {at<float>(weight), at<float>(m),          at<float>(v),
          at<float>(grad),   at<double>(hyper),     at<float>(clip),
          at<uint16_t>(compute), static_cast<size_t>(count)};
}

}  // namespace

extern "C" {

int32_t k_square_sum(address_t handle, address_t sum, address_t x, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, sum, x);
  size_t n = static_cast<size_t>(count);
  if (n == 0) return 0;
  unsigned parts = blocksFor(n, PART);
  if (parts > MOST_PARTS) return tooMany(context);
  double *sums = static_cast<double *>(context.scratch());
  LAUNCH(context, square_parts_kernel, parts, BLOCK, 0, sums, at<float>(x), n);
  LAUNCH(context, join_parts_kernel, 1, 1, 0, at<double>(sum), sums, parts);
  return context.launched("square_sum");
}

int32_t k_square_sums(address_t handle, address_t sums, address_t x, double parts, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, sums, x);
  size_t n = static_cast<size_t>(count);
  if (int32_t status = checkParts(context, parts, n)) return status;
  if (n == 0) return 0;
  LAUNCH(context, square_parts_kernel, blocksFor(n, PART), BLOCK, 0, at<double>(sums), at<float>(x),
         n);
  return context.launched("square_sums");
}

int32_t k_clip_scale(address_t handle, address_t clip, address_t sum, float limit) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, clip, sum);
  LAUNCH(context, clip_scale_kernel, 1, 1, 0, at<float>(clip), at<double>(sum), limit);
  return context.launched("clip_scale");
}

int32_t k_adamw(address_t handle, address_t weight, address_t m, address_t v, address_t grad,
                address_t hyper, address_t clip, address_t compute, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, weight, m, v, grad, hyper, clip);
  Tensors t = tensors(weight, m, v, grad, hyper, clip, compute, count);
  if (t.count == 0) return 0;
  LAUNCH(context, adamw_kernel, blocksFor(t.count), BLOCK, 0, t);
  return context.launched("adamw");
}

int32_t k_adafactor(address_t handle, address_t weight, address_t m, address_t v, address_t grad,
                    address_t hyper, address_t clip, address_t compute, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, weight, m, v, grad, hyper, clip);
  Tensors t = tensors(weight, m, v, grad, hyper, clip, compute, count);
  if (t.count == 0) return 0;
  unsigned parts = blocksFor(t.count, PART);
  if (parts > MOST_PARTS) return tooMany(context);
  double *totals = static_cast<double *>(context.scratch());
  LAUNCH(context, adafactor_squares_kernel, parts, BLOCK, 0, t, totals + 2);
  LAUNCH(context, join_pairs_kernel, 1, 1, 0, totals, totals + 2, parts);
  LAUNCH(context, adafactor_move_kernel, blocksFor(t.count), BLOCK, 0, t, totals, count);
  return context.launched("adafactor");
}

int32_t k_adafactor_moments(address_t handle, address_t sums, address_t weight, address_t v,
                            address_t grad, address_t hyper, address_t clip, double parts,
                            double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, sums, weight, v, grad, hyper, clip);
  Tensors t = tensors(weight, 0, v, grad, hyper, clip, 0, count);
  if (int32_t status = checkParts(context, parts, t.count)) return status;
  if (t.count == 0) return 0;
  LAUNCH(context, adafactor_squares_kernel, blocksFor(t.count, PART), BLOCK, 0, t,
         at<double>(sums));
  return context.launched("adafactor_moments");
}

int32_t k_adafactor_move(address_t handle, address_t weight, address_t m, address_t v,
                         address_t grad, address_t totals, address_t hyper, address_t clip,
                         address_t compute, double whole, double count) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, weight, m, v, grad, totals, hyper, clip);
  Tensors t = tensors(weight, m, v, grad, hyper, clip, compute, count);
  if (whole < count) return context.refuse("whole must be at least count");
  if (t.count == 0) return 0;
  LAUNCH(context, adafactor_move_kernel, blocksFor(t.count), BLOCK, 0, t, at<double>(totals), whole);
  return context.launched("adafactor_move");
}
}
