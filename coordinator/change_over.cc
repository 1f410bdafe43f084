#include "coordinator/change_over.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "coordinator/cast.h"
#include "coordinator/epochs.h"
#include "coordinator/schedule/migrate.h"
#include "coordinator/suspects.h"

namespace conclave {
namespace {

constexpr Micros kRetryPauseMin = 5'000'000;
constexpr Micros kRetryPauseMax = 60'000'000;

using Stage = ChangeOver::Stage;
using Part = ChangeOver::Part;

Part* PartOf(CoordinatorState& state, LinkId link) {
  if (!state.change_over.has_value()) return nullptr;
  const auto found = std::ranges::find(state.change_over->parts, link, &Part::link);
  return found == state.change_over->parts.end() ? nullptr : &*found;
}

// One that fails on its way into or within the next epoch: a newcomer is refused, the others go on
// without it; a member is needed for the steps that run, so the change must wait.
void Fail(CoordinatorState& state, LinkId id, Micros now, const std::string& why,
          CoordinatorOutbox& outbox) {
  const Part* part = PartOf(state, id);
  CONCLAVE_CHECK(part != nullptr);
  if (part->newcomer) {
    RefuseWorker(state, id, now, why, outbox);
  } else {
    GiveUp(state, now, absl::StrCat("slot ", part->slot.value, " ", why), outbox);
  }
}

void Enter(CoordinatorState& state, Stage stage, Micros now) {
  ChangeOver& change = *state.change_over;
  change.stage = stage;
  change.stage_since = now;
  for (Part& part : change.parts) part.answered = false;
}

void Begin(CoordinatorState& state, Cast cast, const std::vector<LinkId>& leavers, Micros now,
           CoordinatorOutbox& outbox) {
  ChangeOver& change = state.change_over.emplace();
  state.epoch_proposed = Epoch{std::max(state.epoch_proposed, state.epoch).value + 1};
  change.epoch = state.epoch_proposed;
  change.placement = std::move(cast.placement);
  change.kind = ChangeKind::kRebalance;
  std::vector<std::string> causes;
  for (const WorkerLink* link : cast.workers) {
    change.parts.push_back({.link = link->id, .slot = link->slot, .newcomer = !link->member});
    if (link->member) continue;
    change.kind = ChangeKind::kJoin;
    causes.push_back(absl::StrCat("slot ", link->slot.value, " joins from ", link->hello.address));
  }
  for (const LinkId id : leavers) {
    change.kind = ChangeKind::kLeave;
    causes.push_back(absl::StrCat("slot ", state.membership.Find(id)->slot.value, " leaves"));
  }
  change.cause =
      causes.empty() ? "experts are spread again after a loss" : absl::StrJoin(causes, ", ");
  Enter(state, Stage::kLoading, now);
  for (const Part& part : change.parts) {
    outbox.push_back(TellWorker{
        part.link, Load{.epoch = change.epoch, .slot = part.slot, .placement = change.placement}});
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", change.epoch.value, ": load beside the running epoch, ",
                   change.parts.size(), " workers, because ", change.cause));
}

void Consider(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (!state.change_due || now < state.retry_at) return;
  NoticeChange(state, now);
  state.change_due = false;
  const std::vector<LinkId> leavers = WhoCanLeave(state).can;
  absl::StatusOr<Cast> cast = CastForChange(state, leavers);
  if (!cast.ok()) {
    GiveUp(state, now, std::string(cast.status().message()), outbox);
    return;
  }
  const bool newcomers =
      std::ranges::any_of(cast->workers, [](const WorkerLink* link) { return !link->member; });
  const bool spread = state.placement_rough && cast->placement != state.placement;
  if (!newcomers && leavers.empty() && !spread) {
    state.placement_rough = false;
    state.change_since.reset();
    return;
  }
  Begin(state, *std::move(cast), leavers, now, outbox);
}

bool AllAnswered(const ChangeOver& change) {
  return std::ranges::all_of(change.parts, &Part::answered);
}

void ConnectAll(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Enter(state, Stage::kConnecting, now);
  const ChangeOver& change = *state.change_over;
  Connect connect{.epoch = change.epoch, .peers = {}};
  for (const Part& part : change.parts) {
    connect.peers.push_back(
        {part.slot, state.membership.Find(part.link)->hello.uuid, part.address});
  }
  for (const Part& part : change.parts) outbox.push_back(TellWorker{part.link, connect});
}

// A member that another member does not hear, either, is silent for reasons of its own: that no
// newcomer hears it speaks against none.
void ForgiveNewcomers(const std::vector<Part>& parts, std::vector<BrokenLink>& links) {
  const auto newcomer = [&](Slot slot) {
    return std::ranges::find(parts, slot, &Part::slot)->newcomer;
  };
  SlotSet doubtful;
  for (const BrokenLink& link : links) {
    if (newcomer(link.from) || newcomer(link.to)) continue;
    doubtful.Add(link.from);
    doubtful.Add(link.to);
  }
  std::erase_if(links, [&](const BrokenLink& link) {
    return (newcomer(link.from) && doubtful.Has(link.to)) ||
           (newcomer(link.to) && doubtful.Has(link.from));
  });
}

// All have answered, or the time is up: goes on, or finds out who must not come along.
void JudgeConnections(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const std::vector<Part> parts = state.change_over->parts;
  std::vector<BrokenLink> links;
  std::vector<Pulse> newcomers;
  std::vector<std::pair<LinkId, std::string>> failed;  // by themselves
  for (const Part& part : parts) {
    if (part.newcomer) newcomers.push_back({.slot = part.slot, .link = part.link});
    if (!part.answered) failed.emplace_back(part.link, "did not connect in time");
    if (part.error.empty()) continue;
    if (part.unreachable.empty()) failed.emplace_back(part.link, "cannot connect: " + part.error);
    for (const Part& peer : parts) {
      if (part.unreachable.Has(peer.slot)) links.push_back({.from = peer.slot, .to = part.slot});
    }
  }
  const bool whole = failed.empty() && links.empty();
  if (whole) {
    Enter(state, Stage::kMoving, now);
    return;
  }
  ForgiveNewcomers(parts, links);
  // Newcomers first: without them the rest may be whole.
  std::vector<std::pair<LinkId, std::string>> refused;
  for (const auto& [id, why] : failed) {
    const auto part = std::ranges::find(parts, id, &Part::link);
    if (part->newcomer) refused.emplace_back(id, why);
    if (part->newcomer) ForgetLinksOf(part->slot, links);
  }
  while (const Pulse* worst = MostBroken(links, newcomers)) {
    const auto peers = std::ranges::count_if(links, [&](const BrokenLink& link) {
      return link.from == worst->slot || link.to == worst->slot;
    });
    refused.emplace_back(worst->link, absl::StrCat("its links to other workers carry nothing (",
                                                   peers, " of them)"));
    ForgetLinksOf(worst->slot, links);
  }
  std::string members_fail;
  for (const auto& [id, why] : failed) {
    const auto part = std::ranges::find(parts, id, &Part::link);
    if (!part->newcomer) members_fail = absl::StrCat("slot ", part->slot.value, " ", why);
  }
  if (members_fail.empty() && !links.empty()) {
    members_fail = absl::StrCat("slot ", links.front().to.value, " hears nothing from slot ",
                                links.front().from.value, " on a fresh link");
  }
  for (const auto& [id, why] : refused) RefuseWorker(state, id, now, why, outbox);
  if (!members_fail.empty()) GiveUp(state, now, std::move(members_fail), outbox);
}

// Whether a sequence on a worker that leaves is still to be moved.
bool MustMove(const CoordinatorState& state, Micros now) {
  for (const Slot slot : state.live) {
    const Home& home = state.HomeAt(slot);
    const bool leaves = std::ranges::find(state.change_over->parts, slot, &Part::slot) ==
                        state.change_over->parts.end();
    if (leaves && home.draining && now - home.draining_since <= state.config.move_limit &&
        MovesPending(state, slot)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool AdvanceChangeOver(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (!state.change_over.has_value()) Consider(state, now, outbox);
  if (!state.change_over.has_value()) return false;
  ChangeOver& change = *state.change_over;
  if (change.stage == Stage::kLoading && AllAnswered(change)) ConnectAll(state, now, outbox);
  if (change.stage == Stage::kMoving && !MustMove(state, now)) {
    Enter(state, Stage::kStopping, now);
    state.planning_stopped = true;
    state.stopped_since = now;
  }
  return change.stage == Stage::kStopping && state.in_flight.empty() && !state.trouble.has_value();
}

void TakeLoaded(CoordinatorState& state, WorkerLink& link, Micros now, const Loaded& loaded,
                CoordinatorOutbox& outbox) {
  if (loaded.epoch > state.epoch_proposed) {
    DropWorker(state, link.id, now, "Loaded for an epoch that was never proposed", outbox);
    return;
  }
  if (loaded.expert_bytes > 0) link.expert_bytes = loaded.expert_bytes;
  Part* part = PartOf(state, link.id);
  if (part == nullptr || loaded.epoch != state.change_over->epoch ||
      state.change_over->stage != Stage::kLoading || part->answered) {
    return;
  }
  if (!loaded.ok) {
    Fail(state, link.id, now, absl::StrCat("cannot load: ", loaded.error), outbox);
    return;
  }
  part->answered = true;
  part->address = loaded.address;
}

void TakeConnected(CoordinatorState& state, WorkerLink& link, Micros now,
                   const Connected& connected, CoordinatorOutbox& outbox) {
  if (connected.epoch > state.epoch_proposed) {
    DropWorker(state, link.id, now, "Connected for an epoch that was never proposed", outbox);
    return;
  }
  Part* part = PartOf(state, link.id);
  if (part == nullptr || connected.epoch != state.change_over->epoch ||
      state.change_over->stage != Stage::kConnecting || part->answered) {
    return;
  }
  part->answered = true;
  if (!connected.ok) {
    part->error = connected.error.empty() ? "no reason given" : connected.error;
    part->unreachable = connected.unreachable;
  }
  if (AllAnswered(*state.change_over)) JudgeConnections(state, now, outbox);
}

void CheckChangeOver(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (!state.change_over.has_value()) return;
  const ChangeOver& change = *state.change_over;
  if (change.stage == Stage::kLoading) {
    // One that is sent away takes the change with it: the rest is looked at when it comes again.
    const Micros since = std::max(change.stage_since, state.listening_since);
    const auto late = std::ranges::find_if(change.parts, [&](const Part& part) {
      const Micros loaded = state.membership.Find(part.link)->loaded;
      return !part.answered && now - std::max(loaded, since) > state.config.load_limit;
    });
    if (late == change.parts.end()) return;
    Fail(state, late->link, now,
         absl::StrCat("has not loaded anything for ", state.config.load_limit / 1'000'000, " s"),
         outbox);
  } else if (change.stage == Stage::kConnecting &&
             now - std::max(change.stage_since, state.listening_since) >
                 state.config.connect_limit) {
    JudgeConnections(state, now, outbox);
  }
}

void GiveUp(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox) {
  DropChangeOver(state);
  state.retry_pause = std::clamp(2 * state.retry_pause, kRetryPauseMin, kRetryPauseMax);
  state.retry_at = now + state.retry_pause;
  state.given_up = std::move(why);
  NoticeChange(state, now);
  Log(outbox, LogLine::Level::kWarning,
      absl::StrCat("the change is given up for ", state.retry_pause / 1'000'000,
                   " s: ", state.given_up));
}

void DropChangeOver(CoordinatorState& state) {
  if (!state.change_over.has_value()) return;
  state.change_over.reset();
  state.change_due = true;
  if (!state.trouble.has_value()) {
    state.planning_stopped = false;
    state.stopped_since.reset();
  }
}

void NoticeChange(CoordinatorState& state, Micros now) {
  state.change_due = true;
  if (!state.change_since.has_value()) state.change_since = now;
  const Leaving leaving = WhoCanLeave(state);
  for (auto& [id, link] : state.membership.links()) link.drain_blocked_by.clear();
  state.blocks_short = leaving.blocks_short;
  for (const auto& [id, why] : leaving.cannot) {
    state.membership.Find(id)->drain_blocked_by = why;
  }
  for (const Slot slot : state.live) {
    Home& home = state.HomeAt(slot);
    // While no change may be tried, whoever wants to leave serves on.
    const bool leaves =
        now >= state.retry_at && std::ranges::find(leaving.can, home.link) != leaving.can.end();
    if (leaves && !home.draining) home.draining_since = now;
    home.draining = leaves;
  }
}

}  // namespace conclave
