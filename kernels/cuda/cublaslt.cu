// cuBLASLt by its documented binary interface (cublasLt.h of CUDA 12 and 13), so that neither its headers
// nor the library itself need be there to build.
//
// An algorithm is chosen once per shape: the heuristic's first. It is not chosen by timing, as two runs
// would then differ in their bits.

#include "cublaslt.h"

#ifndef LLAMERO_EMULATED

#include <cuda_runtime.h>

#include "loaded.h"

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

// What is asked for once per shape, in a list: a model has few shapes.
struct CublasLt::Plan {
  unsigned rows, columns, depth;
  size_t out_stride;
  bool accumulate;
  void *description = nullptr, *a = nullptr, *b = nullptr, *out = nullptr;
  HeuristicResult found = {};
  bool usable = false;
  Plan *next = nullptr;

  bool is(const BrainProduct &p) const {
    return rows == p.rows && columns == p.columns && depth == p.depth &&
           out_stride == p.out_stride && accumulate == p.accumulate;
  }
};

CublasLt *CublasLt::open(const char **reason) {
  static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                      nullptr};
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

CublasLt::Plan *CublasLt::planOf(const BrainProduct &p) {
  for (Plan *plan = plans_; plan != nullptr; plan = plan->next) {
    if (plan->is(p)) return plan;
  }
  Plan *plan = new Plan();
  plan->rows = p.rows;
  plan->columns = p.columns;
  plan->depth = p.depth;
  plan->out_stride = p.out_stride;
  plan->accumulate = p.accumulate;
  plan->next = plans_;
  plans_ = plan;
  // The library goes down columns: row by row, out is the product of b and the transposed a.
  const Functions &f = *functions_;
  void *preference = nullptr;
  int found = 0;
  size_t workspace = WORKSPACE_BYTES;
  bool made = f.descCreate(&plan->description, COMPUTE_32F, R_32F) == SUCCESS &&
              f.descSet(plan->description, DESC_TRANSA, &OP_T, sizeof(int)) == SUCCESS &&
              f.descSet(plan->description, DESC_TRANSB, &OP_N, sizeof(int)) == SUCCESS &&
              f.layoutCreate(&plan->b, R_16BF, p.depth, p.columns, p.depth) == SUCCESS &&
              f.layoutCreate(&plan->a, R_16BF, p.depth, p.rows, p.depth) == SUCCESS &&
              f.layoutCreate(&plan->out, R_32F, p.columns, p.rows,
                             static_cast<int64_t>(p.out_stride)) == SUCCESS &&
              f.preferenceCreate(&preference) == SUCCESS &&
              f.preferenceSet(preference, PREF_MAX_WORKSPACE_BYTES, &workspace,
                              sizeof(workspace)) == SUCCESS;
  plan->usable = made &&
                 f.heuristic(handle_, plan->description, plan->b, plan->a, plan->out, plan->out,
                             preference, 1, &plan->found, &found) == SUCCESS &&
                 found == 1 && plan->found.state == SUCCESS;
  if (preference != nullptr) f.preferenceDestroy(preference);
  return plan;
}

bool CublasLt::multiply(const BrainProduct &p, void *stream) {
  Plan *plan = planOf(p);
  if (!plan->usable) return false;
  float one = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
  return functions_->matmul(handle_, plan->description, &one, p.b, plan->b, p.a, plan->a, &beta,
                            p.out, plan->out, p.out, plan->out, &plan->found.algorithm, workspace_,
                            plan->found.workspaceSize, stream) == SUCCESS;
}

#else

struct CublasLt::Functions {};
struct CublasLt::Plan {};

CublasLt *CublasLt::open(const char **reason) {
  *reason = "emulated";
  return nullptr;
}

CublasLt::~CublasLt() {}

bool CublasLt::multiply(const BrainProduct &, void *) { return false; }

#endif
