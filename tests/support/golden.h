// Reference results beside a model: golden.safetensors (transformers, double precision) or
// golden.json (an independent numpy model). tests/data/README.md says how they were made and how
// exactly to compare.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

struct GoldenPrompt {
  std::vector<TokenId> ids;  // [tokens]
  int logits_first = 0;  // position of the first row of logits; the last row is position tokens - 1
  int logits_rows = 0;
  std::vector<float> logits;  // [logits_rows, vocab]
  std::vector<std::int32_t>
      routes;                     // [moe_layers, tokens, topk], best first; empty for dense models
  std::vector<float> weights;     // [moe_layers, tokens, topk]
  std::vector<float> router_gap;  // [moe_layers, tokens]; empty in golden.json
  std::vector<TokenId> greedy;    // continuation, end of sequence ignored; empty when not given
  std::vector<float> margin;      // [greedy], best minus second logit
  std::vector<TokenId> argmax;    // [tokens]; golden.json only

  int tokens() const { return static_cast<int>(ids.size()); }
};

struct Golden {
  int vocab = 0;
  int moe_layers = 0;
  int topk = 0;
  std::vector<GoldenPrompt> prompts;
};

absl::StatusOr<Golden> ReadGolden(const std::string& model_dir);

// The repository's own files, wherever the test runs.
std::string RepositoryPath(const std::string& relative);

}  // namespace conclave
