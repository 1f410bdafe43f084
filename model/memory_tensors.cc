#include "model/memory_tensors.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "model/random_weights.h"

namespace conclave {

void MemoryTensors::Add(const std::string& name, DType dtype, std::int64_t rows, std::int64_t cols,
                        std::vector<std::byte> bytes) {
  auto owned = std::make_unique<Owned>();
  owned->bytes = std::move(bytes);
  owned->view = {dtype, rows, cols, owned->bytes.data()};
  CONCLAVE_CHECK(owned->view.bytes() == owned->bytes.size(), "%s: %zu bytes", name.c_str(),
                 owned->bytes.size());
  tensors_[name] = std::move(owned);
}

absl::StatusOr<TensorView> MemoryTensors::Find(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    return absl::NotFoundError(absl::StrCat("tensor ", name, " is not in memory"));
  return it->second->view;
}

std::unique_ptr<MemoryTensors> RandomTensors(const ModelConfig& config, std::uint64_t seed,
                                             DType dtype) {
  auto tensors = std::make_unique<MemoryTensors>();
  const RandomWeights weights(config, seed, dtype);
  for (const TensorSpec& spec : TensorsOf(config)) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(spec.shape[0] * spec.shape[1]) *
                                 BytesOf(dtype));
    weights.Fill(spec, 0, bytes);
    tensors->Add(spec.name, dtype, spec.shape[0], spec.shape[1], std::move(bytes));
  }
  return tensors;
}

std::unique_ptr<MemoryTensors> MakeTensors(const ModelConfig& config, ElementFn element) {
  auto tensors = std::make_unique<MemoryTensors>();
  for (const TensorSpec& spec : TensorsOf(config)) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(spec.shape[0] * spec.shape[1]) *
                                 sizeof(float));
    std::byte* to = bytes.data();
    for (std::int64_t row = 0; row < spec.shape[0]; ++row) {
      for (std::int64_t col = 0; col < spec.shape[1]; ++col, to += sizeof(float)) {
        const float value = element(spec, row, col);
        std::memcpy(to, &value, sizeof value);
      }
    }
    tensors->Add(spec.name, DType::kF32, spec.shape[0], spec.shape[1], std::move(bytes));
  }
  return tensors;
}

}  // namespace conclave
