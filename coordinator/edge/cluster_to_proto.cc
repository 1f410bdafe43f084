// The cluster's state, as operators read it.
#include <iterator>

#include "coordinator/edge/translate.h"

namespace conclave {
namespace {

double Ms(Micros micros) { return static_cast<double>(micros) / 1e3; }

const char* NameOf(ChangeKind kind) { return kChangeKindNames[static_cast<std::size_t>(kind)]; }

void Fill(const WorkerStatus& from, const ClusterStatus& status, bool with_experts,
          v1::WorkerSummary& to) {
  to.set_slot(from.slot.value);
  to.set_uuid(from.uuid);
  to.set_role(from.role == Role::kExpert ? "expert" : "worker");
  to.set_state(from.state);
  to.set_why(from.why);
  to.set_address(from.address);
  to.set_experts(from.experts);
  to.set_expert_bytes(from.expert_bytes);
  to.set_kv_blocks_used(from.kv_blocks_used);
  to.set_kv_blocks_cached(from.kv_blocks_cached);
  to.set_kv_blocks_total(from.kv_blocks_total);
  to.set_rows_per_second(from.rows_per_second);
  to.set_rss_bytes(from.rss_bytes);
  to.set_expert_rows(from.expert_rows);
  to.set_kernels(from.kernels);
  to.set_exchange(from.exchange);
  if (!with_experts) return;
  const std::size_t experts = static_cast<std::size_t>(status.model.experts);
  for (std::size_t layer = 0; layer < from.experts_by_layer.size(); ++layer) {
    v1::LayerExperts& entry = *to.add_layers();
    for (const std::uint16_t id : from.experts_by_layer[layer]) {
      const std::size_t at = layer * experts + id;
      entry.add_ids(id);
      entry.add_rows(at < status.expert_rows.size() ? status.expert_rows[at] : 0);
    }
  }
}

void Fill(const EpochChange& from, Micros now, v1::EpochChange& to) {
  to.set_cause(from.cause);
  to.set_ms(Ms(from.total));
  to.set_epoch(from.epoch.number);
  to.set_kind(NameOf(from.kind));
  to.set_pause_ms(Ms(from.pause));
  to.set_ago_ms(Ms(now - from.at));
}

void FillChanges(const ClusterStatus& status, Micros now, v1::GetClusterResponse& response) {
  for (const EpochChange& change : status.recent) {
    Fill(change, now, *response.add_recent_epoch_changes());
  }
  v1::EpochChange& last = *response.mutable_last_epoch_change();
  if (!status.recent.empty()) Fill(status.recent.back(), now, last);
  last.set_cause(status.last_epoch_cause);
  last.set_ms(Ms(status.last_epoch_micros));
  if (!status.change.stage.empty()) {
    v1::ChangeUnderWay& change = *response.mutable_change_under_way();
    change.set_stage(status.change.stage);
    change.set_epoch(status.change.epoch.number);
    change.set_kind(NameOf(status.change.kind));
    change.set_cause(status.change.cause);
    change.set_since_ms(Ms(status.change.since));
    for (const Slot slot : status.change.waiting_for) change.add_waiting_for(slot.value);
  }
  response.set_change_given_up(status.change_given_up);
  response.set_change_retry_in_ms(Ms(status.change_retry_in));
}

}  // namespace

v1::GetClusterResponse ToProto(const ClusterStatus& status, Micros now, bool with_experts) {
  v1::GetClusterResponse response;
  response.set_epoch(status.epoch.number);
  response.set_term(status.epoch.term);
  response.set_ready(status.ready);
  response.set_not_ready_because(status.not_ready_because);
  v1::ModelSummary& model = *response.mutable_model();
  model.set_name(status.model.name);
  model.set_identity(status.model.identity);
  model.set_vocab_size(status.model.vocab);
  model.set_context(status.model.context);
  model.set_moe_layers(status.model.moe_layers);
  model.set_experts(status.model.experts);
  model.set_experts_per_token(status.model.topk);
  for (const WorkerStatus& worker : status.workers) {
    Fill(worker, status, with_experts, *response.add_workers());
  }
  response.mutable_requests()->set_running(status.requests_running);
  response.mutable_requests()->set_waiting(status.requests_waiting);
  FillChanges(status, now, response);
  for (std::size_t i = 0; i < status.phases.size() && i < std::size(kPhaseNames); ++i) {
    v1::PhaseSummary& phase = *response.add_phases();
    phase.set_name(kPhaseNames[i]);
    phase.set_micros(status.phases[i].micros);
    phase.set_bytes(status.phases[i].bytes);
    phase.set_ops(status.phases[i].ops);
  }
  response.set_steps(status.steps);
  response.set_exchange_sent_bytes(status.bytes_sent);
  response.set_exchange_received_bytes(status.bytes_received);
  response.set_bad_router_rows(status.bad_router_rows);
  return response;
}

}  // namespace conclave
