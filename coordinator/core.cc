// The coordinator's dispatch of events: what happened -> which verb. The verbs are in their files.
#include "coordinator/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/admission.h"
#include "coordinator/streams/attach.h"
#include "coordinator/audit.h"
#include "coordinator/rebalance.h"
#include "coordinator/reconfig/advance.h"
#include "coordinator/reconfig/broken_step.h"
#include "coordinator/reconfig/connect.h"
#include "coordinator/reconfig/drain.h"
#include "coordinator/reconfig/join.h"
#include "coordinator/reconfig/lose_worker.h"
#include "coordinator/reconfig/prepare.h"
#include "coordinator/reconfig/stage.h"
#include "coordinator/results.h"
#include "coordinator/schedule/plan_step.h"
#include "coordinator/state.h"
#include "coordinator/stats.h"
#include "coordinator/streams/streams.h"
#include "coordinator/watch.h"

namespace conclave {
namespace {

// False for the frequent events, after which the members are the same but for their numbers: those
// are as of the last tick.
bool MayChangeMembers(const CoordinatorEvent& event) {
  if (const auto* said = std::get_if<WorkerSaid>(&event)) {
    return !std::holds_alternative<StepResult>(said->message) &&
           !std::holds_alternative<Heartbeat>(said->message) &&
           !std::holds_alternative<LoadProgress>(said->message);
  }
  return !std::holds_alternative<ClientAsked>(event) &&
         !std::holds_alternative<ClientLeft>(event) && !std::holds_alternative<AbortAsked>(event);
}

}  // namespace

class CoordinatorCore::Impl {
 public:
  Impl(const CoordinatorConfig& config, Model model, const Text* text)
      : state_(config, std::move(model), text) {}

  void On(const ClientAsked& event, CoordinatorOutbox& outbox) {
    Request* const live = state_.requests.FindNamed(event.ask.id);
    Admission admission = Admit(event, {.config = state_.config,
                                        .model = state_.model,
                                        .text = state_.text,
                                        .waiting = state_.requests.waiting().size(),
                                        .waiting_tokens = state_.requests.waiting_tokens(),
                                        .live = live != nullptr,
                                        .blocks_max = LargestPool(state_)});
    if (auto* ending = std::get_if<Ending>(&admission)) {
      Refuse(state_, event.request, std::move(*ending), outbox);
      return;
    }
    auto request = std::get<std::unique_ptr<Request>>(std::move(admission));
    if (event.ask.resume_after > 0) ++state_.totals.resumed;
    if (live != nullptr) {
      Attach(state_, *live, *request, outbox);
    } else {
      BeginStream(state_.requests.Add(std::move(request)), outbox);
    }
  }

  void On(const ClientLeft& event, CoordinatorOutbox& outbox) {
    Cancel(state_.requests.FindRead(event.request), event.now, "the client left", outbox);
  }

  void On(const AbortAsked& event, CoordinatorOutbox& outbox) {
    Cancel(state_.requests.FindNamed(event.id), event.now, "aborted", outbox);
  }

  void On(const WorkerArrived& event, CoordinatorOutbox& outbox) {
    if (!state_.membership.Arrive(event.link, event.now)) {
      outbox.push_back(DropLink{event.link, "too many links"});
    }
  }

  void On(const WorkerSaid& event, CoordinatorOutbox& outbox) {
    WorkerLink* link = state_.membership.Find(event.link);
    if (link == nullptr) return;  // dropped; its last words are still arriving
    link->heard = std::max(link->heard, event.now);
    if (!link->greeted && !std::holds_alternative<Hello>(event.message)) {
      DropWorker(state_, event.link, event.now, "spoke before Hello", outbox);
      return;
    }
    std::visit([&](const auto& message) { Take(*link, event.now, message, outbox); },
               event.message);
  }

  void On(const WorkerGone& event, CoordinatorOutbox& outbox) {
    LoseWorker(state_, event.link, event.now, event.reason, outbox);
  }

  void On(const Ticked& event, CoordinatorOutbox& outbox) {
    Watch(state_, event.now, outbox);
    EndOverdue(event.now, outbox);
    CheckBlockedDrains(state_, event.now);
    EndUnavailable(event.now, outbox);
    SampleRates(state_, event.now);
    ConsiderRebalance(state_, event.now, outbox);
  }

  void On(const TextJudged& event, CoordinatorOutbox& outbox) {
    TakeVerdict(state_, event, outbox);
  }

  void On(const DrainAsked& event, CoordinatorOutbox& outbox) { TakeDrain(state_, event, outbox); }
  void On(const RebalanceAsked& event, CoordinatorOutbox& outbox) {
    TakeRebalance(state_, event, outbox);
  }

  // After every event: what became possible.
  void Proceed(Micros now, CoordinatorOutbox& outbox) {
    AdvanceReconfig(state_, now, outbox);
    const auto ahead =
        static_cast<std::size_t>(std::clamp(state_.config.plans_ahead, 1, kPlansAheadMax));
    while (state_.reconfig.MayPlan() && state_.in_flight.size() < ahead) {
      std::optional<StepPlan> plan = PlanStep(state_, now);
      if (!plan.has_value()) return;
      Send(*plan, outbox);
    }
  }

  const CoordinatorState& state() const { return state_; }

