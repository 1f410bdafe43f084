#include "coordinator/reconfig/join.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/lose_worker.h"

namespace conclave {

void TakeHello(CoordinatorState& state, WorkerLink& link, Micros now, const Hello& hello,
               CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  const bool alone = std::ranges::none_of(state.membership.links(),
                                          [](const auto& each) { return each.second.greeted; });
  if (alone && state.requests.size() == 0) state.membership.ForgetReference();
  const absl::StatusOr<Slot> slot = state.membership.Greet(link, hello, state.model.facts);
  if (!slot.ok()) {
    const std::string why(slot.status().message());
    outbox.push_back(TellWorker{link.id, Goodbye{.reason = why, .refused = true}});
    DropWorker(state, link.id, now, why, outbox);
    return;
  }
  outbox.push_back(TellWorker{link.id, Welcome{.slot = *slot}});
  const std::string cause = absl::StrCat("slot ", slot->value, " joins from ", hello.address);
  Log(outbox, LogLine::Level::kInfo, cause);
  reconfig.highest_proposed = std::max(reconfig.highest_proposed, hello.last_epoch);
  reconfig.last_join_at = now;
  if (auto* gathering = std::get_if<Gathering>(&reconfig.state)) {
    gathering->tried_with_fewer_workers = false;
    reconfig.cause.text = cause;
  }
  reconfig.NoteMembersChanged(now);
}

}  // namespace conclave
