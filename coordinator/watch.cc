#include "coordinator/watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/lose_worker.h"

namespace conclave {
namespace {

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
  // A worker was lost a moment ago: the others may well have waited for it.
  if (state.reconfig.forced.has_value()) return;
  for (const Suspect& suspect : SuspectsNow(state, now, 1)) {
    const Home* home = state.HomeOrNull(suspect.slot);
    if (home != nullptr) DropWorker(state, home->link, now, suspect.why, outbox);
  }
}

}  // namespace

void Watch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  // After a pause of this process, what workers said meanwhile is still in the queue.
  if (now - state.ticked > state.config.heartbeat_limit / 2) state.listening_since = now;
  state.ticked = now;
  DropSilent(state, now, outbox);
  DropSuspects(state, now, outbox);
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

std::vector<Suspect> SuspectsNow(const CoordinatorState& state, Micros now, double part) {
  std::vector<Pulse> pulses;
  Micros since = state.listening_since;
  const Preparing* preparing = state.reconfig.preparing_state();
  if (preparing != nullptr) since = std::max(since, preparing->sent_at);
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
                      .serving = preparing == nullptr},
                     now);
}

}  // namespace conclave
