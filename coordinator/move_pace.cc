#include "coordinator/move_pace.h"

#include <algorithm>

#include "base/limits.h"

namespace conclave {

void MovePace::Learn(Micros length, std::int32_t moved) {
  if (moved == 0) {
    usual_ = usual_ == 0 ? length : usual_ + (length - usual_) / 16;
  } else if (2 * length > 3 * usual_) {
    rows_ = std::max(kRowsMin, rows_ / 4 * 3);
  } else if (moved >= rows_ / 4 * 3) {  // fewer would prove little
    rows_ = std::min(kStepRowsMax, rows_ / 4 * 5);
  }
}

}  // namespace conclave
