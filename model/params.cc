#include "model/params.h"

#include <algorithm>

#include "base/check.h"
#include "model/tensors.h"

namespace conclave {

ParamCounts CountParams(const ModelConfig& config) {
  ParamCounts counts;
  for (const TensorSpec& spec : TensorsOf(config)) {
    const std::int64_t n = spec.shape[0] * spec.shape[1];
    counts.total += n;
    if (spec.expert >= 0) counts.experts += n;
  }
  const std::int64_t expert_rows =
      config.moe_layers == 0 ? 0 : std::int64_t{config.hidden} * config.expert_width;
  counts.per_expert = 3 * expert_rows;
  counts.shared = counts.total - counts.experts;
  counts.active = counts.shared + counts.per_expert * config.topk * config.moe_layers;
  if (!config.tied_embeddings) counts.active -= std::int64_t{config.vocab - 1} * config.hidden;
  return counts;
}

std::vector<int> EvenExpertCounts(const ModelConfig& config, int workers) {
  CONCLAVE_CHECK(workers >= 1, "workers %d", workers);
  std::vector<int> counts(static_cast<std::size_t>(workers),
                          config.experts / workers * config.moe_layers);
  const std::int64_t remainder = std::int64_t{config.experts % workers} * config.moe_layers;
  for (std::int64_t i = 0; i < remainder; ++i) ++counts[static_cast<std::size_t>(i % workers)];
  return counts;
}

std::int64_t KvBytesPerToken(const ModelConfig& config, int bytes_per_value) {
  return 2 * static_cast<std::int64_t>(config.layers.size()) * config.kv_width() * bytes_per_value;
}

std::int64_t ContextPerRow(const ModelConfig& config) {
  // A row meets every active parameter but the head, which only sampled rows meet. Its attention
  // multiplies with one key and one value per query head and position.
  const std::int64_t row =
      CountParams(config).active - std::int64_t{config.vocab} * config.hidden;
  const std::int64_t position =
      2 * static_cast<std::int64_t>(config.layers.size()) * config.q_width();
  return std::max<std::int64_t>(1, row / std::max<std::int64_t>(1, position));
}

}  // namespace conclave
