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
  Json object = {{"epoch", cluster.epoch()}, {"ready", cluster.ready()}};
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
  object["last_epoch_change"] = {{"cause", cluster.last_epoch_change().cause()},
                                 {"ms", cluster.last_epoch_change().ms()}};
  object["steps"] = cluster.steps();
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
  std::string text = absl::StrFormat(
      "%s  %s, epoch %d (%s, %.1f ms)  %d running, %d waiting, %d steps\n", cluster.model().name(),
      cluster.ready() ? "ready" : "NOT READY", cluster.epoch(), cluster.last_epoch_change().cause(),
      cluster.last_epoch_change().ms(), cluster.requests().running(), cluster.requests().waiting(),
      cluster.steps());
  if (!cluster.ready()) absl::StrAppend(&text, "  ", cluster.not_ready_because(), "\n");
  absl::StrAppendFormat(&text, "%4s  %-6s  %-8s  %7s  %12s  %13s  %8s  %-8s  %-8s  %s\n", "slot",
                        "role", "state", "experts", "expert rows", "kv blocks", "MiB", "kernels",
                        "exchange", "address");
  for (const v1::WorkerSummary& worker : cluster.workers()) {
    absl::StrAppendFormat(
        &text, "%4d  %-6s  %-8s  %7d  %12d  %13s  %8d  %-8s  %-8s  %s\n", worker.slot(),
        worker.role(), worker.state(), worker.experts(), worker.expert_rows(),
        absl::StrCat(worker.kv_blocks_used(), "/", worker.kv_blocks_total()),
        worker.rss_bytes() >> 20, worker.kernels(), worker.exchange(), worker.address());
    absl::StrAppend(&text, ExpertsText(worker));
  }
  return text;
}

}  // namespace conclave
