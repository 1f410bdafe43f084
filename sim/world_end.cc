// What must be true of the cluster as a whole: now and then, and when it is at rest.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/world.h"

namespace conclave::sim {

void World::CheckNow() {
  const ClusterStatus status = core_->Status(schedule_.now());
  const CoordinatorConfig& config = args_.options.coordinator;
  if (status.requests_running > config.running_max) {
    complaints_.Add(absl::StrCat(status.requests_running, " requests run"));
  }
  // Those that were put down again wait above the limit.
  if (status.requests_waiting > config.waiting_max + config.running_max) {
    complaints_.Add(absl::StrCat(status.requests_waiting, " requests wait"));
  }
  for (const WorkerStatus& worker : status.workers) {
    if (worker.kv_blocks_used < 0 || worker.kv_blocks_cached < 0 ||
        worker.kv_blocks_used + worker.kv_blocks_cached > worker.kv_blocks_total) {
      complaints_.Add(absl::StrCat("slot ", worker.slot.value, " has ", worker.kv_blocks_used,
                                   " + ", worker.kv_blocks_cached, " of ", worker.kv_blocks_total,
                                   " blocks"));
    }
  }
}

// An epoch may still be forming when the last stream has ended.
bool World::Settled() const {
  return core_->ready() || schedule_.now() > args_.options.time_max / 2;
}

void World::CheckTheEnd() {
  const ClusterStatus status = core_->Status(schedule_.now());
  if (!status.ready) complaints_.Add("not ready: " + status.not_ready_because);
  if (status.requests_running != 0 || status.requests_waiting != 0 || !live_.empty()) {
    complaints_.Add(absl::StrCat(status.requests_running, " requests still run, ",
                                 status.requests_waiting, " wait"));
  }
  const auto alive = static_cast<std::size_t>(
      std::ranges::count_if(links_, [](const auto& link) { return link->node->alive(); }));
  if (status.workers.size() != alive) {
    complaints_.Add(absl::StrCat(status.workers.size(), " workers, ", alive, " are alive"));
  }
  std::set<std::pair<std::size_t, int>> owned;
  for (const WorkerStatus& worker : status.workers) {
    if (worker.kv_blocks_used != 0) {
      complaints_.Add(absl::StrCat("slot ", worker.slot.value, " still holds ",
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
    complaints_.Add(absl::StrCat(owned.size(), " of ", experts, " experts have an owner"));
  }
  std::uint64_t endings = 0;
  for (const std::uint64_t count : status.endings) endings += count;
  if (endings != clients_.size()) {
    complaints_.Add(absl::StrCat(endings, " endings of ", clients_.size(), " requests"));
  }
}

Report World::Conclude() {
  const ClusterStatus status = core_->Status(schedule_.now());
  history_.Note(schedule_.now(), "end", static_cast<std::int64_t>(status.steps), "");
  return {.failures = complaints_.list(),
          .digest = history_.digest(),
          .steps = status.steps,
          .events = history_.events(),
          .faults = faults_,
          .tokens = status.emitted_tokens,
          .preemptions = status.preemptions,
          .cached_tokens = status.cached_prompt_tokens,
          .endings = status.endings,
          .virtual_time = schedule_.now()};
}

}  // namespace conclave::sim
