#include "coordinator/watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/change_over.h"
#include "coordinator/epochs.h"

namespace conclave {
namespace {

constexpr int kBreaksMax = 4;  // a step that breaks so often breaks because of who says so

// Whether it has finished the oldest step under way.
bool HasAnswered(const CoordinatorState& state, Slot slot) {
  if (state.in_flight.empty()) return true;
  const auto& parts = state.in_flight.front().parts;
  const auto part = std::ranges::find(parts, slot, &PlannedPart::slot);
  return part == parts.end() || part->answered;
}

void DropSilent(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const Membership::Limits limits{.silence = state.config.heartbeat_limit,
                                  .hello = state.config.hello_limit,
                                  .since = state.listening_since};
  for (const LinkId link : state.membership.Silent(now, limits)) {
    DropWorker(state, link, now, "silent for too long", outbox);
  }
}

void DropSuspects(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  for (const Suspect& suspect : SuspectsNow(state, now, 1)) {
    const Home* home = state.HomeOrNull(suspect.slot);
    if (home != nullptr) DropWorker(state, home->link, now, suspect.why, outbox);
  }
}

void EndTrouble(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const StepTrouble trouble = *std::exchange(state.trouble, std::nullopt);
  ForceChange(state, now, {.kind = ChangeKind::kBrokenStep, .cause = trouble.why}, outbox);
}

}  // namespace

void Watch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  // After a pause of this process, what workers said meanwhile is still in the queue.
  if (now - state.ticked > state.config.heartbeat_limit / 2) state.listening_since = now;
  state.ticked = now;
  DropSilent(state, now, outbox);
  DropSuspects(state, now, outbox);
  if (state.trouble.has_value() &&
      now - std::max(state.trouble->since, state.listening_since) > state.config.evidence_wait) {
    EndTrouble(state, now, outbox);
  }
  DropLate(state, now, outbox);
  CheckChangeOver(state, now, outbox);
}

void TakeHeartbeat(WorkerLink& link, Micros now, const Heartbeat& heartbeat) {
  const Heartbeat& last = link.heartbeat;
  const bool news = heartbeat.epoch != last.epoch || heartbeat.progress != last.progress ||
                    heartbeat.busy != last.busy || heartbeat.exchange != last.exchange ||
                    heartbeat.waits_for != last.waits_for;
  if (news) link.changed = now;
  if (news || heartbeat.looks != last.looks) link.looked = now;
  link.heartbeat = heartbeat;
}

void TakeLoadProgress(WorkerLink& link, Micros now, const LoadProgress& progress) {
  link.loading = now;
  if (progress.expert_bytes != link.expert_bytes) link.loaded = now;
  link.expert_bytes = progress.expert_bytes;
}

void TakeBroken(CoordinatorState& state, WorkerLink& link, Micros now, const StepBroken& broken,
                CoordinatorOutbox& outbox) {
  const std::string why = absl::StrCat("step ", broken.step.value, " broke at slot ",
                                       link.slot.value, ": ", broken.error);
  Log(outbox, LogLine::Level::kWarning, why);
  if (state.phase != ServicePhase::kServing || broken.epoch != state.epoch || !link.member) return;
  if (!state.trouble.has_value()) {
    // Others may say the same of this step: the first word counts.
    if (++state.breaks_without_step > kBreaksMax) {
      DropWorker(state, link.id, now, why, outbox);
      return;
    }
    state.trouble = StepTrouble{.since = now, .why = why, .said = {}};
    state.planning_stopped = true;
    if (!state.stopped_since.has_value()) state.stopped_since = now;
  }
  state.trouble->said.Add(link.slot);
  // Everyone is there to say so: no news to wait for.
  const bool all =
      std::ranges::all_of(state.live, [&](Slot slot) { return state.trouble->said.Has(slot); });
  if (all) EndTrouble(state, now, outbox);
}

std::vector<Suspect> SuspectsNow(const CoordinatorState& state, Micros now, double part) {
  std::vector<Pulse> pulses;
  Micros since = state.listening_since;
  if (state.formation.has_value()) since = std::max(since, state.formation->started);
  for (const auto& [id, link] : state.membership.links()) {
    if (!link.member) continue;
    const Micros changed = std::max(link.changed, since);
    pulses.push_back({.slot = link.slot,
                      .link = id,
                      .heartbeat = link.heartbeat,
                      .changed = changed,
                      .looked = std::max(link.looked, changed),
                      .answered = HasAnswered(state, link.slot)});
  }
  const auto scaled = [&](Micros limit) {
    return static_cast<Micros>(part * static_cast<double>(limit));
  };
  return JudgePulses(pulses,
                     {.wedge = scaled(state.config.wedge_limit),
                      .link = scaled(state.config.link_limit),
                      .epoch = state.epoch,
                      // Until the next Prepare nobody has told them to leave their exchange.
                      .serving = state.phase != ServicePhase::kPreparing},
                     now);
}

}  // namespace conclave
