// Tensors that live in memory: for tests, the simulator, and models made by hand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "model/tensors.h"

namespace conclave {

// Owns its bytes. Not thread-safe while tensors are added; Find is, afterwards.
class MemoryTensors : public TensorSource {
 public:
  // Replaces a tensor of the same name. bytes.size() must be rows * cols * BytesOf(dtype).
  void Add(const std::string& name, DType dtype, std::int64_t rows, std::int64_t cols,
           std::vector<std::byte> bytes);

  absl::StatusOr<TensorView> Find(const std::string& name) const override;

 private:
  struct Owned {
    TensorView view;
    std::vector<std::byte> bytes;
  };
  absl::flat_hash_map<std::string, std::unique_ptr<Owned>> tensors_;
};

// Every tensor of TensorsOf(config), as RandomWeights gives them: the same bytes as a random
// checkpoint's.
std::unique_ptr<MemoryTensors> RandomTensors(const ModelConfig& config, std::uint64_t seed,
                                             DType dtype);

// Every tensor of TensorsOf(config) in float32, each element asked for.
using ElementFn =
    absl::FunctionRef<float(const TensorSpec& spec, std::int64_t row, std::int64_t col)>;
std::unique_ptr<MemoryTensors> MakeTensors(const ModelConfig& config, ElementFn element);

}  // namespace conclave
