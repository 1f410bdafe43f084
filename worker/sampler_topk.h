// The best of a row, in the total order (value descending, id ascending), without sorting the rest.
#pragma once

#include <cstddef>
#include <span>

#include "base/ids.h"

namespace conclave {

// Writes the best ids of `values`, best first, as many as `best` has room for; NaN is never among
// them. Returns how many there are. Exactly what sorting everything would give.
std::size_t BestOf(std::span<const float> values, std::span<TokenId> best);

// The same order read one by one: ranks more of the row only when asked for more.
class Ranking {
 public:
  // `order` has room for every id of `values`.
  Ranking(std::span<const float> values, std::span<TokenId> order)
      : values_(values), order_(order) {}
  // The i-th best, or -1 when the row has fewer numbers than that.
  TokenId At(std::size_t i);

 private:
  std::span<const float> values_;
  std::span<TokenId> order_;
  std::size_t asked_ = 0;
  std::size_t ranked_ = 0;
};

}  // namespace conclave
