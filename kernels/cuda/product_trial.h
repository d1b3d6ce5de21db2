// A product of drawn numbers, to try algorithms with: which give the same bits, and how long each takes.
#pragma once

#include "brain_product.h"
#include "launch.h"

class Trial {
 public:
  // Takes memory for the operands and two results; gives it back at the end.
  Trial(const BrainProduct &shape, cudaStream_t stream);
  ~Trial();
  Trial(const Trial &) = delete;

  bool ready() const { return ready_; }

  // Runs a product; whether it succeeds and, where it is compared, gives the bits of the one that was not.
  template <typename Run>
  bool sameBits(bool compared, const Run &run) {
    BrainProduct product = productOf(compared);
    return clear(product) && run(product) && (compared ? equal() : ended());
  }

  // Milliseconds of the quickest of so many runs; infinite where one fails.
  template <typename Run>
  float time(int runs, const Run &run) {
    BrainProduct product = productOf(true);
    float best = INFINITY;
    for (int i = 0; i < runs; i++) {
      if (cudaEventRecord(begun_, stream_) != cudaSuccess || !run(product)) return INFINITY;
      float milliseconds = INFINITY;
      bool told = cudaEventRecord(ended_, stream_) == cudaSuccess &&
                  cudaEventSynchronize(ended_) == cudaSuccess &&
                  cudaEventElapsedTime(&milliseconds, begun_, ended_) == cudaSuccess;
      if (!told) return INFINITY;
      if (milliseconds < best) best = milliseconds;
    }
    return best;
  }

 private:
  BrainProduct productOf(bool compared) const;
  bool clear(const BrainProduct &product);
  bool equal();
  bool ended();

  BrainProduct shape_;
  cudaStream_t stream_;
  cudaEvent_t begun_ = nullptr, ended_ = nullptr;
  uint8_t *memory_ = nullptr;
  size_t ofB_ = 0, ofOut_ = 0, ofSecond_ = 0, ofDiffers_ = 0;
  bool ready_ = false;
};
