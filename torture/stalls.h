// Which deed a gap between two tokens is charged to. Pure.
#pragma once

#include <vector>

#include "base/ids.h"
#include "torture/deed.h"

namespace conclave::torture {

// Between two messages with tokens of one request, on the client's clock.
struct Gap {
  Micros from = 0, to = 0;
  int stream = 0;
  Micros length() const { return to - from; }
};

// When a deed could be felt.
struct Window {
  DeedKind kind = DeedKind::kKill;
  Micros from = 0, to = 0;
};

// Per gap the window it is charged to, -1 for none: of those it overlaps the one whose kind comes
// first in DeedKind, of these the latest that had begun, so that a kill's stall is never a join's.
std::vector<int> Charge(const std::vector<Gap>& gaps, const std::vector<Window>& windows);

struct KindStalls {
  double charged_max_ms = 0;      // the longest gap that is charged to such a deed
  double overlapping_max_ms = 0;  // the longest that overlaps one, whatever else it overlaps
};
struct Stalls {
  std::vector<KindStalls> by_kind;       // [DeedKind]
  std::vector<double> worst_by_deed_ms;  // [window] the longest gap charged to it
  double max_ms = 0;
};
Stalls Measure(const std::vector<Gap>& gaps, const std::vector<Window>& windows);

}  // namespace conclave::torture
