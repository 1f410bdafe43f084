#include "coordinator/reconfig/drain.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/admission.h"
#include "coordinator/reconfig/lose_worker.h"
#include "coordinator/reconfig/propose.h"

namespace conclave {
namespace {

using Workers = std::vector<const WorkerLink*>;

std::int64_t LargestPoolOf(const Workers& workers) {
  std::int64_t blocks = 0;
  for (const WorkerLink* link : workers) {
    if (link->hello.role != Role::kWorker) continue;
    blocks = std::max<std::int64_t>(blocks, link->hello.kv_blocks);
  }
  return blocks;
}

// The most KV blocks that one request may need until its end; 0: there is none.
std::int64_t MostBlocksNeeded(const CoordinatorState& state) {
  std::int64_t most = 0;
  for (const Request* request : state.requests.running()) {
    most = std::max(most, BlocksToTheEnd(*request));
  }
  for (const auto& [order, request] : state.requests.waiting()) {
    most = std::max(most, BlocksToTheEnd(*request));
  }
  return most;
}

DrainDecision Judge(const CoordinatorState& state) {
  Workers staying = state.membership.Greeted();
  std::erase_if(staying, [](const WorkerLink* link) { return !link->member; });
  DrainDecision decision;
  if (std::ranges::none_of(staying, &WorkerLink::draining)) return decision;
  const std::int64_t needed = MostBlocksNeeded(state);
  for (const WorkerLink* link : Workers(staying)) {
    if (!link->draining) continue;
    Workers others = staying;
    std::erase(others, link);
    std::string why;
    const std::int64_t pool = LargestPoolOf(others);
    if (pool == 0) {
      why = "it is the last worker that takes sequences";
    } else if (pool < needed) {
      why = absl::StrCat("a request that may come to need ", needed,
                         " KV blocks fits nowhere else: the others have ", pool, " at most");
      decision.blocks_short = needed;
    } else if (const absl::Status room = CanHoldExperts(state, others); !room.ok()) {
      why = absl::StrCat("without it ", room.message());
    }
    if (why.empty()) {
      decision.allowed.push_back(link->id);
      staying = std::move(others);
    } else {
      decision.blocked.emplace_back(link->id, std::move(why));
    }
  }
  return decision;
}

// Tells the planner who takes no new sequences, and status who waits for what.
void Announce(CoordinatorState& state, Micros now) {
  const Reconfig& reconfig = state.reconfig;
  for (auto& [id, link] : state.membership.links()) link.drain_blocked_by.clear();
  for (const auto& [id, why] : reconfig.drains.blocked) {
    state.membership.Find(id)->drain_blocked_by = why;
  }
  const std::vector<LinkId>& allowed = reconfig.drains.allowed;
  for (const Slot slot : state.live) {
    Home& home = state.HomeAt(slot);
    // While no change may be tried, those that want to leave serve on.
    const bool leaves = !reconfig.drains_held_back &&
                        std::ranges::find(allowed, home.link) != allowed.end();
    if (leaves && !home.draining) home.draining_since = now;
    home.draining = leaves;
  }
}

// One that is no member, nor about to be one, has nothing to hand over.
bool GoesAtOnce(const CoordinatorState& state, const WorkerLink& link) {
  if (link.member) return false;
  const Preparing* preparing = state.reconfig.preparing_state();
  return preparing == nullptr || std::ranges::find(preparing->members, link.id,
                                                   &Preparing::Member::link) ==
                                     preparing->members.end();
}

void DismissNewcomer(CoordinatorState& state, LinkId id, Micros now, CoordinatorOutbox& outbox) {
  StagedReconfiguration* staged = state.reconfig.staged();
  if (staged != nullptr && staged->MemberOf(id) != nullptr) state.reconfig.DiscardStaged();
  DismissWorker(state, id, outbox);
  state.reconfig.NoteMembersChanged(now);
}

// Whether this worker may leave; if not, why not.
absl::Status DecideDrainOf(CoordinatorState& state, LinkId id, Micros now) {
  const DrainDecision& decision = DecideDrains(state, now);
  for (const auto& [blocked, why] : decision.blocked) {
    if (blocked == id) return absl::FailedPreconditionError(why);
  }
  return absl::OkStatus();
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

std::vector<LinkId> IdleLeavers(const CoordinatorState& state) {
  std::vector<LinkId> idle;
  if (state.requests.size() > 0 || !state.in_flight.empty()) return idle;
  const auto& links = state.membership.links();
  const bool serving = state.reconfig.serving();
  const bool all_stop = std::ranges::all_of(
      links, [](const auto& each) { return !each.second.member || each.second.stopping; });
  for (const auto& [id, link] : links) {
    if (!link.stopping) continue;
    if (!serving || all_stop || !link.drain_blocked_by.empty()) idle.push_back(id);
  }
  return idle;
}

}  // namespace

const DrainDecision& DecideDrains(CoordinatorState& state, Micros now) {
  Reconfig& reconfig = state.reconfig;
  const bool held_back = now < reconfig.retry_at;
  if (reconfig.drains_decided_for != reconfig.drain_inputs_version) {
    reconfig.drains = Judge(state);
  } else if (reconfig.drains_held_back == held_back) {
    return reconfig.drains;
  }
  reconfig.drains_decided_for = reconfig.drain_inputs_version;
  reconfig.drains_held_back = held_back;
  Announce(state, now);
  return reconfig.drains;
}

void CheckBlockedDrains(CoordinatorState& state, Micros now) {
  Reconfig& reconfig = state.reconfig;
  if (!reconfig.serving() || reconfig.drains.blocks_short == 0) return;
  if (MostBlocksNeeded(state) < reconfig.drains.blocks_short) reconfig.NoteMembersChanged(now);
}

void TakeLeave(CoordinatorState& state, WorkerLink& link, Micros now, CoordinatorOutbox& outbox) {
  if (link.stopping) return;
  link.stopping = true;
  link.draining = true;
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("slot ", link.slot.value, " leaves"));
  if (GoesAtOnce(state, link)) {
    DismissNewcomer(state, link.id, now, outbox);
    return;
  }
  state.reconfig.NoteMembersChanged(now);
  if (const absl::Status may = DecideDrainOf(state, link.id, now); !may.ok()) {
    Log(outbox, LogLine::Level::kWarning,
        absl::StrCat("slot ", link.slot.value, " cannot leave yet: ", may.message()));
  }
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
  state.reconfig.NoteMembersChanged(asked.now);
  if (const absl::Status may = DecideDrainOf(state, link->id, asked.now); !may.ok()) {
    link->draining = false;
    state.reconfig.NoteMembersChanged(asked.now);
    answer(absl::FailedPreconditionError(absl::StrCat(slot, " cannot leave: ", may.message())), "");
    return;
  }
  Log(outbox, LogLine::Level::kInfo, absl::StrCat(slot, " drains: an operator asked"));
  answer(absl::OkStatus(), slot + " is draining");
}

bool HasIdleLeavers(const CoordinatorState& state) { return !IdleLeavers(state).empty(); }

void DismissIdleLeavers(CoordinatorState& state, CoordinatorOutbox& outbox) {
  for (const LinkId id : IdleLeavers(state)) DismissWorker(state, id, outbox);
  state.reconfig.experts_lost = !ExpertsWithoutOwner(state).empty();
  ++state.reconfig.drain_inputs_version;
  state.reconfig.ForceChange({.kind = ChangeKind::kLeave, .text = "a worker left"});
}

std::int64_t LargestPool(const CoordinatorState& state) {
  Workers members, staying;
  for (const auto& [id, link] : state.membership.links()) {
    if (!link.member) continue;
    members.push_back(&link);
    if (!link.draining) staying.push_back(&link);
  }
  const std::int64_t pool = LargestPoolOf(staying);
  return pool > 0 ? pool : LargestPoolOf(members);
}

}  // namespace conclave
