// Rounds rows to bf16, once for all tiles that will read them.

#include "round_rows.h"

#include "device.h"

struct alignas(16) FourFloats {
  float x[4];
};
struct alignas(8) FourHalves {
  uint16_t x[4];
};

// A block rounds a row, a thread four neighbours at a time; `aligned`: all pieces begin at 16 bytes and end
// with four.
__global__ void round_rows_kernel(uint16_t *to, FloatRows r, unsigned width, bool aligned) {
  unsigned fours = width / 4, count = r.pieces * fours;
  const float *row = r.from + blockIdx.x * r.stride;
  FourHalves *out = reinterpret_cast<FourHalves *>(to) + static_cast<size_t>(blockIdx.x) * count;
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
    unsigned first = i % fours * 4;
    const float *x = row + static_cast<size_t>(i / fours) * r.elements + first;
    FourFloats four = {};
    if (aligned && first < r.elements) four = *reinterpret_cast<const FourFloats *>(x);
    else {
      for (unsigned j = 0; j < 4; j++) four.x[j] = first + j < r.elements ? x[j] : 0.0f;
    }
    FourHalves halves;
    for (unsigned j = 0; j < 4; j++) halves.x[j] = f32_to_bf16(four.x[j]);
    out[i] = halves;
  }
}

void roundRows(Context &context, uint16_t *to, const FloatRows &rows, unsigned width) {
  bool aligned = rows.elements % 4 == 0 && rows.stride % 4 == 0 &&
                 reinterpret_cast<uintptr_t>(rows.from) % 16 == 0;
  size_t count = static_cast<size_t>(rows.pieces) * (width / 4);
  if (count == 0 || rows.rows == 0) return;
  unsigned threads = count < BLOCK ? blocksFor(count, WARP) * WARP : BLOCK;
  LAUNCH(context, round_rows_kernel, static_cast<unsigned>(rows.rows), threads, 0, to, rows, width,
         aligned);
}
