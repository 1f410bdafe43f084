#include "model/edge/inspect.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/limits.h"
#include "base/status.h"
#include "model/edge/checkpoint.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

void AddToGroup(const TensorSpec& spec, const TensorView& view,
                std::vector<std::pair<TensorRole, TensorGroup>>& groups) {
  std::vector<std::int64_t> shape(spec.shape.begin(), spec.shape.begin() + spec.rank);
  auto it = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
    return group.first == spec.role && group.second.dtype == view.dtype &&
           group.second.shape == shape;
  });
  if (it == groups.end()) {
    it = groups.insert(groups.end(),
                       {spec.role, TensorGroup{spec.name, std::move(shape), view.dtype, 0, 0}});
  }
  ++it->second.count;
  it->second.bytes += view.bytes();
}

// Experts may differ in type, so bytes are shared out by the average expert.
std::vector<WorkerLoad> LoadsOf(const ModelConfig& config, int workers, std::uint64_t expert_bytes,
                                std::uint64_t shared_bytes) {
  const auto pairs =
      static_cast<std::uint64_t>(config.moe_layers) * static_cast<std::uint64_t>(config.experts);
  const std::uint64_t each = pairs == 0 ? 0 : expert_bytes / pairs;
  std::vector<WorkerLoad> loads;
  for (const int experts : EvenExpertCounts(config, workers)) {
    const std::uint64_t bytes = each * static_cast<std::uint64_t>(experts);
    loads.push_back({experts, bytes, bytes + shared_bytes});
  }
  return loads;
}

Json ConfigOf(const ModelConfig& config) {
  const char* const kinds[] = {"none", "linear", "yarn"};
  return {{"family", config.family == Family::kQwen3Moe ? "qwen3_moe" : "qwen3"},
          {"layers", config.layers.size()},
          {"moe_layers", config.moe_layers},
          {"hidden", config.hidden},
          {"heads", config.heads},
          {"kv_heads", config.kv_heads},
          {"head_dim", config.head_dim},
          {"ffn_width", config.ffn_width},
          {"expert_width", config.expert_width},
          {"experts", config.experts},
          {"topk", config.topk},
          {"norm_topk", config.norm_topk},
          {"vocab", config.vocab},
          {"context", config.context},
          {"rope_theta", config.rope_theta},
          {"rope_scaling", kinds[static_cast<int>(config.rope_scaling.kind)]},
          {"tied_embeddings", config.tied_embeddings},
          {"dtype", NameOf(config.dtype)},
          {"eos_ids", config.eos_ids}};
}

}  // namespace

absl::StatusOr<ModelInspection> InspectModel(const std::string& model_dir, int workers) {
  if (workers < 1 || workers > kSlotsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("workers: ", workers, " is not in 1..", kSlotsMax));
  }
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(model_dir));
  ModelInspection inspection;
  inspection.config = checkpoint.config;
  inspection.params = CountParams(checkpoint.config);
  inspection.identity = checkpoint.identity;
  inspection.bytes = checkpoint.bytes;
  inspection.kv_bytes_per_token = KvBytesPerToken(checkpoint.config, 2);
  std::uint64_t expert_bytes = 0;
  std::vector<std::pair<TensorRole, TensorGroup>> groups;
  for (const TensorSpec& spec : TensorsOf(checkpoint.config)) {
    ASSIGN_OR_RETURN(const TensorView view, checkpoint.tensors->Find(spec.name));
    AddToGroup(spec, view, groups);
    ++inspection.tensors;
    if (spec.expert >= 0) expert_bytes += view.bytes();
  }
  for (auto& [role, group] : groups) inspection.groups.push_back(std::move(group));
  inspection.shared_bytes = checkpoint.bytes - expert_bytes;
  inspection.workers = LoadsOf(checkpoint.config, workers, expert_bytes, inspection.shared_bytes);
  return inspection;
}

std::string InspectJson(const ModelInspection& inspection) {
  Json groups = Json::array();
  for (const TensorGroup& group : inspection.groups) {
    groups.push_back({{"example", group.example},
                      {"shape", group.shape},
                      {"dtype", NameOf(group.dtype)},
                      {"count", group.count},
                      {"bytes", group.bytes}});
  }
  Json workers = Json::array();
  for (const WorkerLoad& load : inspection.workers) {
    workers.push_back(
        {{"experts", load.experts}, {"expert_bytes", load.expert_bytes}, {"bytes", load.bytes}});
  }
  const Json json = {
      {"name", inspection.config.name},
      {"identity",
       absl::StrFormat("%016x", inspection.identity)},  // 64 bits do not survive as a JSON number
      {"config", ConfigOf(inspection.config)},
      {"parameters",
       {{"total", inspection.params.total},
        {"active", inspection.params.active},
        {"experts", inspection.params.experts},
        {"per_expert", inspection.params.per_expert},
        {"shared", inspection.params.shared}}},
      {"tensors", inspection.tensors},
      {"bytes", inspection.bytes},
      {"shared_bytes", inspection.shared_bytes},
      {"kv_bytes_per_token", inspection.kv_bytes_per_token},
      {"groups", groups},
      {"workers", workers}};
  // A directory's name may be any bytes; JSON must be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace conclave
