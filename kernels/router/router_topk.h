// Picks the k best experts of every row and gives them weights.
//
//   logits   [rows, experts]   float; experts in 1..kExpertsMax
//   ids      [rows, k]         best first
//   weights  [rows, k]         softmax over all experts; with `normalise`, divided by the winners'
//   sum (which is a
//                              softmax over the winners). Sums run left to right, over experts in
//                              id order (not normalised) or over winners in k order (normalised),
//                              in float.
//
// Tie: the lower expert id wins. NaN loses to every number; fewer than k numbers in a row:
// *bad_rows is raised by one, the row's ids are 0..k-1 and its weights zero. Infinite logits are
// numbers: whatever equals the row's maximum counts exp(0) = 1, so weights are finite. Not
// normalised, NaN counts nothing in the sum. Aliasing: none.
// Determinism: a row's result depends on that row alone. exp is base/numeric.h's in every set.
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
