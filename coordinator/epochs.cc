#include "coordinator/epochs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/admission.h"
#include "coordinator/cast.h"
#include "coordinator/change_over.h"
#include "coordinator/resume.h"
#include "coordinator/streams/streams.h"

namespace conclave {
namespace {

constexpr int kTriesMax = 8;

using Answer = Formation::Answer;

void Gather(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox) {
  if (std::string missing = ExpertsWithoutOwner(state); state.owners_lost && !missing.empty()) {
    absl::StrAppend(&why, "; ", missing);
  }
  const bool news = state.phase != ServicePhase::kGathering || state.not_ready_because != why;
  state.phase = ServicePhase::kGathering;
  if (!state.unready_since.has_value()) state.unready_since = now;
  state.formation.reset();
  state.not_ready_because = std::move(why);
  if (!news) return;
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("not serving: ", state.not_ready_because));
}

void Ask(CoordinatorState& state, Formation formation, Micros now, CoordinatorOutbox& outbox) {
  formation.started = now;
  state.phase = ServicePhase::kPreparing;
  state.not_ready_because = absl::StrCat("preparing an epoch: ", state.change_cause);
  ++state.tries_without_commit;
  for (const Formation::Member& member : formation.members) {
    outbox.push_back(TellWorker{member.link, formation.prepare});
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", formation.prepare.epoch.value, ": prepare ", formation.members.size(),
                   " workers, because ", state.change_cause));
  state.formation = std::move(formation);
}

// Nobody is a member, and nobody has come for so long that fewer than wanted will do.
bool FewWillDo(const CoordinatorState& state, Micros now) {
  const bool again = std::ranges::any_of(state.membership.links(), [](const auto& each) {
    return each.second.greeted && each.second.hello.last_epoch.value > 0;
  });
  const Micros limit = state.config.gather_limit;
  return now - state.hello_last >= (again ? std::min(limit, state.config.rejoin_limit) : limit);
}

// Without anything made ready before.
void Begin(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  absl::StatusOr<Cast> cast = CastAtOnce(state, FewWillDo(state, now));
  if (!cast.ok()) {
    Gather(state, now, std::string(cast.status().message()), outbox);
    return;
  }
  state.epoch_proposed = Epoch{std::max(state.epoch_proposed, state.epoch).value + 1};
  state.placement_proposed = cast->placement;
  Formation formation;
  formation.prepare = {
      .epoch = state.epoch_proposed, .peers = {}, .placement = std::move(cast->placement)};
  for (const WorkerLink* link : cast->workers) {
    formation.prepare.peers.push_back({link->slot, link->hello.uuid, link->standby_address});
    formation.members.push_back({link->id, link->standby_address});
  }
  Ask(state, std::move(formation), now, outbox);
}

// What was made ready beside the running epoch takes its place.
void PrepareChangeOver(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  ChangeOver change = *std::exchange(state.change_over, std::nullopt);
  state.change_kind = change.kind;
  state.change_cause = std::move(change.cause);
  Formation formation;
  formation.beside = true;
  formation.prepare = {
      .epoch = change.epoch, .peers = {}, .placement = std::move(change.placement)};
  for (const ChangeOver::Part& part : change.parts) {
    const WorkerLink* link = state.membership.Find(part.link);
    CONCLAVE_CHECK(link != nullptr, "a part of the change is gone");
    formation.prepare.peers.push_back({part.slot, link->hello.uuid, part.address});
    formation.members.push_back({part.link, part.address});
  }
  Ask(state, std::move(formation), now, outbox);
}

Formation::Member* MemberOf(Formation& formation, LinkId id) {
  const auto found = std::ranges::find(formation.members, id, &Formation::Member::link);
  return found == formation.members.end() ? nullptr : &*found;
}

// A request that fitted the workers that were there may not fit those that are.
void EndMisfits(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  std::int64_t blocks_max = 0;
  for (const Slot slot : state.live) {
    blocks_max = std::max<std::int64_t>(blocks_max, state.HomeAt(slot).blocks.total());
  }
  for (const RequestId id : state.requests.All()) {
    Request& request = *state.requests.Find(id);
    std::optional<Ending> misfit = FitToKv(request, blocks_max);
    if (!misfit.has_value()) continue;
    EndRequest(state, request, now, *std::move(misfit), outbox);
  }
}

void Record(CoordinatorState& state, Micros now) {
  const Micros pause = now - state.stopped_since.value_or(now);
  const Micros total = now - state.change_since.value_or(now);
  state.last_epoch_micros = total;
  state.last_epoch_cause = std::exchange(state.change_cause, {});
  if (state.recent.size() == kRecentChangesMax) state.recent.erase(state.recent.begin());
  state.recent.push_back({.epoch = state.epoch,
                          .kind = state.change_kind,
                          .cause = state.last_epoch_cause,
                          .at = now,
                          .pause = pause,
                          .total = total});
  ++state.changes[static_cast<std::size_t>(state.change_kind)];
  const auto bound = std::ranges::lower_bound(kPauseBounds, pause);
  ++state.pauses.counts[static_cast<std::size_t>(bound - std::begin(kPauseBounds))];
  state.pauses.sum += pause;
  state.stopped_since.reset();
  state.change_since.reset();
}

