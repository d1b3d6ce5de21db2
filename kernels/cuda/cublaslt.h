// Products in bf16 by cuBLASLt, where it is installed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "brain_product.h"
#include "launch.h"

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
  Plan *planOf(const BrainProduct &product, void *stream);
  // Makes what the library is to be told of a shape; false where it refuses.
  bool describe(Plan &plan, const BrainProduct &product);
  bool enqueue(const Plan &plan, int algorithm, const BrainProduct &product, void *stream);
  // Chooses among the algorithms that were found.
  void tune(Plan &plan, const BrainProduct &product, int found, void *stream);

  Functions *functions_ = nullptr;
  void *handle_ = nullptr;
  void *workspace_ = nullptr;
  Plan *plans_ = nullptr;
};
