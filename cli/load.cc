#include "cli/load.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/status.h"

namespace conclave {
namespace {

absl::Status BadLine(std::size_t number) {
  return absl::InvalidArgumentError(
      absl::StrCat("trace, line ", number,
                   ": expected TIMESTAMP,ContextTokens,GeneratedTokens or a JSON object with "
                   "timestamp, input_length and output_length"));
}

bool ParseCsv(absl::string_view line, LoadItem& item) {
  const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
  constexpr std::size_t kDateBytes = 10;  // 2023-11-16, then a blank
  if (cells.size() != 3 || cells[0].size() <= kDateBytes) return false;
  absl::Time time;
  std::string error;
  std::string stamp(cells[0]);
  stamp[kDateBytes] = 'T';
  if (!absl::ParseTime("%Y-%m-%d%ET%H:%M:%E*S", stamp, &time, &error)) return false;
  item.at = absl::ToUnixMicros(time);
  return absl::SimpleAtoi(cells[1], &item.prompt_tokens) &&
         absl::SimpleAtoi(cells[2], &item.generate_tokens);
}

bool ParseJson(absl::string_view line, LoadItem& item) {
  const auto object = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  if (!object.is_object()) return false;
  const auto number = [&](const char* key) {
    const auto found = object.find(key);
    const bool good = found != object.end() && found->is_number() && *found >= 0 && *found < 1e12;
    return good ? found->get<double>() : -1;
  };
  if (number("timestamp") < 0 || number("input_length") < 0 || number("output_length") < 0) {
    return false;
  }
  item.at = static_cast<Micros>(number("timestamp") * 1e3);
  item.prompt_tokens = static_cast<int>(std::min(number("input_length"), 1e9));
  item.generate_tokens = static_cast<int>(std::min(number("output_length"), 1e9));
  const auto blocks = object.find("hash_ids");
  if (blocks == object.end()) return true;
  if (!blocks->is_array()) return false;
  for (const auto& block : *blocks) {
    if (!block.is_number_unsigned()) return false;
    item.blocks.push_back(block.get<std::uint64_t>());
  }
  return true;
}

}  // namespace

std::vector<LoadItem> PoissonLoad(int count, double rate, const LoadItem& like,
                                  std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<LoadItem> items;
  double seconds = 0;
  for (int i = 0; i < count; ++i) {
    LoadItem item = like;
    item.at = static_cast<Micros>(seconds * 1e6);
    items.push_back(std::move(item));
    // (0, 1], so that the logarithm is finite.
    const double uniform = static_cast<double>((random() >> 11) + 1) * 0x1p-53;
    if (rate > 0) seconds -= std::log(uniform) / rate;
  }
  return items;
}

absl::StatusOr<std::vector<LoadItem>> ParseTrace(std::string_view text, int count) {
  std::vector<LoadItem> items;
  std::size_t number = 0;
  for (const absl::string_view raw :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    ++number;
    const bool header = number == 1 && !line.empty() && line[0] == 'T';
    if (line.empty() || header) continue;
    if (static_cast<int>(items.size()) >= count) break;
    LoadItem item;
    if (line[0] == '{' ? !ParseJson(line, item) : !ParseCsv(line, item)) return BadLine(number);
    items.push_back(std::move(item));
  }
  if (items.empty()) return absl::InvalidArgumentError("trace: no request in it");
  const Micros first = items.front().at;
  for (LoadItem& item : items) item.at = std::max<Micros>(0, item.at - first);
  return items;
}

int FitInto(int context, std::vector<LoadItem>& items) {
  int cut = 0;
  for (LoadItem& item : items) {
    const int generate = std::clamp(item.generate_tokens, 1, std::max(1, context - 1));
    const int prompt = std::clamp(item.prompt_tokens, 1, std::max(1, context - generate));
    if (generate < item.generate_tokens || prompt < item.prompt_tokens) ++cut;
    item.generate_tokens = generate;
    item.prompt_tokens = prompt;
  }
  return cut;
}

std::vector<std::int32_t> PromptOf(const LoadItem& item, std::uint64_t index, int vocab,
                                   std::uint64_t seed) {
  std::vector<std::int32_t> ids;
  const auto wanted = static_cast<std::size_t>(item.prompt_tokens);
  ids.reserve(wanted);
  for (std::size_t block = 0; ids.size() < wanted; ++block) {
    const bool shared = block < item.blocks.size();
    // Odd for what is shared, even for what is this request's own.
    const std::uint64_t name =
        shared ? item.blocks[block] * 2 + 1 : (index << 24 | static_cast<std::uint64_t>(block)) * 2;
    std::mt19937_64 random(seed * 0x9e3779b97f4a7c15ULL ^ name);
    for (int i = 0; i < kTraceBlockTokens && ids.size() < wanted; ++i) {
      ids.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocab)));
    }
  }
  return ids;
}

double QuantileOf(std::vector<double>& values, double quantile) {
  if (values.empty()) return 0;
  const auto last = static_cast<double>(values.size() - 1);
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(std::ceil(quantile * last));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

}  // namespace conclave
