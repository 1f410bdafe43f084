// Comparing a worker's answers with an independent reference, with bounds for two kinds of
// arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/serve.h"

namespace conclave {

struct OracleBounds {
  std::vector<double> gap;  // [moe layers]: a k-th expert that leads by more stays chosen
  // Floors that hold for every token.
  double logprob = 0;  // largest error of a log-probability
  double margin = 0;   // a best logit that leads by more stays the best
  // What the last normed row's error becomes, token by token; empty head: the floors are all.
  double reach = 0;  // deviations times relative error of the row
  std::int64_t hidden = 0;
  std::vector<float> head;  // [vocab, hidden]: W_v * w

  // For a row of exact logits: bounds of the log-probabilities of `ids`.
  std::vector<double> Logprobs(std::span<const float> logits, std::span<const TokenId> ids) const;
  double Margin(TokenId best) const;
};

// Float32 throughout: the tolerances that an independent float32 engine meets ten times over.
OracleBounds FloatBounds(const ModelConfig& model);

// Rows, K, V and weights rounded to bf16, sums in float32: see docs/decisions/0006-bf16-bounds.md.
// Reads the head's, the routers' and the norms' weights.
OracleBounds Bf16Bounds(const Checkpoint& checkpoint);

struct Oracle {
  Checkpoint checkpoint;
  Golden golden;
};
Oracle OpenOracle(const std::string& path);  // relative to the repository; CHECKs

// What a request must ask for to be compared.
TestRequest RequestOf(const GoldenPrompt& prompt);

struct OracleTally {
  int logprobs = 0, routes = 0, greedy = 0;  // compared
  int rows_rerouted = 0;                     // not compared: an undecided expert was another one
  double worst = 0;                          // error of a log-probability over its bound
  double widest = 0;                         // such bound
};
void ExpectOracle(const Oracle& oracle, const GoldenPrompt& prompt, const TestOutput& got,
                  const OracleBounds& bounds, OracleTally& tally);

}  // namespace conclave
