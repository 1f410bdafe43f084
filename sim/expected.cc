#include "sim/expected.h"

#include <algorithm>
#include <utility>

namespace conclave::sim {
namespace {

// The stop string that is complete first beyond `begin`, and where it ends; of two that are
// complete at once the longer.
std::optional<std::pair<std::size_t, std::string>> FirstStop(
    const std::string& text, std::size_t begin, const std::vector<std::string>& stops) {
  for (std::size_t end = begin + 1; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && stop.size() > longest.size() &&
          text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = stop;
      }
    }
    if (!longest.empty()) return std::pair(end, longest);
  }
  return std::nullopt;
}

bool Contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

Expected Expect(const ExpectArgs& args) {
  const ClientAsk& ask = args.ask;
  Expected expected;
  const auto decoder = args.text.NewDecoder(ask.skip_special);
  for (const TokenId token : args.tokens) {
    ++expected.tokens;
    if (Contains(ask.stop_ids, token) || (!ask.ignore_eos && Contains(args.eos, token))) {
      if (ask.include_stop_in_text) expected.text += decoder->Push(token);
      expected.end = End::kStop;
      expected.stop_id = token;
      break;
    }
    const std::size_t before = expected.text.size();
    expected.text += decoder->Push(token);
    const auto stop = FirstStop(expected.text, before, ask.stop);
    if (stop.has_value() && expected.tokens >= ask.min_tokens.value_or(0)) {
      expected.end = End::kStop;
      expected.stop = stop->second;
      expected.text.resize(stop->first - (ask.include_stop_in_text ? 0 : stop->second.size()));
      return expected;
    }
    if (expected.tokens == args.length_max) {
      expected.end = End::kLength;
      break;
    }
  }
  expected.text += decoder->Flush();
  return expected;
}

}  // namespace conclave::sim
