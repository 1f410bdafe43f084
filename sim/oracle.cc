#include "sim/oracle.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/hash.h"

namespace conclave::sim {
namespace {

constexpr Epoch kEpoch{1, 1};
constexpr std::size_t kKnownMax = 256;

// As the API says: what is not given has its neutral value. Written a second time on purpose.
SamplingParams SamplingOf(const ClientAsk& ask, const ModelConfig& model) {
  SamplingParams sampling{.temperature = ask.temperature.value_or(1.0),
                          .top_k = ask.top_k.value_or(0),
                          .top_p = ask.top_p.value_or(1.0),
                          .min_p = ask.min_p.value_or(0.0),
                          .repetition_penalty = ask.repetition_penalty.value_or(1.0),
                          .presence_penalty = ask.presence_penalty.value_or(0.0),
                          .frequency_penalty = ask.frequency_penalty.value_or(0.0),
                          .logit_bias = ask.logit_bias,
                          .seed = ask.seed.value_or(ask.fallback_seed),
                          .stop_ids = ask.stop_ids,
                          .min_tokens = ask.min_tokens.value_or(0),
                          .logprobs = ask.logprobs,
                          .prompt_logprobs = ask.prompt_logprobs,
                          .routed_experts = ask.routed_experts};
  if (!ask.ignore_eos) {
    sampling.stop_ids.insert(sampling.stop_ids.end(), model.eos_ids.begin(), model.eos_ids.end());
  }
  std::ranges::sort(sampling.stop_ids);
  const auto twins = std::ranges::unique(sampling.stop_ids);
  sampling.stop_ids.erase(twins.begin(), twins.end());
  std::ranges::sort(sampling.logit_bias);
  return sampling;
}

// Everything that decides an answer.
std::uint64_t KeyOf(const ClientAsk& ask, const SamplingParams& sampling) {
  std::uint64_t key = 0;
  const auto add = [&](std::uint64_t value) { key = Mix(key, value); };
  for (const TokenId token : ask.prompt) add(static_cast<std::uint64_t>(token));
  add(~std::uint64_t{0});
  for (const double number :
       {sampling.temperature, sampling.top_p, sampling.min_p, sampling.repetition_penalty,
        sampling.presence_penalty, sampling.frequency_penalty}) {
    add(std::bit_cast<std::uint64_t>(number));
  }
  for (const int number : {sampling.top_k, sampling.min_tokens, sampling.logprobs.value_or(-1),
                           sampling.prompt_logprobs.value_or(-1), int{sampling.routed_experts}}) {
    add(static_cast<std::uint64_t>(number));
  }
  add(sampling.seed);
  for (const TokenId id : sampling.stop_ids) add(static_cast<std::uint64_t>(id));
  add(~std::uint64_t{0});
  for (const auto& [id, bias] : sampling.logit_bias) {
    add(static_cast<std::uint64_t>(id));
    add(std::bit_cast<std::uint32_t>(bias));
  }
  return key;
}

}  // namespace

Oracle::Oracle(const Toy& toy) : toy_(toy) {
  auto shard = Shard::Load({.model = toy.config,
                            .tensors = *toy.tensors,
                            .kernels = kRefKernels,
                            .role = Role::kWorker,
                            .lanes = lanes_,
                            .progress = {}});
  CONCLAVE_CHECK(shard.ok(), "%s", std::string(shard.status().message()).c_str());
  shard_ = *std::move(shard);
  const WorkerConfig config = {.uuid = "oracle",
                               .exchange_name = "none",
                               .kv_blocks = toy.config.context / kKvBlockTokens + 1,
                               .rows_max = toy.config.context,
                               .arrivals_max = toy.config.context,
                               .sequences_max = 2};
  core_ = std::make_unique<WorkerCore>(config, toy.config, kRefKernels, *shard_, lanes_, clock_);
  PlacementBuilder builder(toy.config.moe_layers, toy.config.experts);
  for (int layer = 0; layer < toy.config.moe_layers; ++layer) {
    for (int e = 0; e < toy.config.experts; ++e) builder.AddOwner(layer, e, Slot{0});
  }
  const Placement placement = builder.Build();
  CONCLAVE_CHECK(shard_->LoadMissingExperts(placement, Slot{0}).ok());
  WorkerOutbox outbox;
  core_->Handle(Told{Prepare{kEpoch, {{Slot{0}, "oracle", "nowhere"}}, placement}}, outbox);
  core_->Handle(ExpertsLoaded{kEpoch, absl::OkStatus()}, outbox);
  core_->Handle(ExchangeOpened{kEpoch, absl::OkStatus(), "nowhere"}, outbox);
  core_->Handle(Told{Commit{kEpoch, StepId{1}}}, outbox);
}

const Oracle::Answer& Oracle::Of(const ClientAsk& ask, int count) {
  const std::uint64_t key = KeyOf(ask, SamplingOf(ask, toy_.config));
  const auto known = known_.find(key);
  if (known != known_.end() && known->second.tokens.size() >= static_cast<std::size_t>(count)) {
    return known->second;
  }
  if (known_.size() >= kKnownMax) known_.clear();
  return known_[key] = Run(ask, count);
}

StepResult Oracle::Step(WorkerPart part) {
  step_ = StepId{step_.value + 1};
  part.slot = Slot{0};
  std::vector<StepAsk> asks = AsksFor({.epoch = kEpoch, .step = step_, .parts = {std::move(part)}});
  WorkerOutbox outbox;
  core_->Handle(Told{std::move(asks.front())}, outbox);
  CONCLAVE_CHECK(outbox.size() == 1);
  FromWorker& said = std::get<Tell>(outbox.front()).message;
  CONCLAVE_CHECK(std::holds_alternative<StepResult>(said), "%s",
                 std::get<StepBroken>(said).error.c_str());
  return std::get<StepResult>(std::move(said));
}

Oracle::Answer Oracle::Run(const ClientAsk& ask, int count) {
  Answer answer;
  if (count == 0) return answer;
  const auto prompt = static_cast<std::int32_t>(ask.prompt.size());
  seq_ = SeqId{seq_.value + 1};
  std::vector<BlockId> blocks;
  for (std::int32_t b = 0; b <= toy_.config.context / kKvBlockTokens; ++b) {
    blocks.push_back(BlockId{b});
  }
  WorkerPart part;
  part.opens.push_back({.seq = seq_,
                        .sampling = SamplingOf(ask, toy_.config),
                        .prompt_tokens = prompt,
                        .tokens = ask.prompt,
                        .blocks = {}});
  Chunk chunk{.seq = seq_, .begin = 0, .count = prompt, .sample = true, .new_blocks = blocks};
  for (int i = 0; i < count; ++i) {
    part.chunks = {std::move(chunk)};
    StepResult result = Step(std::exchange(part, {}));
    for (const PromptLogprobs& prompt_logprobs : result.prompt_logprobs) {
      answer.prompt_logprobs = prompt_logprobs.entries;
    }
    for (const RoutedExperts& routed : result.routed) {
      answer.routed.insert(answer.routed.end(), routed.ids.begin(), routed.ids.end());
    }
    answer.tokens.push_back(result.sampled.front().token);
    answer.logprobs.push_back(std::move(result.sampled.front().logprob));
    chunk = {.seq = seq_, .begin = prompt + i, .count = 1, .sample = true, .new_blocks = {}};
  }
  part.closes.push_back(seq_);
  Step(std::move(part));
  return answer;
}

}  // namespace conclave::sim
