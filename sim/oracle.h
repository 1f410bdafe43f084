// What a request's answer must be: the real worker core, alone, with nothing else running and the
// prompt in one piece.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "coordinator/events.h"
#include "kernels/lane.h"
#include "protocol/plan.h"
#include "sim/toy.h"
#include "worker/core.h"
#include "worker/shard.h"

namespace conclave::sim {

class Oracle {
 public:
  explicit Oracle(const Toy& toy);  // which outlives it

  struct Answer {
    std::vector<TokenId> tokens;
    std::vector<TokenLogprob> logprobs;         // of each token; ids only when not asked for
    std::vector<TokenLogprob> prompt_logprobs;  // of prompt positions 1..
    std::vector<std::uint16_t> routed;          // [positions fed][moe layers][topk]
  };
  // The first `count` tokens, whatever ends the request; `ask` is a good one. Known ones are
  // remembered by what was asked. Valid until the next call.
  const Answer& Of(const ClientAsk& ask, int count);

 private:
  class Clock final : public Trace {
   public:
    std::uint64_t NowMicros() override { return ++now_; }

   private:
    std::uint64_t now_ = 0;
  };

  Answer Run(const ClientAsk& ask, int count);
  StepResult Step(WorkerPart part);

  const Toy& toy_;
  SoloLanes lanes_;
  Clock clock_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<WorkerCore> core_;
  StepId step_;
  SeqId seq_;
  std::map<std::uint64_t, Answer> known_;
};

}  // namespace conclave::sim
