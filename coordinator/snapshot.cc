#include "coordinator/snapshot.h"

#include <algorithm>

namespace conclave {
namespace {

WorkerStatus StatusFrom(const WorkerSnapshot& worker) {
  const WorkerDescription& about = *worker.description;
  return {.slot = about.slot,
          .uuid = about.uuid,
          .role = about.role,
          .state = worker.state,
          .why = worker.why,
          .address = about.address,
          .kernels = about.kernels,
          .kv_dtype = about.kv_dtype,
          .exchange = about.exchange,
          .experts = 0,
          .expert_bytes = worker.expert_bytes,
          .kv_blocks_used = worker.kv_blocks_used,
          .kv_blocks_cached = worker.kv_blocks_cached,
          .kv_blocks_total = about.kv_blocks_total,
          .rows_per_second = worker.rows_per_second,
          .rss_bytes = worker.rss_bytes,
          .expert_rows = worker.expert_rows,
          .experts_by_layer = {}};
}

// The experts that a member owns.
void AddExperts(const Placement& placement, ExpertLists lists, WorkerStatus& worker) {
  worker.experts = placement.CountOwnedBy(worker.slot);
  if (lists == ExpertLists::kOmit) return;
  for (int layer = 0; layer < placement.moe_layers(); ++layer) {
    const auto owned = placement.OwnedBy(layer, worker.slot);
    worker.experts_by_layer.emplace_back(owned.begin(), owned.end());
  }
}

}  // namespace

ClusterStatus StatusFrom(const ClusterSnapshot& snapshot, Micros now, ExpertLists lists) {
  const MembersSnapshot& members = *snapshot.members;
  ClusterStatus status{.epoch = snapshot.epoch,
                       .ready = snapshot.ready,
                       .not_ready_because = members.not_ready_because,
                       .model = *snapshot.model};
  for (const WorkerSnapshot& worker : members.workers) {
    status.workers.push_back(StatusFrom(worker));
    if (worker.member) AddExperts(snapshot.placement, lists, status.workers.back());
  }
  status.requests_running = snapshot.requests_running;
  status.requests_waiting = snapshot.requests_waiting;
  if (!snapshot.recent->empty()) status.last_epoch_cause = snapshot.recent->back().cause;
  status.last_epoch_micros = snapshot.last_epoch_micros;
  status.change = members.change;
  if (!status.change.stage.empty()) status.change.since += now - members.taken;
  status.change_given_up = members.change_given_up;
  if (!members.change_given_up.empty()) {
    status.change_retry_in = std::max<Micros>(0, members.change_retry_at - now);
  }
  status.recent = *snapshot.recent;
  status.changes = snapshot.changes;
  status.pauses = snapshot.pauses;
  status.steps = snapshot.steps;
  status.prompt_tokens = snapshot.prompt_tokens;
  status.cached_prompt_tokens = snapshot.cached_prompt_tokens;
  status.emitted_tokens = snapshot.emitted_tokens;
  status.preemptions = snapshot.preemptions;
  status.resumed = snapshot.resumed;
  status.attached = snapshot.attached;
  status.endings.assign(snapshot.endings.begin(), snapshot.endings.end());
  status.phases.assign(snapshot.phases.begin(), snapshot.phases.end());
  status.bytes_sent = snapshot.bytes_sent;
  status.bytes_received = snapshot.bytes_received;
  status.bad_router_rows = snapshot.bad_router_rows;
  status.expert_rows = *snapshot.expert_rows;
  return status;
}

}  // namespace conclave