void Seat(CoordinatorState& state, const Formation& formation, CoordinatorOutbox& outbox) {
  for (const Formation::Member& member : formation.members) {
    WorkerLink* link = state.membership.Find(member.link);
    CONCLAVE_CHECK(link != nullptr, "a member of the formation is gone");
    auto& home = state.homes[static_cast<std::size_t>(link->slot.value)];
    if (!link->member) {
      home = std::make_unique<Home>(link->hello, link->slot, link->id, state.config.prefix_cache);
    }
    link->member = true;
    state.live.push_back(link->slot);
    outbox.push_back(TellWorker{
        link->id, conclave::Commit{formation.prepare.epoch, StepId{state.step_planned.value + 1}}});
  }
}

void Commit(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Formation formation = *std::exchange(state.formation, std::nullopt);
  std::vector<LinkId> leavers;
  for (const auto& [id, link] : state.membership.links()) {
    if (link.member && MemberOf(formation, id) == nullptr) leavers.push_back(id);
  }
  for (const LinkId id : leavers) Dismiss(state, id, outbox);
  for (const Slot slot : state.live) RollBack(state, slot);
  state.in_flight.clear();
  state.live.clear();
  Seat(state, formation, outbox);
  state.placement_rough = !formation.beside && state.epoch.value > 0;
  state.epoch = formation.prepare.epoch;
  state.placement = std::move(formation.prepare.placement);
  state.placement_proposed = state.placement;
  CONCLAVE_CHECK(state.placement.Complete(), "an expert without owner");
  state.phase = ServicePhase::kServing;
  state.planning_stopped = false;
  state.trouble.reset();
  state.owners_lost = false;
  state.unready_since.reset();
  state.not_ready_because.clear();
  state.tries_without_commit = 0;
  if (formation.beside) {
    state.retry_pause = 0;
    state.given_up.clear();
  }
  Record(state, now);
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", state.epoch.value, ": committed with ", state.live.size(),
                   " workers after ", state.last_epoch_micros, " us, steps stood still for ",
                   state.recent.back().pause, " us"));
  EndMisfits(state, now, outbox);
  NoticeChange(state, now);
}

// All have answered: commit, or ask again with the addresses they have now.
void Conclude(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const auto& members = state.formation->members;
  const auto has = [&](Answer answer) {
    return std::ranges::any_of(
        members, [&](const Formation::Member& member) { return member.answer == answer; });
  };
  if (has(Answer::kPending)) return;
  if (!has(Answer::kFailed)) {
    Commit(state, now, outbox);
  } else if (state.formation->beside) {
    const std::string why =
        absl::StrCat("not all were ready for what was prepared for: ", state.change_cause);
    GiveUp(state, now, why, outbox);
    ForceChange(state, now, {.kind = ChangeKind::kBrokenStep, .cause = why}, outbox);
  } else {
    Begin(state, now, outbox);
  }
}

// Why one that has not answered Prepare is given up; empty: it is not, yet. Loading may take as
// long as it goes on; all else there is to do is done in a moment, unless its thread stands still.
std::string WhyLate(const CoordinatorState& state, const WorkerLink& link, Micros now) {
  const CoordinatorConfig& config = state.config;
  const Micros since = std::max(state.formation->started, state.listening_since);
  if (state.formation->beside) {
    return now - since > config.connect_limit ? "not ready in time, with nothing left to load" : "";
  }
  const bool loads = now - std::max(link.loading, since) <= config.heartbeat_limit;
  const Micros still = now - std::max(loads ? link.loaded : link.loading, since);
  if (still <= (loads ? config.load_limit : config.wedge_limit)) return "";
  return absl::StrCat("not ready, and ", loads ? "has loaded nothing" : "does not load either",
                      " for ", still / 1000, " ms");
}

// Those whose processes end soon anyway go when nothing is left to do, even if the others cannot
// serve without them.
void DismissIdle(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (state.requests.size() > 0 || !state.in_flight.empty()) return;
  const bool serving = state.phase == ServicePhase::kServing;
  const bool all = std::ranges::all_of(state.membership.links(), [](const auto& each) {
    return !each.second.member || each.second.stopping;
  });
  std::vector<LinkId> idle;
  for (const auto& [id, link] : state.membership.links()) {
    if (link.stopping && (!serving || all || !link.drain_blocked_by.empty())) idle.push_back(id);
  }
  for (const LinkId id : idle) Dismiss(state, id, outbox);
  if (idle.empty()) return;
  state.owners_lost = !ExpertsWithoutOwner(state).empty();
  ForceChange(state, now, {.kind = ChangeKind::kLeave, .cause = "a worker left"}, outbox);
}

}  // namespace

