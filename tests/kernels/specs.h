// The specs, one per kernel, each in spec_NAME.cc.
#pragma once

#include "tests/kernels/conformance.h"

namespace conclave::conformance {

extern const Spec kEmbedSpec;
extern const Spec kRmsNormSpec;
extern const Spec kLinearSpec;
extern const Spec kLinearAddSpec;
extern const Spec kQkvFinishSpec;
extern const Spec kAttentionSpec;
extern const Spec kRouterTopkSpec;
extern const Spec kFfnUpSpec;
extern const Spec kFfnDownSpec;
extern const Spec kCombineSpec;
extern const Spec kLogitStatsSpec;

// Packs stacked matrices for a set, on as many threads as `lanes`: the bytes may not depend on it.
PackedMatrix PackFor(const KernelSet& kernels, std::span<const TensorView> sources, int lanes,
                     Memory& memory);

// Values of activation rows and float rows as results.
Output Collect(const std::string& name, const Activations& rows);
Output Collect(const std::string& name, const MatrixView<float>& rows);

// "name row r column c: got g, want w, slack s", for findings.
std::string Finding(const std::string& name, std::int64_t row, std::int64_t col, double got,
                    double want, double slack);

}  // namespace conclave::conformance
