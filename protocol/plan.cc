#include "protocol/plan.h"

#include <bit>
#include <numeric>
#include <span>

#include "base/check.h"
#include "base/hash.h"

namespace conclave {
namespace {

// Folds fields into a digest in the order they are written, lengths included.
class Digest {
 public:
  template <typename T>
  void Number(T value) {
    digest_ = Mix(digest_, static_cast<std::uint64_t>(value));
  }
  void Real(double value) { Number(std::bit_cast<std::uint64_t>(value)); }
  template <typename T>
  void Numbers(const std::vector<T>& values) {
    Number(values.size());
    digest_ = HashBytes(std::as_bytes(std::span(values)), digest_);
  }
  std::uint64_t value() const { return digest_; }

 private:
  std::uint64_t digest_ = 0;
};

void Fold(Digest& digest, const SamplingParams& sampling) {
  for (const double value :
       {sampling.temperature, sampling.top_p, sampling.min_p, sampling.repetition_penalty,
        sampling.presence_penalty, sampling.frequency_penalty}) {
    digest.Real(value);
  }
  digest.Number(sampling.top_k);
  digest.Number(sampling.seed);
  digest.Number(sampling.min_tokens);
  digest.Numbers(sampling.stop_ids);
  digest.Number(sampling.logit_bias.size());
  for (const auto& [id, bias] : sampling.logit_bias) {
    digest.Number(id);
    digest.Number(std::bit_cast<std::uint32_t>(bias));
  }
  digest.Number(sampling.logprobs.value_or(-1));
  digest.Number(sampling.prompt_logprobs.value_or(-1));
  digest.Number(sampling.routed_experts ? 1 : 0);
}

}  // namespace

std::int64_t WorkerPart::rows() const {
  std::int64_t rows = 0;
  for (const Chunk& chunk : chunks) rows += chunk.count;
  return rows;
}

std::uint64_t DigestOf(const WorkerPart& part) {
  Digest digest;
  digest.Number(part.slot.value);
  digest.Numbers(part.closes);
  digest.Number(part.opens.size());
  for (const SequenceOpen& open : part.opens) {
    digest.Number(open.seq.value);
    Fold(digest, open.sampling);
    digest.Number(open.prompt_tokens);
    digest.Numbers(open.tokens);
    digest.Numbers(open.blocks);
  }
  digest.Number(part.chunks.size());
  for (const Chunk& chunk : part.chunks) {
    digest.Number(chunk.seq.value);
    digest.Number(chunk.begin);
    digest.Number(chunk.count);
    digest.Number(chunk.sample ? 1 : 0);
    digest.Numbers(chunk.new_blocks);
  }
  return digest.value();
}

std::uint64_t PlanDigest(const StepAsk& ask) {
  Digest digest;
  digest.Number(ask.epoch.packed());
  digest.Number(ask.step.value);
  digest.Number(ask.rounds);
  digest.Numbers(ask.part_rows);
  digest.Numbers(ask.part_digests);
  return digest.value();
}

std::int64_t StepAsk::rows_in_all() const {
  return std::accumulate(part_rows.begin(), part_rows.end(), std::int64_t{0});
}

std::vector<StepAsk> AsksFor(const StepPlan& plan) {
  StepAsk ask{.epoch = plan.epoch, .step = plan.step, .rounds = plan.rounds};
  for (const WorkerPart& part : plan.parts) {
    ask.part_digests.push_back(DigestOf(part));
    ask.part_rows.push_back(static_cast<std::int32_t>(part.rows()));
  }
  ask.digest = PlanDigest(ask);
  std::vector<StepAsk> asks(plan.parts.size(), ask);
  for (std::size_t i = 0; i < asks.size(); ++i) {
    asks[i].part_index = static_cast<std::int32_t>(i);
    asks[i].part = plan.parts[i];
  }
  return asks;
}

}  // namespace conclave
