#include "worker/edge/kv_budget.h"

#include <algorithm>
#include <limits>

namespace conclave {

KvBudget PlanKv(const KvAsk& ask) {
  constexpr std::uint64_t kBytesMax = std::uint64_t{4} << 30;
  constexpr std::uint64_t kBlocksMin = 2;
  const KvShape shape = {ask.model.kv_heads, ask.model.head_dim, ask.dtype};
  const std::uint64_t block_bytes =
      ask.kernels.kv_block_bytes(shape) * std::max<std::uint64_t>(1, ask.model.layers.size());
  const std::uint64_t context_blocks =
      (static_cast<std::uint64_t>(ask.model.context) + kKvBlockTokens - 1) / kKvBlockTokens + 1;

  std::uint64_t bytes = ask.bytes.value_or(std::min(kBytesMax, ask.available_bytes / 4));
  const std::uint64_t context_bytes = context_blocks * block_bytes;
  if (!ask.bytes && bytes < context_bytes && context_bytes <= ask.available_bytes / 2) {
    bytes = context_bytes;
  }
  const std::uint64_t most = std::numeric_limits<std::int32_t>::max() / kKvBlockTokens;
  const std::uint64_t blocks = std::clamp(bytes / block_bytes, kBlocksMin, most);
  return {.blocks = static_cast<std::int32_t>(blocks), .bytes = blocks * block_bytes};
}

}  // namespace conclave
