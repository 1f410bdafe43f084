// One small layer and a head with canonical weights and rows, every intermediate result hashed.
#include <array>
#include <vector>

#include "base/hash.h"
#include "base/limits.h"
#include "base/philox.h"
#include "kernels/aligned_bytes.h"
#include "kernels/kernel_set.h"

namespace conclave {
namespace {

// Sizes that are no multiple of any vector, two KV blocks and a part of a third.
constexpr std::int64_t kRows = 75;
constexpr std::int64_t kHidden = 208;
constexpr std::int64_t kWidth = 112;
constexpr std::int64_t kVocab = 331;
constexpr int kHeads = 4;
constexpr int kKvHeads = 2;
constexpr int kHeadDim = 48;
constexpr int kExperts = 3;
constexpr int kTopk = 2;
constexpr float kEps = 1e-6f;

class Fingerprint {
 public:
  Fingerprint(const KernelSet& kernels, DType kv_dtype)
      : kernels_(kernels), kv_{kKvHeads, kHeadDim, kv_dtype} {}

  std::uint64_t Run() {
    digest_ = Mix(static_cast<std::uint64_t>(kernels_.activation), HashBytes("canonical rows"));
    const TensorView table = Weights(kVocab, kHidden, 1.0);
    const std::vector<float> embedded = Embedded(table);
    hidden_ = embedded;
    const AlignedBytes normed = Normed();
    Attend(normed);
    Experts();
    Head(table);
    return digest_;
  }

 private:
  MatrixView<float> View(std::vector<float>& values, std::int64_t cols) const {
    return {values.data(), static_cast<std::int64_t>(values.size()) / cols, cols, cols};
  }
  template <typename T>
  void Hash(const std::vector<T>& values) {
    digest_ = Mix(digest_, HashBytes(std::as_bytes(std::span(values))));
  }
  void Hash(const AlignedBytes& bytes) {
    digest_ = Mix(digest_, HashBytes(std::span<const std::byte>(bytes.data(), bytes.size())));
  }
  template <typename Call>
  void Once(Call call) {
    SoloLanes().Run([&](const Lane& lane) { call(lane); });
  }

