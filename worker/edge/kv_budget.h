// How many KV blocks a worker has. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/kernel_set.h"
#include "model/config.h"

namespace conclave {

struct KvAsk {
  const ModelConfig& model;
  const KernelSet& kernels;
  DType dtype = DType::kBf16;
  std::optional<std::uint64_t> bytes;  // unset: chosen from what is available
  std::uint64_t available_bytes = 0;   // memory of the machine that nobody uses
};

struct KvBudget {
  std::int32_t blocks = 0;
  std::uint64_t bytes = 0;
  std::int64_t tokens() const { return std::int64_t{blocks} * kKvBlockTokens; }
};

// Unset: a quarter of what is available, at most 4 GiB, but one whole context if that fits into
// half. Never fewer than two blocks.
KvBudget PlanKv(const KvAsk& ask);

}  // namespace conclave
