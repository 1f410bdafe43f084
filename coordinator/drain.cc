#include "coordinator/drain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/cast.h"
#include "coordinator/change_over.h"
#include "coordinator/epochs.h"

namespace conclave {
namespace {

bool Forming(const CoordinatorState& state, LinkId id) {
  return state.formation.has_value() &&
         std::ranges::find(state.formation->members, id, &Formation::Member::link) !=
             state.formation->members.end();
}

// One that is no member, nor about to be one, has nothing to hand over.
bool GoesAtOnce(const CoordinatorState& state, const WorkerLink& link) {
  return !link.member && !Forming(state, link.id);
}

void DismissNewcomer(CoordinatorState& state, LinkId id, Micros now, CoordinatorOutbox& outbox) {
  if (state.change_over.has_value() &&
      std::ranges::find(state.change_over->parts, id, &ChangeOver::Part::link) !=
          state.change_over->parts.end()) {
    DropChangeOver(state);
  }
  Dismiss(state, id, outbox);
  NoticeChange(state, now);
}

WorkerLink* Named(CoordinatorState& state, const std::string& name) {
  int slot = -1;
  const bool number = absl::SimpleAtoi(name, &slot);
  for (auto& [id, link] : state.membership.links()) {
    if (!link.greeted) continue;
    if (link.hello.uuid == name || (number && link.slot.value == slot)) return &link;
  }
  return nullptr;
}

}  // namespace

void TakeLeave(CoordinatorState& state, WorkerLink& link, Micros now, CoordinatorOutbox& outbox) {
  if (link.stopping) return;
  link.stopping = true;
  link.draining = true;
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("slot ", link.slot.value, " leaves"));
  if (GoesAtOnce(state, link)) {
    DismissNewcomer(state, link.id, now, outbox);
    return;
  }
  NoticeChange(state, now);
  if (link.drain_blocked_by.empty()) return;
  Log(outbox, LogLine::Level::kWarning,
      absl::StrCat("slot ", link.slot.value, " cannot leave yet: ", link.drain_blocked_by));
}

void TakeDrain(CoordinatorState& state, const DrainAsked& asked, CoordinatorOutbox& outbox) {
  const auto answer = [&](absl::Status status, std::string text) {
    outbox.push_back(TellAdmin{asked.ticket, std::move(status), std::move(text)});
  };
  WorkerLink* link = Named(state, asked.worker);
  if (link == nullptr) {
    answer(absl::NotFoundError(absl::StrCat("no worker has slot or uuid ", asked.worker)), "");
    return;
  }
  const std::string slot = absl::StrCat("slot ", link->slot.value);
  if (GoesAtOnce(state, *link)) {
    DismissNewcomer(state, link->id, asked.now, outbox);
    answer(absl::OkStatus(), slot + " had not joined yet; it goes");
    return;
  }
  if (std::exchange(link->draining, true)) {
    answer(absl::OkStatus(), slot + " is draining already");
    return;
  }
  NoticeChange(state, asked.now);
  if (!link->drain_blocked_by.empty()) {
    link->draining = false;
    const std::string why = std::exchange(link->drain_blocked_by, {});
    answer(absl::FailedPreconditionError(absl::StrCat(slot, " cannot leave: ", why)), "");
    return;
  }
  Log(outbox, LogLine::Level::kInfo, absl::StrCat(slot, " drains: an operator asked"));
  answer(absl::OkStatus(), slot + " is draining");
}

void CheckLeavers(CoordinatorState& state, Micros now) {
  if (state.phase != ServicePhase::kServing || state.blocks_short == 0) return;
  if (MostBlocksNeeded(state) < state.blocks_short) NoticeChange(state, now);
}

}  // namespace conclave
