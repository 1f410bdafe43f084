#include "torture/worst.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"

namespace conclave::torture {
namespace {

constexpr std::size_t kDeedsMax = 3;
constexpr std::size_t kLinesMax = 40;
constexpr Micros kBefore = 50'000;

double Seconds(Micros length) { return static_cast<double>(length) / 1e6; }

}  // namespace

Micros StallLimit(DeedKind kind) {
  switch (kind) {
    case DeedKind::kKill:
    case DeedKind::kDrain:
    case DeedKind::kJoin:
    case DeedKind::kBadJoin:
      return 1'000'000;
    case DeedKind::kHang:
    case DeedKind::kPartition:
      return 1'500'000;
    case DeedKind::kWedge:  // --wedge-limit of the coordinator, and then as after a hang
      return 6'500'000;
    case DeedKind::kCoordinator:
      return 3'000'000;
  }
  return 0;
}

void SayWorst(const std::vector<Gap>& gaps, const std::vector<Window>& windows,
              const std::vector<std::string>& names, LogBook& book, Micros start) {
  const std::vector<int> charged = Charge(gaps, windows);
  std::map<int, Gap> longest;  // by window
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    if (charged[i] < 0) continue;
    Gap& worst = longest[charged[i]];
    if (gaps[i].length() > worst.length()) worst = gaps[i];
  }
  for (const auto& [window, gap] : longest) {
    book.Say("torture", absl::StrFormat("longest gap of: %s: %.1f ms, from %.3f s",
                                        names[static_cast<std::size_t>(window)],
                                        Seconds(gap.length()) * 1e3, Seconds(gap.from - start)));
  }
  std::vector<std::pair<int, Gap>> order(longest.begin(), longest.end());
  std::erase_if(order, [&](const auto& one) {
    return one.second.length() <= StallLimit(windows[static_cast<std::size_t>(one.first)].kind);
  });
  std::ranges::stable_sort(order, std::greater{},
                           [](const auto& one) { return one.second.length(); });
  if (order.size() > kDeedsMax) order.resize(kDeedsMax);
  for (const auto& [window, gap] : order) {
    std::fprintf(stderr, "a stall of %.0f ms at %.3f s, charged to: %s\n",
                 Seconds(gap.length()) * 1e3, Seconds(gap.from - start),
                 names[static_cast<std::size_t>(window)].c_str());
    for (const std::string& line : book.Between(gap.from - kBefore, gap.to + kBefore, kLinesMax)) {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
  }
}

}  // namespace conclave::torture