  void NoteMembersChanged() { members_changed_ = true; }
  std::shared_ptr<const ClusterSnapshot> Snapshot(Micros now) {
    return snapshots_.Take(state_, now, std::exchange(members_changed_, false));
  }

 private:
  void Send(const StepPlan& plan, CoordinatorOutbox& outbox) {
    for (StepAsk& ask : AsksFor(plan)) {
      state_.in_flight.back().digest = ask.digest;
      const LinkId link = state_.HomeAt(ask.part.slot).link;
      outbox.push_back(TellWorker{link, std::move(ask)});
    }
  }

  void Cancel(Request* request, Micros now, std::string why, CoordinatorOutbox& outbox) {
    if (request == nullptr) return;  // it has ended
    EndRequest(state_, *request, now, {.end = End::kCancelled, .message = std::move(why)}, outbox);
  }

  void EndOverdue(Micros now, CoordinatorOutbox& outbox) {
    const auto& deadlines = state_.requests.deadlines();
    while (!deadlines.empty() && deadlines.begin()->first <= now) {
      EndRequest(state_, *state_.requests.Find(deadlines.begin()->second), now,
                 {.end = End::kDeadline, .message = "the deadline passed"}, outbox);
    }
  }

  void EndUnavailable(Micros now, CoordinatorOutbox& outbox) {
    if (!state_.reconfig.gathering()) return;
    for (const RequestId id : state_.requests.All()) {
      Request& request = *state_.requests.Find(id);
      const Micros since = std::max(request.order.arrived, state_.reconfig.unready_since.value_or(0));
      if (now - since <= state_.config.unavailable_limit) continue;
      EndRequest(state_, request, now,
                 {.end = End::kUnavailable, .message = state_.reconfig.not_ready_because}, outbox);
    }
  }

  void Take(WorkerLink& link, Micros now, const Hello& hello, CoordinatorOutbox& outbox) {
    TakeHello(state_, link, now, hello, outbox);
  }

  void Take(WorkerLink& link, Micros now, const Ready& ready, CoordinatorOutbox& outbox) {
    TakeReady(state_, link, now, ready, outbox);
  }

  void Take(WorkerLink& link, Micros now, const StepResult& result, CoordinatorOutbox& outbox) {
    const Reception reception = ReceiveResult(state_, link, now, result, outbox);
    switch (reception.trust) {
      case Trust::kApplied:
        // News that the next heartbeat would bring: until then the old ones accuse nobody.
        link.changed = now;
        return;
      case Trust::kIgnored:
        Log(outbox, LogLine::Level::kWarning,
            absl::StrCat("slot ", link.slot.value, ": ignored ", reception.why));
        return;
      case Trust::kNonsense:
        DropWorker(state_, link.id, now, absl::StrCat("nonsense: ", reception.why), outbox);
        return;
    }
  }

  void Take(WorkerLink& link, Micros now, const StepBroken& broken, CoordinatorOutbox& outbox) {
    TakeBroken(state_, link, now, broken, outbox);
  }

  void Take(WorkerLink& link, Micros now, const Heartbeat& heartbeat, CoordinatorOutbox&) {
    TakeHeartbeat(link, now, heartbeat);
  }

  void Take(WorkerLink& link, Micros now, const LoadProgress& progress, CoordinatorOutbox&) {
    TakeLoadProgress(link, now, progress);
  }

  void Take(WorkerLink& link, Micros now, const Loaded& loaded, CoordinatorOutbox& outbox) {
    TakeLoaded(state_, link, now, loaded, outbox);
  }

  void Take(WorkerLink& link, Micros now, const Connected& connected, CoordinatorOutbox& outbox) {
    TakeConnected(state_, link, now, connected, outbox);
  }

  void Take(WorkerLink&, Micros, const RecorderTold&, CoordinatorOutbox&) {}  // the edge's

  void Take(WorkerLink& link, Micros now, const LeaveAsked&, CoordinatorOutbox& outbox) {
    TakeLeave(state_, link, now, outbox);
  }

  CoordinatorState state_;
  SnapshotTaker snapshots_;
  bool members_changed_ = true;  // since the last snapshot
};

CoordinatorCore::CoordinatorCore(const CoordinatorConfig& config, Model model, const Text* text)
    : impl_(std::make_unique<Impl>(config, std::move(model), text)) {}
CoordinatorCore::~CoordinatorCore() = default;

void CoordinatorCore::Handle(const CoordinatorEvent& event, CoordinatorOutbox& outbox) {
  if (MayChangeMembers(event)) impl_->NoteMembersChanged();
  std::visit(
      [&](const auto& happened) {
        impl_->On(happened, outbox);
        impl_->Proceed(happened.now, outbox);
      },
      event);
}

std::shared_ptr<const ClusterSnapshot> CoordinatorCore::Snapshot(Micros now) {
  return impl_->Snapshot(now);
}

ClusterStatus CoordinatorCore::Status(Micros now) const {
  SnapshotTaker taker;
  return StatusFrom(*taker.Take(impl_->state(), now, true), now, ExpertLists::kInclude);
}

bool CoordinatorCore::ready() const { return IsReady(impl_->state()); }
void CoordinatorCore::CheckInvariants() const { Audit(impl_->state()); }

}  // namespace conclave