  // bf16 values around +-scale / sqrt(cols), kept alive in stored_.
  TensorView Weights(std::int64_t rows, std::int64_t cols, double scale) {
    std::vector<Bf16>& values = stored_.emplace_back();
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      values.push_back(ToBf16(static_cast<float>(rng_.Normal() * scale)));
    }
    return {DType::kBf16, rows, cols, reinterpret_cast<const std::byte*>(values.data())};
  }
  std::vector<float> Vector(std::int64_t count, double mean) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(mean + 0.1 * rng_.Normal()));
    }
    return values;
  }
  Activations Rows(AlignedBytes& bytes, std::int64_t rows, std::int64_t cols) const {
    const std::int64_t stride = ActivationRowBytes(cols, kernels_.activation);
    bytes = AlignedBytes(static_cast<std::size_t>(rows * stride));
    return {bytes.data(), kernels_.activation, rows, cols, stride};
  }
  Activations RowsIn(const AlignedBytes& bytes, std::int64_t cols) const {
    const std::int64_t stride = ActivationRowBytes(cols, kernels_.activation);
    return {bytes.data(), kernels_.activation, static_cast<std::int64_t>(bytes.size()) / stride,
            cols, stride};
  }

  std::vector<float> Embedded(const TensorView& table) {
    std::vector<TokenId> ids;
    for (std::int64_t r = 0; r < kRows; ++r) ids.push_back(static_cast<TokenId>(r * 37 % kVocab));
    std::vector<float> out(static_cast<std::size_t>(kRows * kHidden));
    Once([&](const Lane& lane) {
      kernels_.embed({.ids = ids, .table = table, .out = View(out, kHidden)}, lane);
    });
    Hash(out);
    return out;
  }

  AlignedBytes Normed() {
    const std::vector<float> weight = Vector(kHidden, 1.0);
    AlignedBytes out;
    const Activations rows = Rows(out, kRows, kHidden);
    Once([&](const Lane& lane) {
      kernels_.rms_norm({.in = View(hidden_, kHidden), .weight = weight, .eps = kEps, .out = rows},
                        lane);
    });
    Hash(out);
    return out;
  }

  AlignedBytes Packed(const TensorView& matrix) {
    AlignedBytes packed(kernels_.packed_bytes(matrix.rows, matrix.cols));
    Once([&](const Lane& lane) {
      kernels_.pack({.sources = {&matrix, 1}, .out = packed.data()}, lane);
    });
    return packed;
  }

  std::vector<float> Product(const AlignedBytes& in, const TensorView& matrix) {
    const AlignedBytes packed = Packed(matrix);
    const std::vector<float> bias = Vector(matrix.rows, 0.0);
    std::vector<float> out(static_cast<std::size_t>(kRows * matrix.rows));
    Once([&](const Lane& lane) {
      kernels_.linear({.in = RowsIn(in, matrix.cols),
                       .w = {packed.data(), matrix.rows, matrix.cols},
                       .bias = bias,
                       .out = View(out, matrix.rows)},
                      lane);
    });
    Hash(out);
    return out;
  }

  void Attend(const AlignedBytes& normed) {
    constexpr std::int64_t kQWidth = kHeads * kHeadDim;
    constexpr std::int64_t kQkvWidth = kQWidth + 2 * kKvHeads * kHeadDim;
    std::vector<float> qkv = Product(normed, Weights(kQkvWidth, kHidden, 0.07));
    std::vector<float> cos = Vector(kRows * kHeadDim / 2, 0.6);
    std::vector<float> sin = Vector(kRows * kHeadDim / 2, 0.8);
    const std::vector<float> q_norm = Vector(kHeadDim, 1.0);
    const std::vector<float> k_norm = Vector(kHeadDim, 1.0);
    constexpr std::int64_t kBlocks = (kRows + kKvBlockTokens - 1) / kKvBlockTokens;
    std::vector<KvPlace> places;
    std::vector<BlockId> blocks;
    for (int b = 0; b < kBlocks; ++b) blocks.push_back({static_cast<int>(kBlocks) - 1 - b});
    for (int r = 0; r < kRows; ++r) {
      places.push_back({blocks[static_cast<std::size_t>(r / kKvBlockTokens)], r % kKvBlockTokens});
    }
    const AlignedBytes cache(kernels_.kv_block_bytes(kv_) * static_cast<std::size_t>(kBlocks));
    AlignedBytes q_bytes, out_bytes;
    const Activations q = Rows(q_bytes, kRows, kQWidth);
    const Activations out = Rows(out_bytes, kRows, kQWidth);
    Once([&](const Lane& lane) {
      kernels_.qkv_finish({.qkv = View(qkv, kQkvWidth),
                           .q_norm = q_norm,
                           .k_norm = k_norm,
                           .eps = kEps,
                           .cos = View(cos, kHeadDim / 2),
                           .sin = View(sin, kHeadDim / 2),
                           .heads = kHeads,
                           .kv = kv_,
                           .kv_layer = cache.data(),
                           .places = places,
                           .q = q},
                          lane);
    });
    Hash(q_bytes);
    const AttentionSpan span{0, kRows, 0, blocks};
    Once([&](const Lane& lane) {
      kernels_.attention({.q = q,
                          .spans = {&span, 1},
                          .heads = kHeads,
                          .kv = kv_,
                          .kv_layer = cache.data(),
                          .out = out},
                         lane);
    });
    Hash(out_bytes);
    AddProjected(out, Weights(kHidden, kQWidth, 0.07));
  }

  void AddProjected(const Activations& in, const TensorView& matrix) {
    const AlignedBytes packed = Packed(matrix);
    Once([&](const Lane& lane) {
      kernels_.linear_add({.in = in,
                           .w = {packed.data(), matrix.rows, matrix.cols},
                           .bias = {},
                           .out = View(hidden_, kHidden)},
                          lane);
    });
    Hash(hidden_);
  }

  // Every expert gets every row; the router's choice decides which answers are combined.
  void Experts() {
    const AlignedBytes normed = Normed();
    const Activations rows = RowsIn(normed, kHidden);
    std::vector<float> logits = Product(normed, Weights(kExperts, kHidden, 0.1));
    std::vector<std::uint16_t> ids(kRows * kTopk);
    std::vector<float> weights(kRows * kTopk);
    std::atomic<std::uint32_t> bad{0};
    Once([&](const Lane& lane) {
      kernels_.router_topk({.logits = View(logits, kExperts),
                            .k = kTopk,
                            .normalise = true,
                            .ids = {ids.data(), kRows, kTopk, kTopk},
                            .weights = View(weights, kTopk),
                            .bad_rows = &bad},
                           lane);
    });
    Hash(ids);
    Hash(weights);
    const std::vector<float> answers = Answers(rows);
    std::vector<const float*> chosen;
    for (std::int64_t i = 0; i < kRows * kTopk; ++i) {
      const std::int64_t slot = ids[static_cast<std::size_t>(i)] * kRows + i / kTopk;
      chosen.push_back(answers.data() + slot * kHidden);
    }
    Once([&](const Lane& lane) {
      kernels_.combine(
          {.answers = chosen, .weights = View(weights, kTopk), .hidden = View(hidden_, kHidden)},
          lane);
    });
    Hash(hidden_);
  }

  std::vector<float> Answers(const Activations& rows) {
    std::vector<AlignedBytes> packed;
    std::vector<FfnGroup> groups;
    for (int e = 0; e < kExperts; ++e) {
      packed.emplace_back(kernels_.packed_ffn_bytes(kHidden, kWidth));
      kernels_.pack_ffn({.gate = Weights(kWidth, kHidden, 0.07),
                         .up = Weights(kWidth, kHidden, 0.07),
                         .down = Weights(kHidden, kWidth, 0.1),
                         .out = packed.back().data()});
      groups.push_back({{packed.back().data()}, e * kRows, kRows});
    }
    std::vector<float> answers(static_cast<std::size_t>(kExperts * kRows * kHidden));
    std::vector<const std::byte*> in;
    std::vector<float*> out;
    for (std::int64_t s = 0; s < kExperts * kRows; ++s) {
      in.push_back(rows.row(s % kRows));
      out.push_back(answers.data() + s * kHidden);
    }
    AlignedBytes bytes;
    const Activations middle = Rows(bytes, kExperts * kRows, kWidth);
    Once([&](const Lane& lane) {
      kernels_.ffn_up(
          {.groups = groups, .rows = in, .hidden = kHidden, .width = kWidth, .middle = middle},
          lane);
    });
    Hash(bytes);
    Once([&](const Lane& lane) {
      kernels_.ffn_down(
          {.groups = groups, .middle = middle, .hidden = kHidden, .width = kWidth, .answers = out},
          lane);
    });
    Hash(answers);
    return answers;
  }

  void Head(const TensorView& table) {
    const AlignedBytes normed = Normed();
    std::vector<float> logits = Product(normed, table);
    std::vector<LogitSliceStats> slices(kRows);
    Once([&](const Lane& lane) {
      kernels_.logit_stats({.logits = View(logits, kVocab), .slices = {slices.data(), kRows, 1, 1}},
                           lane);
    });
    for (std::size_t r = 0; r < slices.size(); ++r) {
      const LogitStats stats = FinishLogitStats({&slices[r], 1});
      digest_ = Mix(digest_, static_cast<std::uint64_t>(stats.best));
      digest_ = Mix(digest_, std::bit_cast<std::uint32_t>(stats.max));
      digest_ = Mix(digest_, std::bit_cast<std::uint64_t>(stats.log_sum));
    }
  }

  const KernelSet& kernels_;
  KvShape kv_;
  Rng rng_{20240229};
  std::vector<std::vector<Bf16>> stored_;
  std::vector<float> hidden_;
  std::uint64_t digest_ = 0;
};

}  // namespace

std::uint64_t NumericsFingerprint(const KernelSet& kernels) {
  SetComputeThreadFloatMode();
  const std::uint64_t bf16 = Fingerprint(kernels, DType::kBf16).Run();
  return Mix(bf16, Fingerprint(kernels, DType::kF32).Run());
}

}  // namespace conclave
