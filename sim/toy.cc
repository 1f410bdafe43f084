#include "sim/toy.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"
#include "kernels/kernel_set.h"
#include "kernels/lane.h"
#include "text/toy_text.h"
#include "worker/core.h"
#include "worker/shard.h"

namespace conclave::sim {
namespace {

constexpr int kVocab = 64;
constexpr int kSkewedExperts = 3;  // as many as a token goes to
constexpr int kLetters = 12;       // the first id that is a letter

// The toy text's id of each of ours.
std::vector<TokenId> Words() {
  std::vector<TokenId> words = {kToyEnd, kToyStart};
  for (const int byte : {0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xbf}) {
    words.push_back(byte);
  }
  for (char letter = 'a'; letter <= 'z'; ++letter) words.push_back(letter);
  for (int pair = 0; static_cast<int>(words.size()) < kVocab; ++pair) {
    words.push_back(kToyPairs + (pair * 29) % (26 * 26));
  }
  return words;
}

class MappedDecoder final : public StreamDecoder {
 public:
  MappedDecoder(std::unique_ptr<StreamDecoder> inner, const std::vector<TokenId>& words)
      : inner_(std::move(inner)), words_(words) {}
  std::string Push(TokenId id) override {
    return inner_->Push(words_[static_cast<std::size_t>(id)]);
  }
  std::string Flush() override { return inner_->Flush(); }

 private:
  std::unique_ptr<StreamDecoder> inner_;
  const std::vector<TokenId>& words_;
};

// The toy text, of which the model knows 64 ids.
class MappedText final : public Text {
 public:
  MappedText() : inner_(MakeToyText()), words_(Words()) {}

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool parse_special,
                                              bool add_special_tokens) const override {
    ASSIGN_OR_RETURN(std::vector<TokenId> ids,
                     inner_->Encode(text, parse_special, add_special_tokens));
    for (TokenId& id : ids) {
      TokenId ours = 0;
      while (ours < kVocab && words_[static_cast<std::size_t>(ours)] != id) ++ours;
      if (ours == kVocab) return absl::InvalidArgumentError(absl::StrCat("no word for ", id));
      id = ours;
    }
    return ids;
  }
  absl::StatusOr<std::string> Decode(std::span<const TokenId> ids,
                                     bool skip_special) const override {
    const auto decoder = NewDecoder(skip_special);
    std::string text;
    for (const TokenId id : ids) text += decoder->Push(id);
    return text + decoder->Flush();
  }
  std::unique_ptr<StreamDecoder> NewDecoder(bool skip_special) const override {
    return std::make_unique<MappedDecoder>(inner_->NewDecoder(skip_special), words_);
  }
  absl::StatusOr<std::string> RenderChat(const ChatInput& input) const override {
    return inner_->RenderChat(input);
  }
  int vocab_size() const override { return kVocab; }
  std::optional<TokenId> IdOf(std::string_view token) const override {
    const std::optional<TokenId> theirs = inner_->IdOf(token);
    for (TokenId id = 0; theirs.has_value() && id < kVocab; ++id) {
      if (words_[static_cast<std::size_t>(id)] == *theirs) return id;
    }
    return std::nullopt;
  }
  bool has_chat_template() const override { return inner_->has_chat_template(); }

 private:
  std::unique_ptr<Text> inner_;
  const std::vector<TokenId> words_;
};

ModelConfig Config() {
  ModelConfig config;
  config.name = "toy";
  config.hidden = 16;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 8;
  config.expert_width = 8;
  config.experts = 12;
  config.topk = 3;
  config.norm_topk = true;
  config.vocab = kVocab;
  config.context = 224;
  config.layers = {{FfnKind::kMoe, 0}, {FfnKind::kMoe, 1}};
  config.moe_layers = 2;
  config.eos_ids = {0};
  return config;
}

// Chosen so that hidden states stay near 1 and every expert's answer shows in the logits.
float Element(const TensorSpec& spec, std::int64_t row, std::int64_t col) {
  std::uint64_t bits = Mix(0, static_cast<std::uint64_t>(spec.role));
  for (const std::int64_t part : {std::int64_t{spec.layer}, std::int64_t{spec.expert}, row, col}) {
    bits = Mix(bits, static_cast<std::uint64_t>(part));
  }
  const auto small = static_cast<float>(static_cast<int>(bits % 9) - 4);  // -4 .. 4
  switch (spec.role) {
    case TensorRole::kAttentionNorm:
    case TensorRole::kFfnNorm:
    case TensorRole::kFinalNorm:
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
      return 1.0F + small / 16;
    case TensorRole::kEmbedding:
    case TensorRole::kRouter:
      return small / 4;
    case TensorRole::kQ:
    case TensorRole::kK:
    case TensorRole::kV:
    case TensorRole::kO:
    case TensorRole::kGate:
    case TensorRole::kUp:
    case TensorRole::kDown:
    case TensorRole::kExpertGate:
    case TensorRole::kExpertUp:
    case TensorRole::kExpertDown:
    case TensorRole::kHead:
      return small / 8;
  }
  return 0;
}

// One number of every hidden state is the same large one, and the router looks at little else.
float SkewedElement(const TensorSpec& spec, std::int64_t row, std::int64_t col) {
  const float usual = Element(spec, row, col);
  switch (spec.role) {
    case TensorRole::kEmbedding:
      return col == 0 ? 4.0F : usual;
    case TensorRole::kO:
    case TensorRole::kDown:
    case TensorRole::kExpertDown:
      return row == 0 ? 0.0F : usual;
    case TensorRole::kRouter:
      return col == 0 ? (row < kSkewedExperts ? 4.0F : -4.0F) : usual / 8;
    case TensorRole::kAttentionNorm:
    case TensorRole::kFfnNorm:
    case TensorRole::kFinalNorm:
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
    case TensorRole::kQ:
    case TensorRole::kK:
    case TensorRole::kV:
    case TensorRole::kGate:
    case TensorRole::kUp:
    case TensorRole::kExpertGate:
    case TensorRole::kExpertUp:
    case TensorRole::kHead:
      break;
  }
  return usual;
}

}  // namespace

Toy MakeToy(bool skewed) {
  static_assert(kLetters == 2 + 10);
  Toy toy{.config = Config(), .tensors = nullptr, .text = std::make_unique<MappedText>()};
  toy.tensors = MakeTensors(toy.config, skewed ? SkewedElement : Element);
  class Clock final : public Trace {
    std::uint64_t NowMicros() override { return 0; }
  } clock;
  SoloLanes lanes;
  const auto shard = Shard::Load({.model = toy.config,
                                  .tensors = *toy.tensors,
                                  .kernels = kRefKernels,
                                  .role = Role::kWorker,
                                  .lanes = lanes,
                                  .progress = {}});
  CONCLAVE_CHECK(shard.ok(), "%s", std::string(shard.status().message()).c_str());
  const WorkerConfig config = {.exchange_name = "virtual", .rows_max = 1, .model_identity = 64};
  toy.hello = WorkerCore(config, toy.config, kRefKernels, **shard, lanes, clock).SayHello("");
  return toy;
}

}  // namespace conclave::sim
