#include "cli/status_text.h"

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

Json WorkerJson(const v1::WorkerSummary& worker) {
  Json object = {{"slot", worker.slot()},
                 {"uuid", worker.uuid()},
                 {"role", worker.role()},
                 {"state", worker.state()},
                 {"why", worker.why()},
                 {"address", worker.address()},
                 {"experts", worker.experts()},
                 {"expert_bytes", worker.expert_bytes()},
                 {"expert_rows", worker.expert_rows()},
                 {"kv_blocks_used", worker.kv_blocks_used()},
                 {"kv_blocks_cached", worker.kv_blocks_cached()},
                 {"kv_blocks_total", worker.kv_blocks_total()},
                 {"rows_per_second", worker.rows_per_second()},
                 {"rss_bytes", worker.rss_bytes()},
                 {"kernels", worker.kernels()},
                 {"exchange", worker.exchange()}};
  if (worker.layers_size() == 0) return object;
  Json layers = Json::array();
  for (const v1::LayerExperts& layer : worker.layers()) {
    layers.push_back(
        {{"ids", std::vector<std::int32_t>(layer.ids().begin(), layer.ids().end())},
         {"rows", std::vector<std::uint64_t>(layer.rows().begin(), layer.rows().end())}});
  }
  object["layers"] = std::move(layers);
  return object;
}

Json ChangeJson(const v1::EpochChange& change) {
  return {{"cause", change.cause()}, {"ms", change.ms()},       {"pause_ms", change.pause_ms()},
          {"kind", change.kind()},   {"epoch", change.epoch()}, {"ago_ms", change.ago_ms()}};
}

Json UnderWayJson(const v1::GetClusterResponse& cluster) {
  if (!cluster.has_change_under_way()) return nullptr;
  const v1::ChangeUnderWay& change = cluster.change_under_way();
  return {{"stage", change.stage()},
          {"epoch", change.epoch()},
          {"kind", change.kind()},
          {"cause", change.cause()},
          {"since_ms", change.since_ms()},
          {"waiting_for",
           std::vector<std::int32_t>(change.waiting_for().begin(), change.waiting_for().end())}};
}

// What changes now, what could not, and what changed lately, newest first.
std::string ChangesText(const v1::GetClusterResponse& cluster) {
  constexpr int kShown = 5;
  std::string text;
  if (cluster.has_change_under_way()) {
    const v1::ChangeUnderWay& change = cluster.change_under_way();
    absl::StrAppendFormat(&text, "  epoch %d is being made (%s): %s for %.1f s", change.epoch(),
                          change.cause(), change.stage(), change.since_ms() / 1e3);
    if (change.waiting_for_size() > 0) {
      const auto& slots = change.waiting_for();
      absl::StrAppend(&text, ", waiting for slot ", Ranges({slots.begin(), slots.end()}));
    }
    text += "\n";
  }
  if (!cluster.change_given_up().empty()) {
    absl::StrAppendFormat(&text, "  a change was given up, again in %.1f s: %s\n",
                          cluster.change_retry_in_ms() / 1e3, cluster.change_given_up());
  }
  const int count = cluster.recent_epoch_changes_size();
  for (int i = count - 1; i >= 0 && i >= count - kShown; --i) {
    const v1::EpochChange& change = cluster.recent_epoch_changes(i);
    absl::StrAppendFormat(&text, "  epoch %d, %.0f s ago: %s: %s; %.1f ms, paused %.1f ms\n",
                          change.epoch(), change.ago_ms() / 1e3, change.kind(), change.cause(),
                          change.ms(), change.pause_ms());
  }
  return text;
}

// Layers with the same experts share a line.
std::string ExpertsText(const v1::WorkerSummary& worker) {
  std::map<std::string, std::vector<std::int32_t>> layers_of;
  for (int i = 0; i < worker.layers_size(); ++i) {
    const auto& ids = worker.layers(i).ids();
    layers_of[Ranges({ids.begin(), ids.end()})].push_back(i);
  }
  std::string text;
  for (const auto& [experts, layers] : layers_of) {
    const bool all = layers_of.size() == 1;
    const std::string where = all ? "every layer" : absl::StrCat("MoE layer ", Ranges(layers));
    absl::StrAppend(&text, "        ", where, ": experts ", experts, "\n");
  }
  return text;
}

}  // namespace

