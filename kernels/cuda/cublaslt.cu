// cuBLASLt by its documented binary interface (cublasLt.h of CUDA 12 and 13), so that neither its headers
// nor the library itself need be there to build.
//
// An algorithm is chosen once per shape, by timing what the heuristic proposes. Times differ from run to run,
// and the bits of a sum must not: so no algorithm may add up parts of a sum that several blocks made, and of
// the others only those are timed that give the very bits of the heuristic's first, for numbers drawn for
// this. The first one follows from library, GPU, shape and alignment alone; whichever wins, sums are its.

#include "cublaslt.h"

#include <cmath>
#include <cstdlib>

#include "loaded.h"
#include "product_trial.h"

namespace {

constexpr size_t WORKSPACE_BYTES = size_t(32) << 20;
constexpr int SUCCESS = 0;

// Values of cublasLt.h, cublas_api.h and library_types.h.
constexpr int COMPUTE_32F = 68;
constexpr int R_32F = 0;
constexpr int R_16BF = 14;
constexpr int DESC_TRANSA = 3;
constexpr int DESC_TRANSB = 4;
constexpr int OP_N = 0;
constexpr int OP_T = 1;
constexpr int PREF_MAX_WORKSPACE_BYTES = 1;
constexpr int PREF_REDUCTION_SCHEME_MASK = 3;
// Of a, b, c and d, one after another.
constexpr int PREF_MIN_ALIGNMENT_BYTES = 5;
constexpr uint32_t NO_REDUCTION = 0;

constexpr int CANDIDATES = 16;
constexpr int TIMINGS = 3;

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

}  // namespace

struct CublasLt::Functions {
  int (*create)(void **);
  int (*destroy)(void *);
  int (*descCreate)(void **, int, int);
  int (*descDestroy)(void *);
  int (*descSet)(void *, int, const void *, size_t);
  int (*layoutCreate)(void **, int, uint64_t, uint64_t, int64_t);
  int (*layoutDestroy)(void *);
  int (*preferenceCreate)(void **);
  int (*preferenceDestroy)(void *);
  int (*preferenceSet)(void *, int, const void *, size_t);
  int (*heuristic)(void *, void *, void *, void *, void *, void *, void *, int, HeuristicResult *,
                   int *);
  int (*matmul)(void *, void *, const void *, const void *, void *, const void *, void *,
                const void *, const void *, void *, void *, void *, const Algorithm *, void *,
                size_t, void *);
};

