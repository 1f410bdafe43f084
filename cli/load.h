// What a load generator asks, and when. Pure, and a function of the seed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

struct LoadItem {
  Micros at = 0;  // after the start
  int prompt_tokens = 0;
  int generate_tokens = 0;
  // What each block of kTraceBlockTokens holds, as a number: equal numbers, equal tokens. Empty:
  // every token is random.
  std::vector<std::uint64_t> blocks;
};
inline constexpr int kTraceBlockTokens = 512;

// `count` requests, all at once when `rate` is 0, else as a Poisson process of `rate` per second.
std::vector<LoadItem> PoissonLoad(int count, double rate, const LoadItem& like, std::uint64_t seed);

// A trace's first `count` requests. Two public formats, told apart by the first byte: CSV with
// TIMESTAMP,ContextTokens,GeneratedTokens (Azure), or lines of JSON with timestamp (ms),
// input_length, output_length, hash_ids (Mooncake). InvalidArgument names the line.
absl::StatusOr<std::vector<LoadItem>> ParseTrace(std::string_view text, int count);

// Cuts prompts and answers so that both fit into `context`; says how many items were cut.
int FitInto(int context, std::vector<LoadItem>& items);

std::vector<std::int32_t> PromptOf(const LoadItem& item, std::uint64_t index, int vocab,
                                   std::uint64_t seed);

// 0 for no values; else the value that share `quantile` (0..1) does not exceed. Reorders.
double QuantileOf(std::vector<double>& values, double quantile);

}  // namespace conclave
