#include "coordinator/reconfig/give_up.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace conclave {
namespace {

constexpr Micros kRetryPauseMin = 5'000'000;
constexpr Micros kRetryPauseMax = 60'000'000;

}  // namespace

void GiveUpChange(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  reconfig.DiscardStaged();
  reconfig.retry_pause = std::clamp(2 * reconfig.retry_pause, kRetryPauseMin, kRetryPauseMax);
  reconfig.retry_at = now + reconfig.retry_pause;
  reconfig.given_up = std::move(why);
  reconfig.NoteMembersChanged(now);
  Log(outbox, LogLine::Level::kWarning,
      absl::StrCat("the change is given up for ", reconfig.retry_pause / 1'000'000,
                   " s: ", reconfig.given_up));
}

}  // namespace conclave
