#include "coordinator/epochs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/admission.h"
#include "coordinator/placement_policy.h"
#include "coordinator/resume.h"
#include "coordinator/streams.h"

namespace conclave {
namespace {

constexpr int kTriesMax = 8;

using Answer = Formation::Answer;

absl::StatusOr<Placement> Place(const CoordinatorState& state,
                                const std::vector<const WorkerLink*>& members) {
  if (members.empty()) return absl::FailedPreconditionError("no worker is there");
  // After a first start, or when everyone was lost, wait for the whole cluster.
  const bool survivors =
      std::ranges::any_of(members, [](const WorkerLink* link) { return link->member; });
  const auto wanted = static_cast<std::size_t>(std::max(1, state.config.workers_wanted));
  if (!survivors && members.size() < wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat(members.size(), " of ", wanted, " workers are there"));
  }
  if (std::ranges::none_of(
          members, [](const WorkerLink* link) { return link->hello.role == Role::kWorker; })) {
    return absl::FailedPreconditionError("no worker takes sequences: all have role expert");
  }
  std::vector<PlacementSlot> slots;
  for (const WorkerLink* link : members) {
    slots.push_back({link->slot, link->hello.expert_memory_bytes});
  }
  const ModelFacts& facts = state.model.facts;
  return PlaceExperts({.moe_layers = facts.moe_layers,
                       .experts = facts.experts,
                       .expert_bytes = members.front()->hello.model.expert_bytes,
                       .slots = slots,
                       .before = &state.placement_proposed});
}

void Gather(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox) {
  if (state.phase != ServicePhase::kGathering) {
    state.phase = ServicePhase::kGathering;
    state.gathering_since = now;
  }
  state.formation.reset();
  state.not_ready_because = std::move(why);
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("not serving: ", state.not_ready_because));
}

// Whether the members of the epoch are exactly those who would make the next one.
bool NothingChanges(const CoordinatorState& state, const std::vector<const WorkerLink*>& members) {
  return members.size() == state.live.size() &&
         std::ranges::all_of(members, [](const WorkerLink* link) { return link->member; });
}

void Begin(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  state.change_wanted = false;
  const std::vector<const WorkerLink*> members = state.membership.Candidates();
  absl::StatusOr<Placement> placement = Place(state, members);
  if (!placement.ok()) {
    Gather(state, now, std::string(placement.status().message()), outbox);
    return;
  }
  state.phase = ServicePhase::kPreparing;
  state.not_ready_because = absl::StrCat("preparing an epoch: ", state.change_cause);
  state.epoch_proposed = Epoch{std::max(state.epoch_proposed, state.epoch).value + 1};
  state.placement_proposed = *placement;
  ++state.tries_without_commit;
  Formation& formation = state.formation.emplace();
  formation.started = now;
  formation.prepare = {
      .epoch = state.epoch_proposed, .peers = {}, .placement = *std::move(placement)};
  for (const WorkerLink* link : members) {
    formation.prepare.peers.push_back({link->slot, link->hello.uuid, link->standby_address});
    formation.members.push_back({link->id, link->standby_address});
  }
  for (const Formation::Member& member : formation.members) {
    outbox.push_back(TellWorker{member.link, formation.prepare});
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", formation.prepare.epoch.value, ": prepare ", members.size(),
                   " workers, because ", state.change_cause));
}

void Dismiss(CoordinatorState& state, LinkId id, CoordinatorOutbox& outbox) {
  const WorkerLink* link = state.membership.Find(id);
  outbox.push_back(TellWorker{id, Goodbye{.reason = "drained", .refused = false}});
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("slot ", link->slot.value, " has left"));
  if (state.HomeOrNull(link->slot) != nullptr && link->member) Evict(state, link->slot);
  state.membership.Remove(id);
}

std::vector<LinkId> Draining(const CoordinatorState& state) {
  std::vector<LinkId> ids;
  for (const auto& [id, link] : state.membership.links()) {
    if (link.draining) ids.push_back(id);
  }
  return ids;
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
    if (misfit->end == End::kRefused && request.usage.completion_tokens > 0) {
      misfit = Ending{.end = End::kUnavailable,
                      .message = "the workers that are left have too little KV memory for it"};
    }
    EndRequest(state, request, now, *std::move(misfit), outbox);
  }
}

