#include "torture/stalls.h"

#include <algorithm>

namespace conclave::torture {
namespace {

bool Overlap(const Gap& gap, const Window& window) {
  return gap.from <= window.to && window.from <= gap.to;
}

// Whether a gap that overlaps both is charged to `a`.
bool Before(const Window& a, const Window& b) {
  return a.kind != b.kind ? a.kind < b.kind : a.from > b.from;
}

int ChargeOne(const Gap& gap, const std::vector<Window>& windows) {
  int best = -1;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (!Overlap(gap, windows[i])) continue;
    if (best < 0 || Before(windows[i], windows[static_cast<std::size_t>(best)])) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

double Ms(const Gap& gap) { return static_cast<double>(gap.length()) / 1e3; }

}  // namespace

std::vector<int> Charge(const std::vector<Gap>& gaps, const std::vector<Window>& windows) {
  std::vector<int> charged;
  charged.reserve(gaps.size());
  for (const Gap& gap : gaps) charged.push_back(ChargeOne(gap, windows));
  return charged;
}

Stalls Measure(const std::vector<Gap>& gaps, const std::vector<Window>& windows) {
  Stalls stalls;
  stalls.by_kind.resize(kDeedKinds.size());
  stalls.worst_by_deed_ms.resize(windows.size());
  const std::vector<int> charged = Charge(gaps, windows);
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    const double ms = Ms(gaps[i]);
    stalls.max_ms = std::max(stalls.max_ms, ms);
    if (charged[i] < 0) continue;
    const auto deed = static_cast<std::size_t>(charged[i]);
    KindStalls& kind = stalls.by_kind[static_cast<std::size_t>(windows[deed].kind)];
    kind.charged_max_ms = std::max(kind.charged_max_ms, ms);
    stalls.worst_by_deed_ms[deed] = std::max(stalls.worst_by_deed_ms[deed], ms);
    for (const Window& window : windows) {
      KindStalls& other = stalls.by_kind[static_cast<std::size_t>(window.kind)];
      if (ms > other.overlapping_max_ms && Overlap(gaps[i], window)) other.overlapping_max_ms = ms;
    }
  }
  return stalls;
}

}  // namespace conclave::torture
