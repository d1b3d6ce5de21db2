// Kernels of the table that a GPU does not have: texts are read on the processor, models are quantized
// there, once, and repacked weights are a layout for its vectors.

#include "context.h"

#define ELSEWHERE(context) \
  return contextOf(context).refuse("a GPU does not compute this: use --backend native or wasm")

extern "C" {

int32_t k_quantize_weighted(address_t context, address_t, address_t, address_t, uint32_t, uint32_t,
                            uint32_t) {
  ELSEWHERE(context);
}
int32_t k_repack(address_t context, address_t, address_t, uint32_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_matmul_repacked(address_t context, address_t, address_t, address_t, uint32_t, uint32_t,
                          uint32_t, uint32_t, uint32_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_open(address_t context, address_t, address_t, double) { ELSEWHERE(context); }
int32_t k_text_encode(address_t context, address_t, address_t, address_t, address_t, double,
                      uint32_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_begin(address_t context, address_t, address_t, double, double, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_lines(address_t context, address_t, address_t, address_t, double, uint32_t,
                     uint32_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_stream(address_t context, address_t, address_t, address_t, double, uint32_t,
                      uint32_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_close(address_t context, address_t) { ELSEWHERE(context); }
int32_t k_text_train_open(address_t context, address_t, address_t, double) { ELSEWHERE(context); }
int32_t k_text_train_feed(address_t context, address_t, address_t, address_t, address_t, double,
                          uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_train_prepare(address_t context, address_t, address_t) { ELSEWHERE(context); }
int32_t k_text_train_step(address_t context, address_t, address_t, uint32_t, uint32_t) {
  ELSEWHERE(context);
}
int32_t k_text_train_pieces(address_t context, address_t, address_t) { ELSEWHERE(context); }
int32_t k_text_train_close(address_t context, address_t) { ELSEWHERE(context); }
}
