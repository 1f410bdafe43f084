#include "coordinator/stats.h"

#include <algorithm>
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

WorkerStatus WorkerStatusOf(const CoordinatorState& state, const WorkerLink& link,
                            Standing standing) {
  WorkerStatus status{.slot = link.slot,
                      .uuid = link.hello.uuid,
                      .role = link.hello.role,
                      .state = std::move(standing.state),
                      .why = std::move(standing.why),
                      .address = link.hello.address,
                      .kernels = link.hello.kernels,
                      .kv_dtype = link.hello.kv_dtype,
                      .exchange = link.hello.exchange};
  status.expert_bytes = link.expert_bytes;
  status.rss_bytes = link.heartbeat.rss_bytes;
  status.kv_blocks_total = link.hello.role == Role::kWorker ? link.hello.kv_blocks : 0;
  if (!link.member) return status;
  const Home& home = *state.homes[static_cast<std::size_t>(link.slot.value)];
  status.kv_blocks_used = home.blocks.held();
  status.kv_blocks_cached = home.blocks.cached();
  status.rows_per_second = home.rows_per_second;
  status.expert_rows = home.expert_rows;
  for (int layer = 0; layer < state.placement.moe_layers(); ++layer) {
    const auto owned = state.placement.OwnedBy(layer, link.slot);
    status.experts_by_layer.emplace_back(owned.begin(), owned.end());
  }
  status.experts = state.placement.CountOwnedBy(link.slot);
  return status;
}

}  // namespace

ClusterStatus StatusOf(const CoordinatorState& state, Micros now) {
  ClusterStatus status{.epoch = state.epoch,
                       .ready = IsReady(state),
                       .not_ready_because = state.reconfig.not_ready_because,
                       .model = state.model.facts};
  const std::vector<Suspect> suspects = SuspectsNow(state, now, kSuspectPart);
  for (const WorkerLink* link : state.membership.Greeted()) {
    status.workers.push_back(WorkerStatusOf(state, *link, StandingOf(state, *link, suspects, now)));
  }
  status.requests_running = static_cast<int>(state.requests.running().size());
  status.requests_waiting = static_cast<int>(state.requests.waiting().size());
  const Reconfig& reconfig = state.reconfig;
  status.last_epoch_cause = reconfig.last_epoch_cause;
  status.last_epoch_micros = reconfig.last_epoch_micros;
  status.change = ChangeStatusOf(state, now);
  status.change_given_up = reconfig.given_up;
  if (!reconfig.given_up.empty()) {
    status.change_retry_in = std::max<Micros>(0, reconfig.retry_at - now);
  }
  status.recent = reconfig.recent;
  status.changes = reconfig.changes;
  status.pauses = reconfig.pauses;
  const Totals& totals = state.totals;
  status.steps = totals.steps;
  status.prompt_tokens = totals.prompt_tokens;
  status.cached_prompt_tokens = totals.cached_prompt_tokens;
  status.emitted_tokens = totals.emitted_tokens;
  status.preemptions = totals.preemptions;
  status.resumed = totals.resumed;
  status.attached = totals.attached;
  status.endings.assign(totals.endings.begin(), totals.endings.end());
  status.phases.assign(totals.phases.begin(), totals.phases.end());
  status.bytes_sent = totals.bytes_sent;
  status.bytes_received = totals.bytes_received;
  status.bad_router_rows = totals.bad_router_rows;
  status.expert_rows = totals.expert_rows;
  return status;
}

bool IsReady(const CoordinatorState& state) {
  return state.epoch.number > 0 && !state.reconfig.gathering() && !state.reconfig.experts_lost &&
         state.placement.Complete();
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
