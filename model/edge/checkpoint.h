// A Hugging Face model directory on disk: parsed, checked against the tensor list, memory-mapped.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/tensors.h"

namespace conclave {

// config.json and generation_config.json, both spellings. Errors name the key.
absl::StatusOr<ModelConfig> LoadConfig(const std::string& model_dir);

struct Checkpoint {
  ModelConfig config;
  std::unique_ptr<TensorSource>
      tensors;  // mapped; every tensor of TensorsOf(config) is there with the right shape
  std::uint64_t identity =
      0;  // hash of config, index and safetensors headers: same model, same number
  std::uint64_t bytes = 0;  // tensor bytes in all
};

// Opens and checks headers of all shards: missing, extra, misshapen, overlapping, truncated,
// oversized are refused with the tensor's (or file's) name and what was expected. Touches no tensor
// bytes.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& model_dir);

// Called now and then from one thread with bytes done of bytes in all.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Reads every tensor once and looks for NaN and infinity (`conclave model verify`).
absl::Status VerifyCheckpoint(const Checkpoint& checkpoint, const Progress& progress);

struct RandomCheckpoint {
  std::string shape;  // "qwen3-30b-a3b", "qwen3-235b-a22b", "tiny"
  int layers = 0;     // 0: as many as the shape has
  std::uint64_t seed = 0;
  DType dtype = DType::kBf16;
  std::string out_dir;  // created; refused when it exists and is not empty
};
// Writes a random checkpoint in Hugging Face layout with sane activations, shard by shard: bounded
// memory.
absl::Status WriteRandomCheckpoint(const RandomCheckpoint& ask, const Progress& progress);

}  // namespace conclave
