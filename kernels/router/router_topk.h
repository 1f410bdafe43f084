// Picks the k best experts of every row and gives them weights.
//
//   logits   [rows, experts]   float; experts in 1..kExpertsMax
//   ids      [rows, k]         best first
//   weights  [rows, k]         softmax over all experts; with `normalise` over the winners only.
//                              The sum runs in float, over all experts in id order, or over the
//                              winners in k order
//
// Tie: the lower expert id wins. NaN loses to every number, and counts nothing in the sum. When a
// row has fewer than k numbers, *bad_rows is raised by one, the row's ids are 0..k-1 and its weights
// zero. Infinite logits are numbers: an entry equal to the row's maximum counts exp(0) = 1, so that
// weights are finite. Aliasing: none. Determinism: a row's result depends on that row alone. exp is
// that of base/numeric.h in every set.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/views.h"
#include "kernels/lane.h"

namespace conclave {

struct RouterTopkArgs {
  MatrixView<const float> logits;
  int k;
  bool normalise;
  MatrixView<std::uint16_t> ids;
  MatrixView<float> weights;
  std::atomic<std::uint32_t>* bad_rows;
};
using RouterTopkFn = void (*)(const RouterTopkArgs&, const Lane&);

}  // namespace conclave
