// What both ways of attention in training are told, and which rows see which.
#pragma once

#include "context.h"
#include "device.h"

struct Heads {
  const int *starts;
  unsigned rows, heads, kv_heads, head_dim;
  float scale;
  // Whether factors of products are rounded to bf16.
  bool brain;
  int *fault;
};

struct Forward {
  float *out, *log_z;
  const float *q, *k, *v;
  size_t out_stride, q_stride, k_stride, v_stride;
};

struct Backward {
  float *dq, *dk, *dv;
  const float *dout, *out, *log_z, *q, *k, *v;
  size_t dq_stride, dk_stride, dv_stride, dout_stride, out_stride, q_stride, k_stride, v_stride;
};

// First row that a row sees; a start that is none is told, and the row sees itself.
__device__ __forceinline__ unsigned first_visible(const Heads &h, unsigned row) {
  int start = h.starts[row];
  bool own = start == static_cast<int>(row);
  if (own || (row > 0 && start == h.starts[row - 1])) return static_cast<unsigned>(start);
  *h.fault = FAULT_START;
  return row;
}