void Commit(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Formation formation = *std::exchange(state.formation, std::nullopt);
  for (const LinkId id : Draining(state)) {
    // One that asked after Prepare takes part once more.
    if (MemberOf(formation, id) == nullptr) Dismiss(state, id, outbox);
  }
  for (const Slot slot : state.live) RollBack(state, slot);
  state.in_flight.clear();
  state.live.clear();
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
  state.epoch = formation.prepare.epoch;
  state.placement = std::move(formation.prepare.placement);
  CONCLAVE_CHECK(state.placement.Complete(), "an expert without owner");
  state.phase = ServicePhase::kServing;
  state.change_wanted = false;
  state.owners_lost = false;
  state.not_ready_because.clear();
  state.tries_without_commit = 0;
  state.last_epoch_cause = std::exchange(state.change_cause, {});
  state.last_epoch_micros = now - state.change_since;
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", state.epoch.value, ": committed with ", state.live.size(),
                   " workers after ", state.last_epoch_micros, " us"));
  EndMisfits(state, now, outbox);
  const std::vector<const WorkerLink*> candidates = state.membership.Candidates();
  if (!NothingChanges(state, candidates)) WantChange(state, now, "workers came meanwhile");
}

// All have answered: commit, or ask again with the addresses they have now.
void Conclude(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const auto& members = state.formation->members;
  const auto has = [&](Answer answer) {
    return std::ranges::any_of(
        members, [&](const Formation::Member& member) { return member.answer == answer; });
  };
  if (has(Answer::kPending)) return;
  if (has(Answer::kFailed)) {
    Begin(state, now, outbox);
  } else {
    Commit(state, now, outbox);
  }
}

}  // namespace

void AdvanceEpochs(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (state.phase == ServicePhase::kPreparing) return;
  if (!state.change_wanted) {
    // The last of those that can serve may leave when nothing is left to do.
    if (state.requests.size() == 0 && state.in_flight.empty()) {
      for (const LinkId id : Draining(state)) {
        Dismiss(state, id, outbox);
        ForceChange(state, now, "a worker left", outbox);
      }
    }
    return;
  }
  if (state.phase == ServicePhase::kServing) {
    if (!state.in_flight.empty()) return;
    if (NothingChanges(state, state.membership.Candidates())) {
      state.change_wanted = false;
      return;
    }
  }
  Begin(state, now, outbox);
}

void WantChange(CoordinatorState& state, Micros now, std::string cause) {
  // Those who want to leave stay while the others could not serve.
  if (state.phase == ServicePhase::kServing && !Place(state, state.membership.Candidates()).ok())
    return;
  if (!state.change_wanted && state.phase != ServicePhase::kPreparing) {
    state.change_cause = std::move(cause);
    state.change_since = now;
  }
  state.change_wanted = true;
}

void ForceChange(CoordinatorState& state, Micros now, std::string cause,
                 CoordinatorOutbox& outbox) {
  if (state.phase != ServicePhase::kPreparing) state.change_since = now;
  state.change_cause = std::move(cause);
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
    state.owners_lost = true;
  }
  const bool forming = state.formation.has_value() && MemberOf(*state.formation, id) != nullptr;
  if (lost.member || forming) ForceChange(state, now, cause, outbox);
}

void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox) {
  outbox.push_back(DropLink{link, reason});
  LoseLink(state, link, now, reason, outbox);
}

void CheckPrepareTimeout(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (state.phase != ServicePhase::kPreparing ||
      now - state.formation->started <= state.config.prepare_timeout) {
    return;
  }
  std::vector<LinkId> late;
  for (const Formation::Member& member : state.formation->members) {
    if (member.answer == Answer::kPending) late.push_back(member.link);
  }
  for (const LinkId link : late) DropWorker(state, link, now, "not ready in time", outbox);
}

}  // namespace conclave
