// What ranks that share a vocabulary make of each other's scores: lib/model/training/vocabulary_head.ts
// does the same where they meet in the processor's memory. Not of the kernel table: only GPUs that are
// connected need it, so that nobody waits for the numbers to come to the processor and go back.

#include "context.h"

struct Totals {
  // By ranks: shift, sum and chosen logit of every row [ranks, 3, rows].
  const float *told;
  unsigned ranks, rank, rows;
  // Whether a row's target counts [rows].
  const int *counts;
  // Weight of every row in the loss, or null where no gradient is wanted [rows].
  const float *weights;
  double zLoss;
  float *logProb, *logZ, *factors;
};

// log Z = M + log sum_p sum_p exp(shift_p - M), over parts p in the order of their ranks and in double
// precision: the same bits on all ranks. A thread takes a row.
__global__ void vocabulary_totals_kernel(Totals t) {
  unsigned row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= t.rows) return;
  double most = -INFINITY, total = 0.0, chosen = 0.0;
  for (unsigned p = 0; p < t.ranks; p++) {
    most = fmax(most, static_cast<double>(t.told[3 * p * t.rows + row]));
  }
  for (unsigned p = 0; p < t.ranks; p++) {
    const float *part = t.told + 3 * p * t.rows + row;
    total += part[t.rows] * exp(static_cast<double>(part[0]) - most);
    chosen += part[2 * t.rows];
  }
  double logZ = most + log(total);
  t.logZ[row] = static_cast<float>(logZ);
  t.logProb[row] = t.counts[row] != 0 ? static_cast<float>(chosen - logZ) : 0.0f;
  if (t.weights == nullptr) return;
  double shift = t.told[3 * t.rank * t.rows + row];
  t.factors[row] =
      static_cast<float>(t.weights[row] * (1.0 + 2.0 * t.zLoss * logZ) * exp(shift - logZ));
}

extern "C" {

int32_t ranks_vocabulary_totals(address_t handle, address_t told, uint32_t ranks, uint32_t rank,
                                uint32_t rows, address_t counts, address_t weights, double zLoss,
                                address_t logProb, address_t logZ, address_t factors) {
  Context &context = contextOf(handle);
  REQUIRE_TENSORS(context, told, counts, logProb, logZ);
  if (rank >= ranks) return context.refuse("rank %u of %u", rank, ranks);
  if ((weights == 0) != (factors == 0)) return context.refuse("weights without factors");
  if (rows == 0) return 0;
  Totals totals = {at<float>(told),    ranks,         rank,
                   rows,               at<int>(counts), at<float>(weights),
                   zLoss,              at<float>(logProb), at<float>(logZ),
                   at<float>(factors)};
  LAUNCH(context, vocabulary_totals_kernel, blocksFor(rows), BLOCK, 0, totals);
  return context.launched("vocabulary_totals");
}
}
