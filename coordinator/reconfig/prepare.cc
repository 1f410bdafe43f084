#include "coordinator/reconfig/prepare.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/reconfig/give_up.h"
#include "coordinator/reconfig/lose_worker.h"

namespace conclave {
namespace {

// Prepares without a Commit after which a member that fails is not asked again.
constexpr int kAttemptsMax = 8;

using Answer = Preparing::Answer;

Preparing::Member* MemberOf(Preparing& preparing, LinkId id) {
  const auto found = std::ranges::find(preparing.members, id, &Preparing::Member::link);
  return found == preparing.members.end() ? nullptr : &*found;
}

// What one receiver of Prepare has done since, as far as the coordinator was listening.
struct Waited {
  Micros since;    // the first Prepare that it has not answered; later ones change nothing
  Micros loading;  // when it last said that it loads for this epoch
  Micros loaded;   // when it last held more than before
};

Waited WaitedFor(const CoordinatorState& state, const WorkerLink& link) {
  const Preparing& preparing = *state.reconfig.preparing_state();
  const Micros since = std::max(link.prepare_unanswered_since.value_or(preparing.sent_at),
                                state.listening_since);
  // A load in the background, for another epoch, may go on though the thread that must answer
  // stands still.
  const bool loads = link.loading_for == preparing.prepare.epoch;
  return {.since = since,
          .loading = std::max(loads ? link.loading : 0, since),
          .loaded = std::max(loads ? link.loaded : 0, since)};
}

std::string WhyLate(const CoordinatorState& state, const WorkerLink& link, Micros now) {
  if (state.reconfig.preparing_state()->staged) {
    return "not ready in time, with nothing left to load";
  }
  const Waited waited = WaitedFor(state, link);
  const bool loads = now - waited.loading <= state.config.heartbeat_limit;
  const Micros still = now - (loads ? waited.loaded : waited.loading);
  return absl::StrCat("not ready, and ", loads ? "has loaded nothing" : "does not load either",
                      " for ", still / 1000, " ms");
}

// A worker that reacted to the Prepare before has the whole time again for this one. One that did
// not has only what is left: a thread that stands still must not be waited for anew with each loss.
void NotePrepareSent(const CoordinatorState& state, WorkerLink& link, Epoch epoch, Micros now) {
  const bool loads = link.loading_for == link.prepare_sent &&
                     now - link.loading <= state.config.heartbeat_limit;
  if (loads || !link.prepare_unanswered_since.has_value()) link.prepare_unanswered_since = now;
  link.prepare_sent = epoch;
  link.prepare_sent_at = now;
}

}  // namespace

void SendPrepare(CoordinatorState& state, Preparing preparing, Micros now,
                 CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  preparing.sent_at = now;
  reconfig.not_ready_because = absl::StrCat("preparing an epoch: ", reconfig.cause.text);
  ++reconfig.attempts_without_commit;
  TellWorkers all{.links = {}, .message = preparing.prepare};
  for (const Preparing::Member& member : preparing.members) {
    NotePrepareSent(state, *state.membership.Find(member.link), preparing.prepare.epoch, now);
    all.links.push_back(member.link);
  }
  outbox.push_back(std::move(all));
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", preparing.prepare.epoch.number, ": prepare ", preparing.members.size(),
                   " workers, because ", reconfig.cause.text));
  reconfig.state = std::move(preparing);
}

void PrepareStaged(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  StagedReconfiguration staged = std::move(*state.reconfig.staged());
  state.reconfig.cause = std::move(staged.cause);
  Preparing preparing;
  preparing.staged = true;
  preparing.prepare.epoch = staged.epoch;
  preparing.prepare.placement = std::move(staged.placement);
  for (const StagedReconfiguration::Member& member : staged.members) {
    const WorkerLink* link = state.membership.Find(member.link);
    CONCLAVE_CHECK(link != nullptr, "a member of the staged epoch is gone");
    preparing.prepare.peers.push_back({member.slot, link->hello.uuid, member.address});
    preparing.members.push_back({member.link, member.address});
  }
  SendPrepare(state, std::move(preparing), now, outbox);
}

void TakeReady(CoordinatorState& state, WorkerLink& link, Micros now, const Ready& ready,
               CoordinatorOutbox& outbox) {
  if (!link.greeted || ready.epoch > state.reconfig.highest_proposed) {
    DropWorker(state, link.id, now, "Ready for an epoch that was never proposed", outbox);
    return;
  }
  // The newest Prepare always gets an answer; an answer to an older one shows that it lives.
  link.prepare_unanswered_since = link.prepare_sent_at;
  if (ready.epoch == link.prepare_sent) link.prepare_unanswered_since.reset();
  if (!ready.standby_address.empty()) link.standby_address = ready.standby_address;
  link.expert_bytes = ready.expert_bytes;
  Preparing* preparing = state.reconfig.preparing_state();
  if (preparing == nullptr || ready.epoch != preparing->prepare.epoch) return;
  Preparing::Member* member = MemberOf(*preparing, link.id);
  if (member == nullptr || member->answer != Answer::kPending) return;
  if (ready.ok) {
    if (link.member && ready.last_step_done > state.HomeAt(link.slot).answered) {
      DropWorker(state, link.id, now, "it ran a step whose result never came", outbox);
      return;
    }
    member->answer = Answer::kReady;
    return;
  }
  const std::string why = absl::StrCat("not ready: ", ready.error);
  // A newcomer is not needed for what runs: the others go on without it.
  if (preparing->staged && !link.member) {
    RefuseWorker(state, link.id, now, why, outbox);
    return;
  }
  if (link.standby_address == member->address ||
      state.reconfig.attempts_without_commit >= kAttemptsMax) {
    DropWorker(state, link.id, now, why, outbox);
    return;
  }
  Log(outbox, LogLine::Level::kWarning,
      absl::StrCat("slot ", link.slot.value, " is not ready, will ask again: ", ready.error));
  member->answer = Answer::kFailed;
}

Micros PrepareLateUntil(const CoordinatorState& state, const WorkerLink& link) {
  const CoordinatorConfig& config = state.config;
  const Waited waited = WaitedFor(state, link);
  if (state.reconfig.preparing_state()->staged) return waited.since + config.connect_limit;
  const Micros stops_loading = waited.loading + config.heartbeat_limit;
  const Micros stands_still = waited.loaded + config.load_limit;
  if (stands_still < stops_loading) return stands_still;
  return std::max(stops_loading, waited.loading + config.wedge_limit);
}

void DropLate(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  std::vector<std::pair<LinkId, std::string>> late;
  for (const Preparing::Member& member : state.reconfig.preparing_state()->members) {
    if (member.answer != Answer::kPending) continue;
    const WorkerLink& link = *state.membership.Find(member.link);
    if (state.ticked <= PrepareLateUntil(state, link)) continue;
    late.emplace_back(member.link, WhyLate(state, link, state.ticked));
  }
  for (const auto& [link, why] : late) DropWorker(state, link, now, why, outbox);
}

void AbandonPrepared(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const std::string why =
      absl::StrCat("not all were ready for what was prepared for: ", state.reconfig.cause.text);
  GiveUpChange(state, now, why, outbox);
  state.reconfig.ForceChange({.kind = ChangeKind::kBrokenStep, .text = why});
}

}  // namespace conclave
