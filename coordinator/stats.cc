#include "coordinator/stats.h"

#include <algorithm>

namespace conclave {
namespace {

constexpr Micros kRateWindow = 1'000'000;

std::string StateOf(const CoordinatorState& state, const WorkerLink& link, Micros now) {
  if (link.draining) return "draining";
  if (!link.member) return "joining";
  if (now - link.heard > state.config.heartbeat_limit / 2) return "suspect";
  return "active";
}

WorkerStatus WorkerStatusOf(const CoordinatorState& state, const WorkerLink& link, Micros now) {
  WorkerStatus status{.slot = link.slot,
                      .uuid = link.hello.uuid,
                      .role = link.hello.role,
                      .state = StateOf(state, link, now),
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
    status.experts_by_layer.push_back(state.placement.OwnedBy(layer, link.slot));
    status.experts += static_cast<int>(status.experts_by_layer.back().size());
  }
  return status;
}

}  // namespace

ClusterStatus StatusOf(const CoordinatorState& state, Micros now) {
  ClusterStatus status{.epoch = state.epoch,
                       .ready = IsReady(state),
                       .not_ready_because = state.not_ready_because,
                       .model = state.model.facts};
  for (const auto& [id, link] : state.membership.links()) {
    if (link.greeted) status.workers.push_back(WorkerStatusOf(state, link, now));
  }
  std::ranges::sort(status.workers, std::less{}, &WorkerStatus::slot);
  status.requests_running = static_cast<int>(state.requests.running().size());
  status.requests_waiting = static_cast<int>(state.requests.waiting().size());
  status.last_epoch_cause = state.last_epoch_cause;
  status.last_epoch_micros = state.last_epoch_micros;
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
  status.exchange_bytes = totals.exchange_bytes;
  status.expert_rows = totals.expert_rows;
  return status;
}

bool IsReady(const CoordinatorState& state) {
  return state.epoch.value > 0 && state.phase != ServicePhase::kGathering && !state.owners_lost &&
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
