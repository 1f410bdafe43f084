#include "model/random_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "base/numeric.h"
#include "base/philox.h"

namespace conclave {
namespace {

// Draws pick one of 4096 equally likely values: the middles of 4096 slices of equal probability
// under the normal curve. Cheap enough to fill memory at disk speed, and the tails reach 3.7
// deviations.
constexpr std::size_t kValues = 4096;
constexpr std::size_t kDrawsPerBlock = 8;  // 128 bits of Philox, 12 used of each 16

std::array<double, kValues> NormalSlices() {
  constexpr double kStep = 1.0 / 16384;
  constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
  std::array<double, kValues> slices{};
  double x = 0, mass = 0.5, squares = 0;
  for (std::size_t i = kValues / 2; i < kValues; ++i) {
    const double target = (static_cast<double>(i) + 0.5) / kValues;
    while (mass < target) {  // midpoint rule
      const double middle = x + kStep / 2;
      mass += kStep * kInverseSqrtTwoPi * Exp(-0.5 * middle * middle);
      x += kStep;
    }
    slices[i] = x;
    slices[kValues - 1 - i] = -x;
    squares += 2 * x * x;
  }
  const double scale = 1 / std::sqrt(squares / kValues);  // variance exactly 1
  for (double& value : slices) value *= scale;
  return slices;
}

// Round to nearest even; for magnitudes below 65504.
F16 ToF16(double value) {
  const double magnitude = std::abs(value);
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000u : 0u);
  int exponent = 0;
  std::frexp(magnitude, &exponent);               // magnitude in [2^(e-1), 2^e)
  const int unit = std::max(exponent - 11, -24);  // the last mantissa bit; -24 among subnormals
  const double steps = std::nearbyint(std::ldexp(magnitude, -unit));
  // A subnormal is its step count; otherwise the count's leading bit moves the exponent field by
  // one.
  const auto field = static_cast<unsigned>(unit + 24);
  const unsigned bits = (field << 10) + static_cast<unsigned>(steps);
  return {static_cast<std::uint16_t>(sign | bits)};
}

void Store(DType dtype, double value, std::byte* to) {
  switch (dtype) {
    case DType::kF32: {
      const auto narrow = static_cast<float>(value);
      std::memcpy(to, &narrow, sizeof narrow);
      return;
    }
    case DType::kBf16: {
      const Bf16 narrow = ToBf16(static_cast<float>(value));
      std::memcpy(to, &narrow, sizeof narrow);
      return;
    }
    case DType::kF16: {
      const F16 narrow = ToF16(value);
      std::memcpy(to, &narrow, sizeof narrow);
      return;
    }
  }
}

double DeviationOf(bool tied, const TensorSpec& spec) {
  const double fan_in = static_cast<double>(spec.shape[1]);
  if (spec.role == TensorRole::kEmbedding && !tied) return 1.0;
  return 1.0 / std::sqrt(fan_in);
}

template <typename Element>
void FillFrom(const std::byte* table, std::uint64_t key, std::uint64_t first, std::byte* out,
              std::uint64_t count) {
  std::array<Element, kValues> values;
  std::memcpy(values.data(), table, sizeof values);
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t element = first + done;
    const auto words = Philox(key, element / kDrawsPerBlock, 0);
    std::array<Element, kDrawsPerBlock> block;
    for (std::size_t i = 0; i < kDrawsPerBlock; ++i) {
      block[i] = values[(words[i / 2] >> (16 * (i % 2))) & (kValues - 1)];
    }
    const std::uint64_t skip = element % kDrawsPerBlock;
    const std::uint64_t take = std::min(kDrawsPerBlock - skip, count - done);
    std::memcpy(out + done * sizeof(Element), block.data() + skip, take * sizeof(Element));
    done += take;
  }
}

}  // namespace

struct RandomWeights::Table {
  double deviation = 0;
  std::vector<std::byte> values;  // kValues of the dtype
};

RandomWeights::RandomWeights(const ModelConfig& config, std::uint64_t seed, DType dtype)
    : tied_(config.tied_embeddings), seed_(seed), dtype_(dtype) {
  const std::array<double, kValues> slices = NormalSlices();
  for (const TensorSpec& spec : TensorsOf(config)) {
    const double deviation = DeviationOf(tied_, spec);
    const bool known = std::any_of(tables_.begin(), tables_.end(), [&](const auto& table) {
      return table->deviation == deviation;
    });
    if (known || spec.rank == 1) continue;
    auto table = std::make_unique<Table>();
    table->deviation = deviation;
    table->values.resize(kValues * BytesOf(dtype));
    for (std::size_t i = 0; i < kValues; ++i) {
      Store(dtype, slices[i] * deviation, table->values.data() + i * BytesOf(dtype));
    }
    tables_.push_back(std::move(table));
  }
}

RandomWeights::~RandomWeights() = default;

const RandomWeights::Table& RandomWeights::TableFor(double deviation) const {
  for (const auto& table : tables_) {
    if (table->deviation == deviation) return *table;
  }
  CONCLAVE_CHECK(false, "no table for deviation %g: a tensor of another model", deviation);
}

void RandomWeights::Fill(const TensorSpec& spec, std::uint64_t first,
                         std::span<std::byte> out) const {
  const std::size_t width = BytesOf(dtype_);
  CONCLAVE_CHECK(out.size() % width == 0, "%zu bytes", out.size());
  const std::uint64_t count = out.size() / width;
  if (spec.rank == 1) {
    for (std::uint64_t i = 0; i < count; ++i) Store(dtype_, 1.0, out.data() + i * width);
    return;
  }
  const Table& table = TableFor(DeviationOf(tied_, spec));
  const std::uint64_t key = Mix(HashBytes(spec.name), seed_);
  if (width == 2) {
    FillFrom<std::uint16_t>(table.values.data(), key, first, out.data(), count);
  } else {
    FillFrom<std::uint32_t>(table.values.data(), key, first, out.data(), count);
  }
}

}  // namespace conclave
