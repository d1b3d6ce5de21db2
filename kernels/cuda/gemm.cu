// Products of matrices in any order of memory. In f32 a block makes 64 x 64 outputs from tiles of 16 of the
// depth in shared memory, a thread 4 x 4 of them; an output's sum goes through the depth in order. In bf16
// operands are rounded once, in the order in which they lie, and multiplied on tensor cores.

#include "brain_product.h"
#include "context.h"
#include "device.h"
#include "round_rows.h"

constexpr unsigned SIDE = 64, DEPTH = 16, PER = 4;

struct Operand {
  const uint8_t *address;
  bool brain;
  size_t line_stride, depth_stride;

  __device__ float read(size_t line, size_t k) const {
    size_t at = line * line_stride + k * depth_stride;
    return brain ? bf16_to_f32(reinterpret_cast<const uint16_t *>(address)[at])
                 : reinterpret_cast<const float *>(address)[at];
  }
};

struct Gemm {
  float *out;
  Operand a, b;
  unsigned rows, columns, depth;
  size_t out_stride;
  bool accumulate;
};

// Fills a tile [DEPTH][SIDE]; what lies outside is 0. Neighbouring threads read neighbouring elements.
__device__ void load_tile(float (*tile)[SIDE + 1], const Operand &from, size_t line, size_t k,
                          const Gemm &p, unsigned lines) {
  bool along_depth = from.depth_stride == 1;
  for (unsigned i = threadIdx.x; i < SIDE * DEPTH; i += blockDim.x) {
    unsigned dk = along_depth ? i % DEPTH : i / SIDE, dl = along_depth ? i / DEPTH : i % SIDE;
    bool inside = line + dl < lines && k + dk < p.depth;
    tile[dk][dl] = inside ? from.read(line + dl, k + dk) : 0.0f;
  }
}

__global__ void gemm_kernel(Gemm p) {
  __shared__ float a[DEPTH][SIDE + 1];
  __shared__ float b[DEPTH][SIDE + 1];
  size_t row = static_cast<size_t>(blockIdx.y) * SIDE, column = static_cast<size_t>(blockIdx.x) * SIDE;
  unsigned r0 = threadIdx.x / (SIDE / PER) * PER, c0 = threadIdx.x % (SIDE / PER);
  float sums[PER][PER] = {};
  for (size_t k = 0; k < p.depth; k += DEPTH) {
    load_tile(a, p.a, row, k, p, p.rows);
    load_tile(b, p.b, column, k, p, p.columns);
    __syncthreads();
    for (unsigned dk = 0; dk < DEPTH; dk++) {
      for (unsigned r = 0; r < PER; r++) {
        for (unsigned c = 0; c < PER; c++) {
          sums[r][c] = __fmaf_rn(a[dk][r0 + r], b[dk][c0 + c * (SIDE / PER)], sums[r][c]);
        }
      }
    }
    __syncthreads();
  }
  for (unsigned r = 0; r < PER; r++) {
    for (unsigned c = 0; c < PER; c++) {
      size_t at_row = row + r0 + r, at_column = column + c0 + c * (SIDE / PER);
      if (at_row >= p.rows || at_column >= p.columns) continue;
      float *out = p.out + at_row * p.out_stride + at_column;
      *out = p.accumulate ? *out + sums[r][c] : sums[r][c];
    }
  }
}

// Packed b: its columns one after another, each contiguous over the depth.
__global__ void gemm_pack_kernel(uint8_t *packed, Operand b, unsigned depth, size_t count,
                                 bool brain) {
  size_t i = global_index();
  if (i >= count) return;
  float x = b.read(i / depth, i % depth);
  if (brain) reinterpret_cast<uint16_t *>(packed)[i] = f32_to_bf16(x);
  else reinterpret_cast<float *>(packed)[i] = x;
}

// Rows of bf16 whose addresses are not aligned, moved to where they are: element after element.
__global__ void move_rows_kernel(uint16_t *to, const uint16_t *from, size_t stride, size_t width,
                                 size_t to_stride) {
  for (size_t i = threadIdx.x; i < width; i += blockDim.x) {
    to[blockIdx.x * to_stride + i] = from[blockIdx.x * stride + i];
  }
}

namespace {

// What one operand may take of the context's memory at a time.
#ifdef LLAMERO_EMULATED
// So little that tests meet products in pieces.
constexpr size_t OPERAND_BYTES = size_t(48) << 10;
#else
constexpr size_t OPERAND_BYTES = size_t(256) << 20;
#endif

size_t roundedUp(size_t count) { return (count + 7) / 8 * 8; }

// One operand of a product in bf16: how it is brought into the form that tensor cores read.
struct Lines {
  Operand from;
  size_t lines, depth;

  bool across() const { return from.depth_stride != 1; }
  size_t stride() const { return across() ? from.depth_stride : from.line_stride; }
  // Whether it can be read where it is.
  bool ready() const {
    return from.brain && stride() % 8 == 0 && reinterpret_cast<uintptr_t>(from.address) % 16 == 0;
  }
  // Lines that are brought there at once; a multiple of 8.
  size_t most() const {
    if (ready()) return roundedUp(lines);
    size_t fit = OPERAND_BYTES / (roundedUp(depth) * sizeof(uint16_t)) / 8 * 8;
    return fit < 8 ? 8 : fit < lines ? fit : roundedUp(lines);
  }
  size_t bytes() const { return ready() ? 0 : most() * roundedUp(depth) * sizeof(uint16_t); }

