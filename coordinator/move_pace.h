// How many rows of sequences that move a step may carry: so few that who decodes hardly notices, so
// many that a move comes to an end. Learned from how long steps take; pure.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace conclave {

class MovePace {
 public:
  static constexpr std::int32_t kRowsMin = 32;

  std::int32_t rows() const { return rows_; }
  // A step took so long, `moved` of its rows for sequences that move.
  void Learn(Micros length, std::int32_t moved);

 private:
  Micros usual_ = 0;  // a running mean over steps without such rows; 0: none was seen
  std::int32_t rows_ = kRowsMin;
};

}  // namespace conclave
