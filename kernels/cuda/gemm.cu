// Products of matrices in any order of memory. A block makes 64 x 64 outputs from tiles of 16 of the depth in
// shared memory, a thread 4 x 4 of them; an output's sum goes through the depth in order.

#include "context.h"
#include "device.h"

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
  bool accumulate, brain;
};

__device__ __forceinline__ float rounded(float x, bool brain) {
  return brain ? bf16_to_f32(f32_to_bf16(x)) : x;
}

// Fills a tile [DEPTH][SIDE]; what lies outside is 0. Neighbouring threads read neighbouring elements.
__device__ void load_tile(float (*tile)[SIDE + 1], const Operand &from, size_t line, size_t k,
                          const Gemm &p, unsigned lines) {
  bool along_depth = from.depth_stride == 1;
  for (unsigned i = threadIdx.x; i < SIDE * DEPTH; i += blockDim.x) {
    unsigned dk = along_depth ? i % DEPTH : i / SIDE, dl = along_depth ? i / DEPTH : i % SIDE;
    bool inside = line + dl < lines && k + dk < p.depth;
    tile[dk][dl] = inside ? rounded(from.read(line + dl, k + dk), p.brain) : 0.0f;
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

// Rows of an operand as bf16, each contiguous over the depth.
__global__ void brain_rows_kernel(uint16_t *out, Operand from, size_t first, unsigned depth,
                                  size_t count) {
  size_t i = global_index();
  if (i < count) out[i] = f32_to_bf16(from.read(first + i / depth, i % depth));
}

namespace {

// Half of the scratch holds rows of a, the other rows of b.
constexpr size_t HALF_BYTES = Context::SCRATCH_BYTES / 2;

// Lines of an operand from `first` on as bf16: its own memory where it is so already.
const uint16_t *brainLines(Context &context, const Operand &from, size_t first, unsigned count,
                           unsigned depth, uint16_t *space) {
  bool asItIs = from.brain && from.depth_stride == 1 && from.line_stride == depth;
  if (asItIs) return reinterpret_cast<const uint16_t *>(from.address) + first * depth;
  size_t elements = static_cast<size_t>(count) * depth;
  LAUNCH(context, brain_rows_kernel, blocksFor(elements), BLOCK, 0, space, from, first, depth,
         elements);
  return space;
}

Operand from(Operand operand, size_t line) {
  operand.address += line * operand.line_stride * (operand.brain ? 2 : 4);
  return operand;
}

// Enqueues the plain kernel.
void multiplyPlainly(Context &context, const Gemm &p) {
  dim3 blocks(blocksFor(p.columns, SIDE), blocksFor(p.rows, SIDE));
  LAUNCH(context, gemm_kernel, blocks, BLOCK, 0, p);
}

// The product by cuBLASLt, in pieces whose operands fit in the scratch; false where it cannot be.
bool multiplyByCublas(Context &context, const Gemm &p) {
  size_t line = static_cast<size_t>(p.depth) * sizeof(uint16_t);
  if (context.cublas() == nullptr || p.depth == 0 || line > HALF_BYTES) return false;
  size_t most = HALF_BYTES / line;
  uint16_t *ofA = static_cast<uint16_t *>(context.scratch());
  uint16_t *ofB = ofA + HALF_BYTES / sizeof(uint16_t);
  for (size_t column = 0; column < p.columns; column += most) {
    unsigned columns = static_cast<unsigned>(p.columns - column < most ? p.columns - column : most);
    const uint16_t *b = brainLines(context, p.b, column, columns, p.depth, ofB);
    for (size_t row = 0; row < p.rows; row += most) {
      unsigned rows = static_cast<unsigned>(p.rows - row < most ? p.rows - row : most);
      const uint16_t *a = brainLines(context, p.a, row, rows, p.depth, ofA);
      BrainProduct product = {p.out + row * p.out_stride + column, a, b, rows, columns, p.depth,
                              p.out_stride, p.accumulate};
      if (context.cublas()->multiply(product, context.stream())) continue;
      Gemm piece = p;
      piece.out = product.out;
      piece.a = from(p.a, row);
      piece.b = from(p.b, column);
      piece.rows = rows;
      piece.columns = columns;
      multiplyPlainly(context, piece);
    }
  }
  return true;
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
            rows, columns, depth, out_stride, accumulate != 0, precision == DTYPE_BF16};
  if (rows > 65535 * SIDE) return context.refuse("rows must be at most %u", 65535 * SIDE);
  if (p.brain && multiplyByCublas(context, p)) return context.launched("gemm");
  multiplyPlainly(context, p);
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