  // Enqueues lines from `first` on, `count` of them, into `space`, if they are not there already.
  BrainOperand bring(Context &context, size_t first, size_t count, uint16_t *space) const {
    size_t at = first * (across() ? 1 : from.line_stride);
    if (ready()) return {reinterpret_cast<const uint16_t *>(from.address) + at, stride(), across()};
    size_t rows = across() ? depth : count, width = across() ? count : depth;
    size_t to_stride = roundedUp(width);
    if (from.brain) {
      LAUNCH(context, move_rows_kernel, static_cast<unsigned>(rows), BLOCK, 0, space,
             reinterpret_cast<const uint16_t *>(from.address) + at, stride(), width, to_stride);
    } else {
      const float *x = reinterpret_cast<const float *>(from.address) + at;
      roundRows(context, space, {x, stride(), rows, 1, static_cast<unsigned>(width)},
                static_cast<unsigned>(to_stride));
    }
    return {space, to_stride, across()};
  }
};

// The product on tensor cores, in pieces whose operands fit in the context's memory.
int32_t multiplyBrain(Context &context, const Gemm &p) {
  Lines a = {p.a, p.rows, p.depth}, b = {p.b, p.columns, p.depth};
  size_t bytes = a.bytes() + b.bytes();
  uint16_t *ofA = bytes == 0 ? nullptr : static_cast<uint16_t *>(context.workspace(bytes));
  if (bytes > 0 && ofA == nullptr) return context.refuse("gemm: no memory for %zu bytes of bf16", bytes);
  uint16_t *ofB = ofA + a.bytes() / sizeof(uint16_t);
  BrainOperand left = {};
  for (size_t column = 0; column < p.columns; column += b.most()) {
    size_t columns = p.columns - column < b.most() ? p.columns - column : b.most();
    BrainOperand right = b.bring(context, column, columns, ofB);
    for (size_t row = 0; row < p.rows; row += a.most()) {
      size_t rows = p.rows - row < a.most() ? p.rows - row : a.most();
      bool there = column > 0 && a.most() >= p.rows;
      if (!there) left = a.bring(context, row, rows, ofA);
      BrainProduct product = {p.out + row * p.out_stride + column, left, right,
                              static_cast<unsigned>(rows), static_cast<unsigned>(columns), p.depth,
                              p.out_stride, p.accumulate};
      bool done = context.cublas() != nullptr && context.cublas()->multiply(product, context.stream());
      if (!done) multiplyOnTensorCores(context, product);
    }
  }
  return context.launched("gemm");
}

const char *const TYPES = "a_dtype and b_dtype must be f32 or bf16";

bool isFloat(uint32_t dtype) { return dtype == DTYPE_F32 || dtype == DTYPE_BF16; }

Operand operand(address_t address, uint32_t dtype, uint32_t line, uint32_t depth) {
  return {at<uint8_t>(address), dtype == DTYPE_BF16, line, depth};
}

}  // namespace

extern "C" {

int32_t k_gemm(address_t handle, address_t out, address_t a, address_t b, uint32_t a_dtype,
               uint32_t b_dtype, uint32_t rows, uint32_t columns, uint32_t depth,
               uint32_t a_row_stride, uint32_t a_depth_stride, uint32_t b_column_stride,
               uint32_t b_depth_stride, uint32_t out_stride, uint32_t accumulate,
               uint32_t precision, uint32_t b_packed) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, out, a, b);
  bool across = (a_row_stride != 1 && a_depth_stride != 1) ||
                (!b_packed && b_column_stride != 1 && b_depth_stride != 1);
  if (across) return context.refuse("one of the two strides of a and of b must be 1");
  if (!isFloat(a_dtype) || !isFloat(b_dtype)) return context.refuse(TYPES);
  if (!isFloat(precision)) return context.refuse("precision must be f32 or bf16");
  if (rows > 1 && out_stride < columns) return context.refuse("out_stride must be at least columns");
  if (rows == 0 || columns == 0) return 0;
  Gemm p = {at<float>(out), operand(a, a_dtype, a_row_stride, a_depth_stride),
            b_packed ? operand(b, precision, depth, 1)
                     : operand(b, b_dtype, b_column_stride, b_depth_stride),
            rows, columns, depth, out_stride, accumulate != 0};
  if (rows > 65535 * SIDE) return context.refuse("rows must be at most %u", 65535 * SIDE);
  if (precision == DTYPE_BF16 && depth > 0) return multiplyBrain(context, p);
  dim3 blocks(blocksFor(columns, SIDE), blocksFor(rows, SIDE));
  LAUNCH(context, gemm_kernel, blocks, BLOCK, 0, p);
  return context.launched("gemm");
}

int32_t k_gemm_pack(address_t handle, address_t packed, address_t b, uint32_t b_dtype,
                    uint32_t columns, uint32_t depth, uint32_t b_column_stride,
                    uint32_t b_depth_stride, uint32_t precision, double packed_elements) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, packed, b);
  if (b_column_stride != 1 && b_depth_stride != 1) {
    return context.refuse("one of the two strides of a and of b must be 1");
  }
  if (!isFloat(b_dtype)) return context.refuse(TYPES);
  if (!isFloat(precision)) return context.refuse("precision must be f32 or bf16");
  if (packed_elements < (static_cast<double>(columns) + 63) * (static_cast<double>(depth) + 1)) {
    return context.refuse("packed_elements must be at least (columns + 63) * (depth + 1)");
  }
  size_t count = static_cast<size_t>(columns) * depth;
  if (count == 0) return 0;
  LAUNCH(context, gemm_pack_kernel, blocksFor(count), BLOCK, 0, at<uint8_t>(packed),
         operand(b, b_dtype, b_column_stride, b_depth_stride), depth, count,
         precision == DTYPE_BF16);
  return context.launched("gemm_pack");
}
}
