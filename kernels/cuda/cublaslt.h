// Products in bf16 by cuBLASLt, where it is installed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.h"

struct BrainProduct {
  // out[rows, columns] (+)= a[rows, depth] b[columns, depth]^T, all row by row; out is f32.
  float *out;
  const uint16_t *a, *b;
  unsigned rows, columns, depth;
  size_t out_stride;
  bool accumulate;
};

class CublasLt {
 public:
  // Null where the library is not there or does not open; `reason` then says why.
  static CublasLt *open(const char **reason);
  ~CublasLt();

  // Enqueues a product; false where the library has no algorithm for it.
  bool multiply(const BrainProduct &product, void *stream);

 private:
  struct Functions;
  struct Plan;
  CublasLt() = default;
  Plan *planOf(const BrainProduct &product);

  Functions *functions_ = nullptr;
  void *handle_ = nullptr;
  void *workspace_ = nullptr;
  Plan *plans_ = nullptr;
};
