#include "tests/kernels/specs.h"

#include "absl/strings/str_format.h"

namespace conclave::conformance {

std::span<const Spec> AllSpecs() {
  static const Spec kAll[] = {kEmbedSpec,     kRmsNormSpec,   kLinearSpec,     kLinearAddSpec,
                              kQkvFinishSpec, kAttentionSpec, kRouterTopkSpec, kFfnUpSpec,
                              kFfnDownSpec,   kCombineSpec,   kLogitStatsSpec};
  return kAll;
}

PackedMatrix PackFor(const KernelSet& kernels, std::span<const TensorView> sources, int lanes,
                     Memory& memory) {
  PackedMatrix packed{nullptr, 0, sources[0].cols};
  for (const TensorView& source : sources) packed.n += source.rows;
  std::byte* out = memory.Bytes("packed", Use::kIn, kernels.packed_bytes(packed.n, packed.k));
  RunLanes(lanes, [&](const Lane& lane) { kernels.pack({.sources = sources, .out = out}, lane); });
  packed.data = out;
  return packed;
}

Output Collect(const std::string& name, const Activations& rows) {
  Output output{.name = name, .cols = rows.cols, .values = {}};
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    for (std::int64_t c = 0; c < rows.cols; ++c) {
      output.values.push_back(static_cast<double>(ActivationAt(rows, r, c)));
    }
  }
  return output;
}

Output Collect(const std::string& name, const MatrixView<float>& rows) {
  Output output{.name = name, .cols = rows.cols, .values = {}};
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    for (const float value : rows.row_span(r)) output.values.push_back(static_cast<double>(value));
  }
  return output;
}

std::string Finding(const std::string& name, std::int64_t row, std::int64_t col, double got,
                    double want, double slack) {
  return absl::StrFormat("%s row %d column %d: got %.9g, want %.9g, slack %.3g", name, row, col,
                         got, want, slack);
}

}  // namespace conclave::conformance
