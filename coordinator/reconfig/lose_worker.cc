#include "coordinator/reconfig/lose_worker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/propose.h"
#include "coordinator/resume.h"

namespace conclave {
namespace {

bool TakesPartInPreparing(const Reconfig& reconfig, LinkId id) {
  const Preparing* preparing = reconfig.preparing_state();
  return preparing != nullptr && std::ranges::find(preparing->members, id,
                                                   &Preparing::Member::link) !=
                                     preparing->members.end();
}

}  // namespace

void LoseWorker(CoordinatorState& state, LinkId id, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox) {
  const WorkerLink* link = state.membership.Find(id);
  if (link == nullptr) return;
  const WorkerLink lost = *link;
  state.membership.Remove(id);
  if (!lost.greeted) {
    Log(outbox, LogLine::Level::kInfo, absl::StrCat("a link without Hello is gone: ", reason));
    return;
  }
  const std::string cause = absl::StrCat("slot ", lost.slot.value, " is gone: ", reason);
  Log(outbox, LogLine::Level::kWarning, cause);
  Reconfig& reconfig = state.reconfig;
  if (lost.member) {
    Evict(state, lost.slot);
    reconfig.experts_lost = reconfig.experts_lost || !ExpertsWithoutOwner(state).empty();
  }
  if (lost.member || TakesPartInPreparing(reconfig, id)) {
    reconfig.ForceChange({.kind = ChangeKind::kLoss, .text = cause});
  }
  StagedReconfiguration* staged = reconfig.staged();
  if (staged != nullptr && staged->MemberOf(id) != nullptr) reconfig.DiscardStaged();
  reconfig.NoteMembersChanged(now);
}

void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox) {
  outbox.push_back(DropLink{link, reason});
  LoseWorker(state, link, now, reason, outbox);
}

void RefuseWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                  CoordinatorOutbox& outbox) {
  outbox.push_back(TellWorker{link, Goodbye{.reason = reason, .refused = true}});
  DropWorker(state, link, now, absl::StrCat("refused: ", reason), outbox);
}

void DismissWorker(CoordinatorState& state, LinkId id, CoordinatorOutbox& outbox) {
  const WorkerLink link = *state.membership.Find(id);
  outbox.push_back(TellWorker{id, Goodbye{.reason = "drained", .refused = false}});
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("slot ", link.slot.value, " has left"));
  if (link.member) Evict(state, link.slot);
  state.membership.Remove(id);
}

}  // namespace conclave