void AdvanceEpochs(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (state.phase == ServicePhase::kPreparing) return;
  DismissIdle(state, now, outbox);
  if (state.phase == ServicePhase::kServing) {
    if (AdvanceChangeOver(state, now, outbox)) PrepareChangeOver(state, now, outbox);
    return;
  }
  if (state.phase != ServicePhase::kGathering) return;
  const bool few = !state.few_tried && FewWillDo(state, now);
  if (!state.change_due && !few) return;
  state.few_tried |= few;
  state.change_due = false;
  Begin(state, now, outbox);
}

void ForceChange(CoordinatorState& state, Micros now, ForcedChange change,
                 CoordinatorOutbox& outbox) {
  if (state.phase == ServicePhase::kServing) state.change_since = now;
  if (!state.stopped_since.has_value()) state.stopped_since = now;
  DropChangeOver(state);
  state.trouble.reset();
  state.planning_stopped = true;
  state.change_kind = state.epoch.value == 0 ? ChangeKind::kStart : change.kind;
  state.change_cause = std::move(change.cause);
  Begin(state, now, outbox);
}

void TakeReady(CoordinatorState& state, WorkerLink& link, Micros now, const Ready& ready,
               CoordinatorOutbox& outbox) {
  if (!link.greeted || ready.epoch > state.epoch_proposed) {
    DropWorker(state, link.id, now, "Ready for an epoch that was never proposed", outbox);
    return;
  }
  if (!ready.standby_address.empty()) link.standby_address = ready.standby_address;
  link.expert_bytes = ready.expert_bytes;
  if (state.phase != ServicePhase::kPreparing || ready.epoch != state.formation->prepare.epoch)
    return;
  Formation::Member* member = MemberOf(*state.formation, link.id);
  if (member == nullptr || member->answer != Answer::kPending) return;
  if (!ready.ok) {
    // It is not needed for what runs: the others go on without it.
    if (state.formation->beside && !link.member) {
      RefuseWorker(state, link.id, now, absl::StrCat("not ready: ", ready.error), outbox);
      return;
    }
    const bool may_retry =
        link.standby_address != member->address && state.tries_without_commit < kTriesMax;
    if (!may_retry) {
      DropWorker(state, link.id, now, absl::StrCat("not ready: ", ready.error), outbox);
      return;
    }
    Log(outbox, LogLine::Level::kWarning,
        absl::StrCat("slot ", link.slot.value, " is not ready, will ask again: ", ready.error));
    member->answer = Answer::kFailed;
  } else if (link.member && ready.last_step_done > state.HomeAt(link.slot).answered) {
    DropWorker(state, link.id, now, "it ran a step whose result never came", outbox);
    return;
  } else {
    member->answer = Answer::kReady;
  }
  Conclude(state, now, outbox);
}

void LoseLink(CoordinatorState& state, LinkId id, Micros now, const std::string& reason,
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
  if (lost.member) {
    Evict(state, lost.slot);
    state.owners_lost = state.owners_lost || !ExpertsWithoutOwner(state).empty();
  }
  const bool forming = state.formation.has_value() && MemberOf(*state.formation, id) != nullptr;
  const bool beside = state.change_over.has_value() &&
                      std::ranges::find(state.change_over->parts, id, &ChangeOver::Part::link) !=
                          state.change_over->parts.end();
  if (lost.member || forming) {
    ForceChange(state, now, {.kind = ChangeKind::kLoss, .cause = cause}, outbox);
  } else if (beside) {
    DropChangeOver(state);
  }
  NoticeChange(state, now);
}

void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox) {
  outbox.push_back(DropLink{link, reason});
  LoseLink(state, link, now, reason, outbox);
}

void RefuseWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                  CoordinatorOutbox& outbox) {
  outbox.push_back(TellWorker{link, Goodbye{.reason = reason, .refused = true}});
  DropWorker(state, link, now, absl::StrCat("refused: ", reason), outbox);
}

void Dismiss(CoordinatorState& state, LinkId id, CoordinatorOutbox& outbox) {
  const WorkerLink link = *state.membership.Find(id);
  outbox.push_back(TellWorker{id, Goodbye{.reason = "drained", .refused = false}});
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("slot ", link.slot.value, " has left"));
  if (link.member) Evict(state, link.slot);
  state.membership.Remove(id);
}

void DropLate(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (state.phase != ServicePhase::kPreparing) return;
  std::vector<std::pair<LinkId, std::string>> late;
  for (const Formation::Member& member : state.formation->members) {
    if (member.answer != Answer::kPending) continue;
    std::string why = WhyLate(state, *state.membership.Find(member.link), now);
    if (!why.empty()) late.emplace_back(member.link, std::move(why));
  }
  for (const auto& [link, why] : late) DropWorker(state, link, now, why, outbox);
}

}  // namespace conclave
