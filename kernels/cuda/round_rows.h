// Rows of f32 as bf16, for tensor cores.
#pragma once

#include "context.h"

struct FloatRows {
  const float *from;
  size_t stride;
  size_t rows;
  // A row is so many pieces, side by side, of so many elements.
  unsigned pieces, elements;
};

// Enqueues the rounding of rows; pieces are filled up with zeros to `width` elements, a multiple of 4, and
// rows lie side by side in `to`, which is aligned to 8 bytes.
void roundRows(Context &context, uint16_t *to, const FloatRows &rows, unsigned width);
