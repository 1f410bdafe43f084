#include "coordinator/stats.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/change_status.h"
#include "coordinator/watch.h"

namespace conclave {
namespace {

constexpr Micros kRateWindow = 1'000'000;
constexpr double kSuspectPart = 0.5;  // of the limit at which it would go

struct Standing {
  std::string state, why;
};

Standing StandingOf(const CoordinatorState& state, const WorkerLink& link,
                    std::span<const Suspect> suspects, Micros now) {
  if (!link.member) {
    const Reconfig& reconfig = state.reconfig;
    if (!reconfig.given_up.empty()) return {"joining", reconfig.given_up};
    const bool changing = reconfig.staged() != nullptr || reconfig.preparing();
    return {"joining", changing ? "" : reconfig.not_ready_because};
  }
  const auto suspect = std::ranges::find(suspects, link.slot, &Suspect::slot);
  if (suspect != suspects.end()) return {"suspect", suspect->why};
  const Micros silent = now - std::max(link.heard, state.listening_since);
  if (silent > state.config.heartbeat_limit / 2) {
    return {"suspect", absl::StrCat("silent for ", silent / 1000, " ms")};
  }
  if (link.draining && !link.drain_blocked_by.empty()) {
    return {"active", absl::StrCat("cannot leave yet: ", link.drain_blocked_by)};
  }
  if (link.draining) return {"draining", state.reconfig.given_up};
  return {"active", ""};
}

WorkerDescription Describe(const WorkerLink& link) {
  const Hello& hello = link.hello;
  return {.link = link.id,
          .slot = link.slot,
          .uuid = hello.uuid,
          .role = hello.role,
          .address = hello.address,
          .kernels = hello.kernels,
          .kv_dtype = hello.kv_dtype,
          .exchange = hello.exchange,
          .kv_blocks_total = hello.role == Role::kWorker ? hello.kv_blocks : 0};
}

WorkerSnapshot WorkerOf(const CoordinatorState& state, const WorkerLink& link, Standing standing) {
  WorkerSnapshot worker{.description = nullptr,
                        .state = std::move(standing.state),
                        .why = std::move(standing.why),
                        .member = link.member};
  worker.expert_bytes = link.expert_bytes;
  worker.rss_bytes = link.heartbeat.rss_bytes;
  if (!link.member) return worker;
  const Home& home = state.HomeAt(link.slot);
  worker.kv_blocks_used = home.blocks.held();
  worker.kv_blocks_cached = home.blocks.cached();
  worker.rows_per_second = home.rows_per_second;
  worker.expert_rows = home.expert_rows;
  return worker;
}

void CopyCounters(const CoordinatorState& state, ClusterSnapshot& snapshot) {
  const Totals& totals = state.totals;
  snapshot.epoch = state.epoch;
  snapshot.ready = IsReady(state);
  snapshot.requests_running = static_cast<int>(state.requests.running().size());
  snapshot.requests_waiting = static_cast<int>(state.requests.waiting().size());
  for (const Slot slot : state.live) {
    const Home* home = state.homes[static_cast<std::size_t>(slot.value)].get();
    if (home == nullptr) continue;  // it was lost, and the next epoch is not made yet
    snapshot.kv_blocks_used += home->blocks.held();
    snapshot.kv_blocks_total += home->blocks.total();
  }
  snapshot.steps = totals.steps;
  snapshot.prompt_tokens = totals.prompt_tokens;
  snapshot.cached_prompt_tokens = totals.cached_prompt_tokens;
  snapshot.emitted_tokens = totals.emitted_tokens;
  snapshot.preemptions = totals.preemptions;
  snapshot.resumed = totals.resumed;
  snapshot.attached = totals.attached;
  snapshot.bytes_sent = totals.bytes_sent;
  snapshot.bytes_received = totals.bytes_received;
  snapshot.bad_router_rows = totals.bad_router_rows;
  snapshot.endings = totals.endings;
  snapshot.phases = totals.phases;
  snapshot.changes = state.reconfig.changes;
  snapshot.pauses = state.reconfig.pauses;
  snapshot.last_epoch_micros = state.reconfig.last_epoch_micros;
}

}  // namespace

std::shared_ptr<const ClusterSnapshot> SnapshotTaker::Take(const CoordinatorState& state,
                                                           Micros now, bool members_changed) {
  if (model_ == nullptr) model_ = std::make_shared<const ModelFacts>(state.model.facts);
  if (recent_ == nullptr || epoch_ != state.epoch) {
    epoch_ = state.epoch;
    recent_ = std::make_shared<const std::vector<EpochChange>>(state.reconfig.recent);
  }
  const Reconfig& reconfig = state.reconfig;
  const StagedReconfiguration* staged = reconfig.staged();
  const MembersKey key = {.epoch = state.epoch,
                          .state = reconfig.state.index(),
                          .stage = staged == nullptr ? -1 : static_cast<int>(staged->stage),
                          .may_plan = reconfig.MayPlan(),
                          .ready = IsReady(state),
                          .links = state.membership.links().size()};
  if (members_ == nullptr || members_changed || key != key_) {
    key_ = key;
    TakeMembers(state, now);
  }
  const Totals& totals = state.totals;
  const bool rows_are_old = expert_rows_in_all_ != totals.expert_rows_in_all &&
                            now - expert_rows_taken_ >= kExpertRowsAge;
  if (expert_rows_ == nullptr || rows_are_old) {
    expert_rows_ = std::make_shared<const std::vector<std::uint64_t>>(totals.expert_rows);
    expert_rows_in_all_ = totals.expert_rows_in_all;
    expert_rows_taken_ = now;
  }
  auto snapshot = std::make_shared<ClusterSnapshot>();
  snapshot->taken = now;
  CopyCounters(state, *snapshot);
  snapshot->model = model_;
  snapshot->members = members_;
  snapshot->recent = recent_;
  snapshot->placement = state.placement;
  snapshot->expert_rows = expert_rows_;
  return snapshot;
}

void SnapshotTaker::TakeMembers(const CoordinatorState& state, Micros now) {
  auto members = std::make_shared<MembersSnapshot>();
  members->taken = now;
  members->not_ready_because = state.reconfig.not_ready_because;
  const std::vector<Suspect> suspects = SuspectsNow(state, now, kSuspectPart);
  const std::vector<const WorkerLink*> greeted = state.membership.Greeted();
  members->workers.reserve(greeted.size());
  for (const WorkerLink* link : greeted) {
    auto& description = descriptions_[static_cast<std::size_t>(link->slot.value)];
    if (description == nullptr || description->link != link->id) {
      description = std::make_shared<const WorkerDescription>(Describe(*link));
    }
    WorkerSnapshot worker = WorkerOf(state, *link, StandingOf(state, *link, suspects, now));
    worker.description = description;
    members->workers.push_back(std::move(worker));
  }
  members->change = ChangeStatusOf(state, now);
  members->change_given_up = state.reconfig.given_up;
  members->change_retry_at = state.reconfig.retry_at;
  members_ = std::move(members);
}

bool IsReady(const CoordinatorState& state) {
  // The placement was complete when it was committed; experts_lost says that it is so no more.
  return state.epoch.number > 0 && !state.reconfig.gathering() && !state.reconfig.experts_lost;
}

void SampleRates(CoordinatorState& state, Micros now) {
  const Micros since = now - state.rates_since;
  if (since < kRateWindow) return;
  state.rates_since = now;
  for (const Slot slot : state.live) {
    Home& home = state.HomeAt(slot);
    home.rows_per_second =
        static_cast<double>(home.rows - home.rows_sampled) * 1e6 / static_cast<double>(since);
    home.rows_sampled = home.rows;
  }
}

}  // namespace conclave
