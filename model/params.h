// How large a model is: parameters in all and per token, and what each worker of N holds. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace conclave {

struct ParamCounts {
  std::int64_t total = 0;
  std::int64_t active = 0;   // multiplied with one token: everything shared, topk experts per MoE
                             // layer, one row of the embedding unless it is the head too
  std::int64_t experts = 0;  // all experts of all MoE layers
  std::int64_t per_expert = 0;  // one expert of one MoE layer
  std::int64_t shared = 0;      // total - experts: what every worker that owns sequences holds
};
ParamCounts CountParams(const ModelConfig& config);

// (MoE layer, expert) pairs that each of `workers` (>= 1) holds when experts are spread evenly,
// without replicas: every layer gives each worker floor or ceil of experts / workers, and the
// remainders rotate over the layers, so the totals differ by at most one per layer and by little in
// all. The coordinator's placement may differ when load or memory is uneven.
std::vector<int> EvenExpertCounts(const ModelConfig& config, int workers);

// Bytes of K and V that one position takes over all layers, `bytes_per_value` each.
std::int64_t KvBytesPerToken(const ModelConfig& config, int bytes_per_value);

// Positions of context whose attention takes one row as many multiplications as all its projections
// and experts: a row that sees as many costs twice a row that sees none. At least 1.
std::int64_t ContextPerRow(const ModelConfig& config);

}  // namespace conclave
