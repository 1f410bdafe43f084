// What a part of a plan may ask of the sequences. A worker never trusts a plan: whatever is wrong
// is refused by name, and nothing has changed.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/sequences.h"

namespace conclave {
namespace {

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

bool BadAlternatives(const std::optional<int>& count) {
  return count.has_value() && (*count < 0 || *count > kLogprobsMax);
}

}  // namespace

absl::Status Sequences::CheckBlocks(std::span<const BlockId> blocks) const {
  for (const BlockId block : blocks) {
    if (block.value < 0 || block.value >= limits_.kv_blocks) {
      return Refuse("block ", block.value, " is not one of ", limits_.kv_blocks);
    }
  }
  return absl::OkStatus();
}

absl::Status Sequences::CheckTokens(std::span<const TokenId> tokens) const {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= limits_.vocab) {
      return Refuse("token ", token, " is not in the vocabulary of ", limits_.vocab);
    }
  }
  return absl::OkStatus();
}

absl::Status Sequences::CheckSampling(const SamplingParams& sampling) const {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return Refuse("temperature ", sampling.temperature);
  }
  if (sampling.top_k < 0) return Refuse("top_k ", sampling.top_k);
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) return Refuse("top_p ", sampling.top_p);
  if (!(sampling.min_p >= 0 && sampling.min_p <= 1)) return Refuse("min_p ", sampling.min_p);
  if (!std::isfinite(sampling.repetition_penalty) || sampling.repetition_penalty <= 0) {
    return Refuse("repetition_penalty ", sampling.repetition_penalty);
  }
  if (!std::isfinite(sampling.presence_penalty)) return Refuse("presence_penalty");
  if (!std::isfinite(sampling.frequency_penalty)) return Refuse("frequency_penalty");
  for (const auto& [id, bias] : sampling.logit_bias) {
    if (id < 0 || id >= limits_.vocab) return Refuse("logit_bias of token ", id);
    if (std::isnan(bias)) return Refuse("logit_bias of token ", id, " is NaN");
  }
  if (BadAlternatives(sampling.logprobs)) return Refuse("logprobs ", *sampling.logprobs);
  if (BadAlternatives(sampling.prompt_logprobs)) {
    return Refuse("prompt_logprobs ", *sampling.prompt_logprobs);
  }
  return absl::OkStatus();
}

absl::Status Sequences::CheckOpen(const SequenceOpen& open) const {
  const auto wrong = [&](const absl::Status& status) {
    return Refuse("open of sequence ", open.seq.value, ": ", status.message());
  };
  const auto tokens = static_cast<std::int64_t>(open.tokens.size());
  if (tokens < 1 || tokens > limits_.context) {
    return Refuse("open of sequence ", open.seq.value, ": ", tokens, " tokens, the context is ",
                  limits_.context);
  }
  if (open.prompt_tokens < 1 || open.prompt_tokens > tokens) {
    return Refuse("open of sequence ", open.seq.value, ": prompt of ", open.prompt_tokens, " of ",
                  tokens, " tokens");
  }
  if (static_cast<std::int64_t>(open.blocks.size()) * kKvBlockTokens > tokens) {
    return Refuse("open of sequence ", open.seq.value, ": ", open.blocks.size(), " full blocks of ",
                  tokens, " tokens");
  }
  if (absl::Status s = CheckTokens(open.tokens); !s.ok()) return wrong(s);
  if (absl::Status s = CheckBlocks(open.blocks); !s.ok()) return wrong(s);
  if (absl::Status s = CheckSampling(open.sampling); !s.ok()) return wrong(s);
  return absl::OkStatus();
}

absl::Status Sequences::CheckChunk(const Chunk& chunk, const Sequence& sequence) const {
  const auto id = chunk.seq.value;
  const auto tokens = static_cast<std::int64_t>(sequence.tokens.size());
  const std::int64_t end = std::int64_t{chunk.begin} + chunk.count;
  if (sequence.stepping) return Refuse("sequence ", id, " has two chunks");
  if (chunk.begin < 0 || chunk.count < 1) {
    return Refuse("chunk of sequence ", id, ": ", chunk.count, " positions from ", chunk.begin);
  }
  if (chunk.begin > sequence.computed) {
    return Refuse("chunk of sequence ", id, " begins at position ", chunk.begin, "; only ",
                  sequence.computed, " are computed");
  }
  if (end > tokens) {
    return Refuse("chunk of sequence ", id, " ends at position ", end, " of ", tokens, " tokens");
  }
  if (chunk.sample && end != tokens) {
    return Refuse("sequence ", id, " would sample position ", end, "; it has ", tokens, " tokens");
  }
  if (absl::Status s = CheckBlocks(chunk.new_blocks); !s.ok()) {
    return Refuse("chunk of sequence ", id, ": ", s.message());
  }
  const auto blocks = static_cast<std::int64_t>(sequence.blocks.size() + chunk.new_blocks.size());
  if (blocks * kKvBlockTokens < end) {
    return Refuse("sequence ", id, ": ", blocks, " blocks do not reach position ", end - 1);
  }
  if (blocks > limits_.context / kKvBlockTokens + 1) {
    return Refuse("sequence ", id, ": ", blocks, " blocks are more than a context of ",
                  limits_.context, " needs");
  }
  return absl::OkStatus();
}

}  // namespace conclave
