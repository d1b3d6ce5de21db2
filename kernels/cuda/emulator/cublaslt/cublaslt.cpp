// cuBLASLt's interface (cublasLt.h of CUDA 12) on the processor: what `../../cublaslt.cu` uses of it, for bf16
// operands and f32 results that go down columns. Nothing of its insides.
//
// It proposes four algorithms: 0 is slow; 1 is quick and adds in another order; 2 is quick and gives the bits
// of 0; 3 is not for this machine. `emulated_uses` tells how often each has run.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace {

constexpr int SUCCESS = 0, INVALID = 7, NOT_SUPPORTED = 15;
constexpr int COMPUTE_32F = 68, R_32F = 0, R_16BF = 14, OP_N = 0, OP_T = 1;
constexpr int DESC_TRANSA = 3, DESC_TRANSB = 4;
constexpr int PREF_WORKSPACE = 1, PREF_REDUCTION = 3, PREF_ALIGNMENT_A = 5, PREF_ALIGNMENT_D = 8;

struct Description {
  int compute, scale;
  int transA = OP_N, transB = OP_N;
};

struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;

  bool fits() const { return stride >= static_cast<int64_t>(rows); }
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = 0x07;
  uint32_t alignments[4] = {256, 256, 256, 256};
};

struct Algorithm {
  uint64_t data[8];
};

struct HeuristicResult {
  Algorithm algorithm;
  size_t workspaceSize;
  int state;
  float wavesCount;
  int reserved[4];
};

int uses[4];

