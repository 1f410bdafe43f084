// `conclave model inspect`: what a model directory holds and what each worker would load.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/params.h"

namespace conclave {

// Tensors of one role, shape and type, counted together: nobody reads a list of 18,867 tensors.
struct TensorGroup {
  std::string example;  // the first one's name
  std::vector<std::int64_t> shape;
  DType dtype = DType::kBf16;
  int count = 0;
  std::uint64_t bytes = 0;  // of all
};

struct WorkerLoad {
  int experts = 0;  // (layer, expert) pairs
  std::uint64_t expert_bytes = 0;
  std::uint64_t bytes = 0;  // with the shared weights: attention, norms, routers, embedding, head
};

struct ModelInspection {
  ModelConfig config;
  ParamCounts params;
  std::uint64_t identity = 0;
  std::uint64_t bytes = 0;
  std::uint64_t shared_bytes = 0;
  int tensors = 0;
  std::int64_t kv_bytes_per_token = 0;  // 2-byte values
  std::vector<TensorGroup> groups;      // in file order
  std::vector<WorkerLoad> workers;      // an even spread without replicas
};

// Opens and checks the directory (touches no tensor bytes). `workers` in 1..kSlotsMax.
absl::StatusOr<ModelInspection> InspectModel(const std::string& model_dir, int workers);

// One JSON object on one line.
std::string InspectJson(const ModelInspection& inspection);

}  // namespace conclave
