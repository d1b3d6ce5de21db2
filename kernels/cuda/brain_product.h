// Products of matrices in bf16, sums in f32: by cuBLASLt where it is installed, else on tensor cores by our
// own kernel.
#pragma once

#include <cstddef>
#include <cstdint>

class Context;

// A line has `depth` elements. They lie side by side, lines `stride` apart; or `across`: elements of one
// depth of all lines side by side, depths `stride` apart. Addresses and strides are multiples of 16 bytes.
struct BrainOperand {
  const uint16_t *address;
  size_t stride;
  bool across;
};

// out[rows, columns] (+)= lines of a by lines of b.
struct BrainProduct {
  float *out;
  BrainOperand a, b;
  unsigned rows, columns, depth;
  size_t out_stride;
  bool accumulate;
};

// Enqueues a product; an element's sum goes through the depth in order, whatever rows and columns.
void multiplyOnTensorCores(Context &context, const BrainProduct &product);