// Milliseconds that this thread has computed.
double computed() {
  std::timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

float widened(uint16_t half) {
  uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// Rows, columns and depth of op(a) op(b) -> out; false where they do not fit one another.
bool extents(const Description &d, const Layout &a, const Layout &b, const Layout &out, uint64_t (&to)[3]) {
  uint64_t rows = d.transA == OP_N ? a.rows : a.columns, depth = d.transA == OP_N ? a.columns : a.rows;
  uint64_t columns = d.transB == OP_N ? b.columns : b.rows, same = d.transB == OP_N ? b.rows : b.columns;
  to[0] = rows;
  to[1] = columns;
  to[2] = depth;
  return a.type == R_16BF && b.type == R_16BF && out.type == R_32F && depth == same &&
         out.rows == rows && out.columns == columns && a.fits() && b.fits() && out.fits() &&
         d.compute == COMPUTE_32F && d.scale == R_32F;
}

bool aligned(const void *address, uint32_t to) { return reinterpret_cast<uintptr_t>(address) % to == 0; }

}  // namespace

extern "C" {

int emulated_uses(int algorithm) { return uses[algorithm]; }

int cublasLtCreate(void **handle) {
  *handle = new int(0);
  return SUCCESS;
}

int cublasLtDestroy(void *handle) {
  delete static_cast<int *>(handle);
  return SUCCESS;
}

int cublasLtMatmulDescCreate(void **made, int compute, int scale) {
  *made = new Description{compute, scale};
  return SUCCESS;
}

int cublasLtMatmulDescDestroy(void *description) {
  delete static_cast<Description *>(description);
  return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(void *description, int attribute, const void *value, size_t bytes) {
  int op;
  if (bytes != sizeof(op)) return INVALID;
  std::memcpy(&op, value, sizeof(op));
  if (op != OP_N && op != OP_T) return INVALID;
  Description &d = *static_cast<Description *>(description);
  if (attribute == DESC_TRANSA) d.transA = op;
  else if (attribute == DESC_TRANSB) d.transB = op;
  else return INVALID;
  return SUCCESS;
}

int cublasLtMatrixLayoutCreate(void **made, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  *made = new Layout{type, rows, columns, stride};
  return SUCCESS;
}

int cublasLtMatrixLayoutDestroy(void *layout) {
  delete static_cast<Layout *>(layout);
  return SUCCESS;
}

int cublasLtMatmulPreferenceCreate(void **made) {
  *made = new Preference();
  return SUCCESS;
}

int cublasLtMatmulPreferenceDestroy(void *preference) {
  delete static_cast<Preference *>(preference);
  return SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t bytes) {
  Preference &p = *static_cast<Preference *>(preference);
  if (attribute == PREF_WORKSPACE && bytes == sizeof(p.workspace)) {
    std::memcpy(&p.workspace, value, bytes);
  } else if (attribute == PREF_REDUCTION && bytes == sizeof(p.reductions)) {
    std::memcpy(&p.reductions, value, bytes);
  } else if (attribute >= PREF_ALIGNMENT_A && attribute <= PREF_ALIGNMENT_D && bytes == sizeof(uint32_t)) {
    std::memcpy(&p.alignments[attribute - PREF_ALIGNMENT_A], value, bytes);
  } else {
    return INVALID;
  }
  return SUCCESS;
}

int cublasLtMatmulAlgoGetHeuristic(void *, void *description, void *a, void *b, void *c, void *d,
                                   void *preference, int wanted, HeuristicResult *results, int *found) {
  uint64_t shape[3];
  *found = 0;
  if (c != d) return INVALID;
  if (!extents(*static_cast<Description *>(description), *static_cast<Layout *>(a),
               *static_cast<Layout *>(b), *static_cast<Layout *>(d), shape)) {
    return INVALID;
  }
  const Preference &p = *static_cast<Preference *>(preference);
  // Sums of several blocks are what the caller must not have asked for.
  if (p.reductions != 0) return NOT_SUPPORTED;
  for (int i = 0; i < 4 && i < wanted; i++) {
    HeuristicResult &result = results[(*found)++];
    result = {};
    result.algorithm.data[0] = static_cast<uint64_t>(i);
    result.algorithm.data[1] = p.alignments[0] | p.alignments[1] << 10;
    result.algorithm.data[2] = p.alignments[2] | p.alignments[3] << 10;
    result.state = i == 3 ? NOT_SUPPORTED : SUCCESS;
  }
  return SUCCESS;
}

int cublasLtMatmul(void *, void *description, const void *alpha, const void *a, void *ofA, const void *b,
                   void *ofB, const void *beta, const void *c, void *, void *out, void *ofOut,
                   const Algorithm *algorithm, void *, size_t, void *) {
  const Description &d = *static_cast<Description *>(description);
  const Layout &la = *static_cast<Layout *>(ofA), &lb = *static_cast<Layout *>(ofB);
  const Layout &lo = *static_cast<Layout *>(ofOut);
  uint64_t shape[3], which = algorithm->data[0];
  if (!extents(d, la, lb, lo, shape) || which > 2) return INVALID;
  uint64_t ofFirst = algorithm->data[1], ofSecond = algorithm->data[2];
  bool there = aligned(a, ofFirst & 1023) && aligned(b, ofFirst >> 10) && aligned(c, ofSecond & 1023) &&
               aligned(out, ofSecond >> 10);
  if (!there) return INVALID;
  uses[which]++;
  double begun = computed();
  float by = *static_cast<const float *>(alpha), kept = *static_cast<const float *>(beta);
  const uint16_t *x = static_cast<const uint16_t *>(a), *y = static_cast<const uint16_t *>(b);
  for (uint64_t column = 0; column < shape[1]; column++) {
    for (uint64_t row = 0; row < shape[0]; row++) {
      float sum = 0.0f;
      for (uint64_t i = 0; i < shape[2]; i++) {
        uint64_t k = which == 1 ? shape[2] - 1 - i : i;
        float left = widened(d.transA == OP_N ? x[row + k * la.stride] : x[k + row * la.stride]);
        float right = widened(d.transB == OP_N ? y[k + column * lb.stride] : y[column + k * lb.stride]);
        sum = std::fma(left, right, sum);
      }
      float &to = static_cast<float *>(out)[row + column * lo.stride];
      float before = static_cast<const float *>(c)[row + column * lo.stride];
      to = kept == 0.0f ? by * sum : by * sum + kept * before;
    }
  }
  double slow = begun + 4 * (computed() - begun) + 2;
  while (which == 0 && computed() < slow) continue;
  return SUCCESS;
}
}
