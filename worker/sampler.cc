#include <algorithm>

#include "worker/choose_token.h"
#include "worker/logprobs.h"
#include "worker/step.h"

namespace conclave {
namespace {

// The log-probability of a prompt token that the row before it predicted.
void Score(StepContext& step, const LogitRow& wanted, const LogprobArgs& row) {
  const Sequence& sequence = step.sequences.OfChunk(static_cast<std::size_t>(wanted.chunk));
  PromptLogprobs& prompt = step.result.prompt_logprobs[static_cast<std::size_t>(wanted.out)];
  LogprobArgs args = row;
  args.token = sequence.tokens[static_cast<std::size_t>(wanted.position)];
  args.alternatives = *sequence.sampling.prompt_logprobs;
  prompt.entries[static_cast<std::size_t>(wanted.position - prompt.begin)] = LogprobOf(args);
}

void Choose(StepContext& step, const LogitRow& wanted, const LogprobArgs& row, SamplerRoom& room) {
  const Sequence& sequence = step.sequences.OfChunk(static_cast<std::size_t>(wanted.chunk));
  SampledToken& sampled = step.result.sampled[static_cast<std::size_t>(wanted.out)];
  sampled.seq = sequence.id;
  sampled.position = wanted.position;
  sampled.token = ChooseToken({.logits = row.logits,
                               .stats = row.stats,
                               .params = sequence.sampling,
                               .tokens = sequence.tokens,
                               .prompt_tokens = sequence.prompt_tokens,
                               .position = wanted.position,
                               .logit_stats = step.kernels.logit_stats,
                               .room = room});
  if (!sequence.sampling.logprobs.has_value()) return;
  LogprobArgs args = row;
  args.token = sampled.token;
  args.alternatives = *sequence.sampling.logprobs;
  sampled.has_logprob = true;
  sampled.logprob = LogprobOf(args);
}

}  // namespace

// The block of rows whose logits are computed. Rows are independent: threads take them one by one,
// and each thread has a room of its own.
After Sample(StepContext& step) {
  Workspace& ws = step.ws;
  const std::int64_t rows = std::min(kLogitRows, step.logit_rows - step.logits_done);
  step.lanes.Run([&](const Lane& lane) {
    SamplerRoom& room = ws.sampler_rooms[static_cast<std::size_t>(lane.index)];
    for (std::int64_t i = lane.Take(); i < rows; i = lane.Take()) {
      const LogitRow& wanted = ws.logit_rows[static_cast<std::size_t>(step.logits_done + i)];
      const LogprobArgs row{.logits = ws.logits.row_span(i),
                            .stats = FinishLogitStats(ws.logit_slices.row_span(i)),
                            .order = room.order};
      if (wanted.sample) {
        Choose(step, wanted, row, room);
      } else {
        Score(step, wanted, row);
      }
    }
  });
  step.logits_done += rows;
  const auto vocab = static_cast<std::uint64_t>(step.model.vocab);
  step.Charge(PhaseId::kSample,
              {.bytes = static_cast<std::uint64_t>(rows) * vocab * sizeof(float)});
  return step.logits_done < step.logit_rows ? After::kAgain : After::kNext;
}

}  // namespace conclave
