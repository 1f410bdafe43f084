// Why these numbers: docs/decisions/0006-bf16-bounds.md, in the same symbols.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/float_types.h"
#include "tests/exactness/oracle.h"

namespace conclave {
namespace {

constexpr double kUnit = 1.0 / 256;  // u: bf16 keeps 8 significant bits
// Terms that are rounded to bf16 on the way through one sublayer.
constexpr double kAttentionTerms = 6;    // normed row, q, k, v, softmax weights, attended row
constexpr double kFfnTerms = 2;          // normed row, silu(gate) * up
constexpr double kAttentionWeights = 4;  // q, k, v, o: rounded only where stored wider
constexpr double kFfnWeights = 3;        // gate, up, down
constexpr double kDeviations = 6;        // z

double At(const TensorView& view, std::int64_t index) {
  const std::byte* const data = view.data;
  switch (view.dtype) {
    case DType::kF32:
      return static_cast<double>(reinterpret_cast<const float*>(data)[index]);
    case DType::kBf16:
      return static_cast<double>(ToFloat(reinterpret_cast<const Bf16*>(data)[index]));
    case DType::kF16:
      return static_cast<double>(ToFloat(reinterpret_cast<const F16*>(data)[index]));
  }
  CONCLAVE_CHECK(false, "dtype");
}

TensorView Find(const Checkpoint& checkpoint, TensorRole role, int layer = -1) {
  const auto view =
      checkpoint.tensors->Find(TensorName(checkpoint.config, role, layer, /*expert=*/-1));
  CONCLAVE_CHECK(view.ok(), "%s", view.status().ToString().c_str());
  return *view;
}

// max over outputs v of |W_v * w|: what a unit error per channel of a normed row becomes in the
// product with W.
double LargestRow(const TensorView& matrix, const TensorView& norm) {
  double largest = 0;
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < matrix.cols; ++c) {
      const double term = At(matrix, r * matrix.cols + c) * At(norm, c);
      sum += term * term;
    }
    largest = std::max(largest, std::sqrt(sum));
  }
  return largest;
}

}  // namespace

std::vector<double> OracleBounds::Logprobs(std::span<const float> logits,
                                           std::span<const TokenId> ids) const {
  std::vector<double> bounds(ids.size(), logprob);
  if (head.empty()) return bounds;
  const auto width = static_cast<std::size_t>(hidden);
  const double best = static_cast<double>(*std::ranges::max_element(logits));
  std::vector<double> mean(width);
  double total = 0;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const double p = std::exp(static_cast<double>(logits[v]) - best);
    total += p;
    for (std::size_t c = 0; c < width; ++c) mean[c] += p * static_cast<double>(head[v * width + c]);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const float* const row = head.data() + static_cast<std::size_t>(ids[i]) * width;
    double sum = 0;
    for (std::size_t c = 0; c < width; ++c) {
      const double term = static_cast<double>(row[c]) - mean[c] / total;
      sum += term * term;
    }
    bounds[i] += reach * std::sqrt(sum);
  }
  return bounds;
}

double OracleBounds::Margin(TokenId best) const {
  if (head.empty()) return margin;
  const auto width = static_cast<std::size_t>(hidden);
  const float* const mine = head.data() + static_cast<std::size_t>(best) * width;
  double largest = 0;
  for (std::size_t v = 0; v < head.size() / width; ++v) {
    double sum = 0;
    for (std::size_t c = 0; c < width; ++c) {
      const double term = static_cast<double>(mine[c]) - static_cast<double>(head[v * width + c]);
      sum += term * term;
    }
    largest = std::max(largest, sum);
  }
  return margin + reach * std::sqrt(largest);
}

OracleBounds FloatBounds(const ModelConfig& model) {
  OracleBounds bounds;
  bounds.gap.assign(static_cast<std::size_t>(model.moe_layers), 1e-3);
  bounds.logprob = 1e-4;
  bounds.margin = 2e-3;
  return bounds;
}

OracleBounds Bf16Bounds(const Checkpoint& checkpoint) {
  const ModelConfig& model = checkpoint.config;
  const TensorView embedding = Find(checkpoint, TensorRole::kEmbedding);
  const TensorView head = model.tied_embeddings ? embedding : Find(checkpoint, TensorRole::kHead);
  const double wide = head.dtype == DType::kBf16 ? 0 : 1;
  const double e2 = kUnit * kUnit / 3;  // variance of one rounding
  double r2 = wide * e2;                // relative variance of the residual stream
  double sublayers = 0;
  const auto pass = [&](double terms) {
    const double share = 1 / (++sublayers + 1);
    r2 = r2 * (1 + 2 * share) + terms * share * e2;
  };
  OracleBounds bounds;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    const int layer = static_cast<int>(l);
    pass(kAttentionTerms + wide * kAttentionWeights);
    if (model.layers[l].ffn == FfnKind::kMoe) {
      const double largest = LargestRow(Find(checkpoint, TensorRole::kRouter, layer),
                                        Find(checkpoint, TensorRole::kFfnNorm, layer));
      // The difference of two logits; the normed row, and perhaps the matrix, are rounded, too.
      bounds.gap.push_back(kDeviations * std::sqrt(2 * (r2 + (1 + wide) * e2)) * largest);
    }
    pass(kFfnTerms + wide * kFfnWeights);
  }
  bounds.logprob = 1e-4;  // sums in float32 have their own error
  bounds.margin = 2e-3;
  bounds.reach = kDeviations * std::sqrt(r2 + (1 + wide) * e2);
  bounds.hidden = model.hidden;
  const TensorView norm = Find(checkpoint, TensorRole::kFinalNorm);
  for (std::int64_t i = 0; i < head.rows * head.cols; ++i) {
    bounds.head.push_back(static_cast<float>(At(head, i) * At(norm, i % head.cols)));
  }
  return bounds;
}

}  // namespace conclave
