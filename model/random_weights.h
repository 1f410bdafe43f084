// Random weights that a model can live with: activations stay near 1, routing spreads over all
// experts. Pure, and a function of (seed, tensor name, element, type) alone, so a file, a test's
// memory and another machine agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/float_types.h"
#include "model/tensors.h"

namespace conclave {

// One tensor's values. Norm weights are 1; everything else is normal with mean 0: variance 1 for
// the embedding (1 / hidden when it is the head too), 1 / fan-in for linears.
class RandomWeights {
 public:
  RandomWeights(const ModelConfig& config, std::uint64_t seed, DType dtype);
  ~RandomWeights();

  // Elements first .. first + count - 1, row-major, where count = out.size() / BytesOf(dtype).
  // Thread-safe.
  void Fill(const TensorSpec& spec, std::uint64_t first, std::span<std::byte> out) const;

 private:
  struct Table;
  const Table& TableFor(double deviation) const;

  bool tied_;
  std::uint64_t seed_;
  DType dtype_;
  std::vector<std::unique_ptr<Table>> tables_;  // one per deviation that occurs
};

}  // namespace conclave