// Largest power of two up to 16, the widest access, that divides an address. What lies beyond differs from
// run to run with where memory happens to be, and must not decide.
static uint32_t alignmentOf(const void *address) {
  uintptr_t bits = reinterpret_cast<uintptr_t>(address) | 16;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// What is asked for once per shape, in a list: a model has few shapes.
struct CublasLt::Plan {
  BrainProduct shape;
  void *description = nullptr, *a = nullptr, *b = nullptr, *out = nullptr;
  HeuristicResult found[CANDIDATES] = {};
  int chosen = 0;
  bool usable = false;
  Plan *next = nullptr;

  bool is(const BrainProduct &p) const {
    auto same = [](const BrainOperand &x, const BrainOperand &y) {
      return x.stride == y.stride && x.across == y.across &&
             alignmentOf(x.address) == alignmentOf(y.address);
    };
    return shape.rows == p.rows && shape.columns == p.columns && shape.depth == p.depth &&
           shape.out_stride == p.out_stride && shape.accumulate == p.accumulate &&
           alignmentOf(shape.out) == alignmentOf(p.out) && same(shape.a, p.a) && same(shape.b, p.b);
  }
};

CublasLt *CublasLt::open(const char **reason) {
#ifdef LLAMERO_EMULATED
  // What a test says; the real one has no use for memory of the processor.
  const char *const names[] = {std::getenv("LLAMERO_EMULATED_CUBLASLT"), nullptr};
#else
  static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                      nullptr};
#endif
  void *library = loadLibrary(names, "cublas");
  if (library == nullptr) {
    *reason = "cuBLASLt is not installed";
    return nullptr;
  }
  CublasLt *self = new CublasLt();
  Functions *f = self->functions_ = new Functions();
  Binder bind{library};
  bind(f->create, "cublasLtCreate");
  bind(f->destroy, "cublasLtDestroy");
  bind(f->descCreate, "cublasLtMatmulDescCreate");
  bind(f->descDestroy, "cublasLtMatmulDescDestroy");
  bind(f->descSet, "cublasLtMatmulDescSetAttribute");
  bind(f->layoutCreate, "cublasLtMatrixLayoutCreate");
  bind(f->layoutDestroy, "cublasLtMatrixLayoutDestroy");
  bind(f->preferenceCreate, "cublasLtMatmulPreferenceCreate");
  bind(f->preferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  bind(f->preferenceSet, "cublasLtMatmulPreferenceSetAttribute");
  bind(f->heuristic, "cublasLtMatmulAlgoGetHeuristic");
  bind(f->matmul, "cublasLtMatmul");
  bool ready = bind.all && f->create(&self->handle_) == SUCCESS &&
               cudaMalloc(&self->workspace_, WORKSPACE_BYTES) == cudaSuccess;
  if (ready) return self;
  *reason = bind.all ? "cuBLASLt does not open" : "cuBLASLt has not all of its functions";
  delete self;
  return nullptr;
}

CublasLt::~CublasLt() {
  while (plans_ != nullptr) {
    Plan *plan = plans_;
    plans_ = plan->next;
    for (void *layout : {plan->a, plan->b, plan->out}) {
      if (layout != nullptr) functions_->layoutDestroy(layout);
    }
    if (plan->description != nullptr) functions_->descDestroy(plan->description);
    delete plan;
  }
  cudaFree(workspace_);
  if (handle_ != nullptr) functions_->destroy(handle_);
  delete functions_;
}

bool CublasLt::describe(Plan &plan, const BrainProduct &p) {
  // The library goes down columns: row by row, out is the product of b and the transposed a.
  const Functions &f = *functions_;
  const int *ofB = p.b.across ? &OP_N : &OP_T, *ofA = p.a.across ? &OP_T : &OP_N;
  auto layout = [&](void **made, const BrainOperand &from, unsigned lines) {
    uint64_t rows = from.across ? lines : p.depth, columns = from.across ? p.depth : lines;
    return f.layoutCreate(made, R_16BF, rows, columns, static_cast<int64_t>(from.stride)) == SUCCESS;
  };
  return f.descCreate(&plan.description, COMPUTE_32F, R_32F) == SUCCESS &&
         f.descSet(plan.description, DESC_TRANSA, ofB, sizeof(int)) == SUCCESS &&
         f.descSet(plan.description, DESC_TRANSB, ofA, sizeof(int)) == SUCCESS &&
         layout(&plan.b, p.b, p.columns) && layout(&plan.a, p.a, p.rows) &&
         f.layoutCreate(&plan.out, R_32F, p.columns, p.rows, static_cast<int64_t>(p.out_stride)) ==
             SUCCESS;
}

CublasLt::Plan *CublasLt::planOf(const BrainProduct &p, void *stream) {
  for (Plan *plan = plans_; plan != nullptr; plan = plan->next) {
    if (plan->is(p)) return plan;
  }
  Plan *plan = new Plan();
  plan->shape = p;
  plan->next = plans_;
  plans_ = plan;
  if (!describe(*plan, p)) return plan;
  const Functions &f = *functions_;
  void *preference = nullptr;
  size_t workspace = WORKSPACE_BYTES;
  bool made = f.preferenceCreate(&preference) == SUCCESS &&
              f.preferenceSet(preference, PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof(workspace)) ==
                  SUCCESS &&
              f.preferenceSet(preference, PREF_REDUCTION_SCHEME_MASK, &NO_REDUCTION,
                              sizeof(NO_REDUCTION)) == SUCCESS;
  const void *operands[] = {p.b.address, p.a.address, p.out, p.out};
  for (int i = 0; made && i < 4; i++) {
    uint32_t alignment = alignmentOf(operands[i]);
    made = f.preferenceSet(preference, PREF_MIN_ALIGNMENT_BYTES + i, &alignment, sizeof(alignment)) ==
           SUCCESS;
  }
  int found = 0;
  plan->usable = made &&
                 f.heuristic(handle_, plan->description, plan->b, plan->a, plan->out, plan->out,
                             preference, CANDIDATES, plan->found, &found) == SUCCESS &&
                 found > 0 && plan->found[0].state == SUCCESS;
  if (preference != nullptr) f.preferenceDestroy(preference);
  if (plan->usable) tune(*plan, p, found, stream);
  return plan;
}

bool CublasLt::enqueue(const Plan &plan, int algorithm, const BrainProduct &p, void *stream) {
  float one = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
  const HeuristicResult &which = plan.found[algorithm];
  return functions_->matmul(handle_, plan.description, &one, p.b.address, plan.b, p.a.address, plan.a,
                            &beta, p.out, plan.out, p.out, plan.out, &which.algorithm, workspace_,
                            which.workspaceSize, stream) == SUCCESS;
}

void CublasLt::tune(Plan &plan, const BrainProduct &p, int found, void *stream) {
  Trial trial(p, static_cast<cudaStream_t>(stream));
  // Without memory for it the first remains, whose bits the others have as well.
  if (!trial.ready()) return;
  float best = INFINITY;
  for (int i = 0; i < found; i++) {
    if (plan.found[i].state != SUCCESS) continue;
    auto run = [&](const BrainProduct &product) { return enqueue(plan, i, product, stream); };
    if (!trial.sameBits(i > 0, run)) {
      if (i == 0) return;
      continue;
    }
    float milliseconds = trial.time(TIMINGS, run);
    if (milliseconds < best) {
      best = milliseconds;
      plan.chosen = i;
    }
  }
}

bool CublasLt::multiply(const BrainProduct &p, void *stream) {
  Plan *plan = planOf(p, stream);
  return plan->usable && enqueue(*plan, plan->chosen, p, stream);
}
