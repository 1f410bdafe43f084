// What must be true of the cluster as a whole: now and then, and when it is at rest.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/world.h"

namespace conclave::sim {

void World::CheckNow() {
  if (core_ == nullptr) return;
  const ClusterStatus status = core_->Status(schedule_.now());
  const CoordinatorConfig& config = args_.options.coordinator;
  const int running_max = config.running_max * static_cast<int>(args_.options.nodes.size());
  if (status.requests_running > running_max) {
    complaints_.Add(absl::StrCat("[bounds] ", status.requests_running, " requests run"));
  }
  // Those that were put down again wait above the limit.
  if (status.requests_waiting > config.waiting_max + running_max) {
    complaints_.Add(absl::StrCat("[bounds] ", status.requests_waiting, " requests wait"));
  }
  for (const WorkerStatus& worker : status.workers) {
    if (worker.kv_blocks_used < 0 || worker.kv_blocks_cached < 0 ||
        worker.kv_blocks_used + worker.kv_blocks_cached > worker.kv_blocks_total) {
      complaints_.Add(absl::StrCat("[conservation] slot ", worker.slot.value, " has ",
                                   worker.kv_blocks_used, " + ", worker.kv_blocks_cached, " of ",
                                   worker.kv_blocks_total, " blocks"));
    }
  }
}

// While others get tokens, everybody does in the end.
void World::CheckStuck() {
  const Micros patience = args_.options.stuck_after;
  for (const Client& client : clients_) {
    if (client.ending.has_value() || !client.connected) continue;
    if (token_last_ < client.progress + patience || live_.count(client.request) == 0) continue;
    complaints_.Add(absl::StrCat("[stuck] ", client.plan->ask.id, " has had nothing for ",
                                 schedule_.now() - client.progress, " us; others go on"));
  }
}

std::size_t World::Alive() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      seats_, [](const Seat& seat) { return seat.node != nullptr && seat.node->alive(); }));
}

// An epoch may still be forming when the last stream has ended.
bool World::Settled() const {
  if (core_ == nullptr || !core_->ready()) return false;
  const bool moving = std::ranges::any_of(
      seats_, [](const Seat& seat) { return !seat.over && (seat.leaving || seat.starting > 0); });
  if (moving) return false;
  const ClusterStatus status = core_->Status(schedule_.now());
  return status.workers.size() == Alive() &&
         std::ranges::all_of(status.workers,
                             [](const WorkerStatus& worker) { return worker.state == "active"; });
}

void World::CheckTheEnd() {
  const ClusterStatus status = core_->Status(schedule_.now());
  if (!status.ready) complaints_.Add("[liveness] not ready: " + status.not_ready_because);
  if (status.requests_running != 0 || status.requests_waiting != 0 || !unended_.empty()) {
    complaints_.Add(absl::StrCat("[conservation] ", status.requests_running,
                                 " requests still run, ", status.requests_waiting, " wait"));
  }
  if (status.workers.size() != Alive()) {
    complaints_.Add(
        absl::StrCat("[liveness] ", status.workers.size(), " workers, ", Alive(), " are alive"));
  }
  std::set<std::pair<std::size_t, int>> owned;
  for (const WorkerStatus& worker : status.workers) {
    if (worker.state != "active") {
      complaints_.Add(
          absl::StrCat("[liveness] slot ", worker.slot.value, " is still ", worker.state));
    }
    if (worker.kv_blocks_used != 0) {
      complaints_.Add(absl::StrCat("[conservation] slot ", worker.slot.value, " still holds ",
                                   worker.kv_blocks_used, " blocks"));
    }
    for (std::size_t layer = 0; layer < worker.experts_by_layer.size(); ++layer) {
      for (const std::uint16_t expert : worker.experts_by_layer[layer]) {
        owned.emplace(layer, expert);
      }
    }
  }
  const auto experts =
      static_cast<std::size_t>(args_.toy.config.moe_layers * args_.toy.config.experts);
  if (owned.size() != experts) {
    complaints_.Add(
        absl::StrCat("[ownership] ", owned.size(), " of ", experts, " experts have an owner"));
  }
  std::uint64_t endings = 0;
  for (const std::uint64_t count : status.endings) endings += count;
  if (endings != endings_) {
    complaints_.Add(absl::StrCat("[endings] ", endings, " counted, ", endings_, " sent"));
  }
  if (!admin_tickets_.empty()) complaints_.Add("[endings] an operator got no answer");
  for (const Seat& seat : seats_) {
    if (seat.leaving && !seat.over) complaints_.Add("[drain] one who asked has not left");
  }
}

Report World::Conclude() {
  if (core_ != nullptr) {
    const ClusterStatus status = core_->Status(schedule_.now());
    report_.steps += status.steps;
    report_.tokens += status.emitted_tokens;
    report_.preemptions += status.preemptions;
    report_.cached_tokens += status.cached_prompt_tokens;
  }
  report_.steps_in_rounds = plans_.steps_in_rounds();
  history_.Note(schedule_.now(), "end", static_cast<std::int64_t>(report_.steps), "");
  report_.failures = complaints_.list();
  report_.digest = history_.digest();
  report_.events = history_.events();
  report_.virtual_time = schedule_.now();
  return report_;
}

}  // namespace conclave::sim