std::string Ranges(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t end = i;
    while (end + 1 < ids.size() && ids[end + 1] == ids[end] + 1) ++end;
    absl::StrAppend(&text, text.empty() ? "" : ",", ids[i]);
    if (end > i) absl::StrAppend(&text, "-", ids[end]);
    i = end + 1;
  }
  return text.empty() ? "none" : text;
}

std::string StatusJson(const v1::GetClusterResponse& cluster) {
  const v1::ModelSummary& model = cluster.model();
  Json object = {
      {"epoch", cluster.epoch()}, {"term", cluster.term()}, {"ready", cluster.ready()}};
  if (!cluster.not_ready_because().empty()) {
    object["not_ready_because"] = cluster.not_ready_because();
  }
  object["model"] = {{"name", model.name()},
                     {"identity", absl::StrFormat("%016x", model.identity())},
                     {"vocab_size", model.vocab_size()},
                     {"context", model.context()},
                     {"moe_layers", model.moe_layers()},
                     {"experts", model.experts()},
                     {"experts_per_token", model.experts_per_token()}};
  object["workers"] = Json::array();
  for (const v1::WorkerSummary& worker : cluster.workers()) {
    object["workers"].push_back(WorkerJson(worker));
  }
  object["requests"] = {{"running", cluster.requests().running()},
                        {"waiting", cluster.requests().waiting()}};
  object["last_epoch_change"] = ChangeJson(cluster.last_epoch_change());
  object["recent_epoch_changes"] = Json::array();
  for (const v1::EpochChange& change : cluster.recent_epoch_changes()) {
    object["recent_epoch_changes"].push_back(ChangeJson(change));
  }
  object["change_under_way"] = UnderWayJson(cluster);
  object["change_given_up"] = cluster.change_given_up();
  object["change_retry_in_ms"] = cluster.change_retry_in_ms();
  object["steps"] = cluster.steps();
  object["exchange"] = {{"sent_bytes", cluster.exchange_sent_bytes()},
                        {"received_bytes", cluster.exchange_received_bytes()}};
  object["bad_router_rows"] = cluster.bad_router_rows();
  object["phases"] = Json::array();
  for (const v1::PhaseSummary& phase : cluster.phases()) {
    object["phases"].push_back({{"name", phase.name()},
                                {"us", phase.micros()},
                                {"bytes", phase.bytes()},
                                {"ops", phase.ops()}});
  }
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string StatusTable(const v1::GetClusterResponse& cluster) {
  const v1::EpochChange& last = cluster.last_epoch_change();
  std::string text = absl::StrFormat("%s  %s, epoch %d", cluster.model().name(),
                                     cluster.ready() ? "ready" : "NOT READY", cluster.epoch());
  if (!last.cause().empty()) {
    absl::StrAppendFormat(&text, " (%s, %.1f ms, paused %.1f ms)", last.cause(), last.ms(),
                          last.pause_ms());
  }
  absl::StrAppendFormat(&text, "  %d running, %d waiting, %d steps\n", cluster.requests().running(),
                        cluster.requests().waiting(), cluster.steps());
  if (!cluster.ready()) absl::StrAppend(&text, "  ", cluster.not_ready_because(), "\n");
  if (cluster.bad_router_rows() > 0) {
    absl::StrAppend(&text, "  WRONG: router logits of ", cluster.bad_router_rows(),
                    " rows were not numbers\n");
  }
  absl::StrAppendFormat(&text, "%4s  %-6s  %-8s  %7s  %12s  %13s  %8s  %-8s  %-8s  %s\n", "slot",
                        "role", "state", "experts", "expert rows", "kv blocks", "MiB", "kernels",
                        "exchange", "address");
  for (const v1::WorkerSummary& worker : cluster.workers()) {
    absl::StrAppendFormat(
        &text, "%4d  %-6s  %-8s  %7d  %12d  %13s  %8d  %-8s  %-8s  %s\n", worker.slot(),
        worker.role(), worker.state(), worker.experts(), worker.expert_rows(),
        absl::StrCat(worker.kv_blocks_used(), "/", worker.kv_blocks_total()),
        worker.rss_bytes() >> 20, worker.kernels(), worker.exchange(), worker.address());
    if (!worker.why().empty()) absl::StrAppend(&text, "        ", worker.why(), "\n");
    absl::StrAppend(&text, ExpertsText(worker));
  }
  return text + ChangesText(cluster);
}

}  // namespace conclave
