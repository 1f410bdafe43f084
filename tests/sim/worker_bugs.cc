#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "tests/sim/bugs.h"

namespace conclave::sim {
namespace {

// Something happens to every nth result.
class ResultBug : public Tamper {
 public:
  void OfWorker(int node, WorkerOutbox& outbox) override {
    WorkerOutbox bent;
    for (WorkerEffect& effect : outbox) {
      auto* tell = std::get_if<Tell>(&effect);
      auto* result = tell == nullptr ? nullptr : std::get_if<StepResult>(&tell->message);
      const bool keep = result == nullptr || Bend(node, *result, bent);
      if (keep) bent.push_back(std::move(effect));
    }
    outbox = std::move(bent);
  }

 protected:
  // False: the result is not sent. More may be put into `out`.
  virtual bool Bend(int node, StepResult& result, WorkerOutbox& out) = 0;
};

class ResultTwice final : public ResultBug {
  bool Bend(int, StepResult& result, WorkerOutbox& out) override {
    if (result.step.value % 5 == 0) out.push_back(Tell{result});
    return true;
  }
};

class ResultLost final : public ResultBug {
  bool Bend(int, StepResult& result, WorkerOutbox&) override { return result.step.value != 9; }
};

// The token of the step before, as if an old result had been taken for the new one.
class StaleResult final : public ResultBug {
  bool Bend(int, StepResult& result, WorkerOutbox&) override {
    for (SampledToken& sampled : result.sampled) {
      const TokenId fresh = sampled.token;
      const auto old = last_.find(sampled.seq);
      if (old != last_.end() && result.step.value % 5 == 0) sampled.token = old->second;
      last_[sampled.seq] = fresh;
    }
    return true;
  }
  std::map<SeqId, TokenId> last_;
};

class OtherTokensLogprob final : public ResultBug {
  bool Bend(int, StepResult& result, WorkerOutbox&) override {
    for (SampledToken& sampled : result.sampled) {
      sampled.logprob.logprob = std::nextafter(sampled.logprob.logprob, 0.0F);
    }
    return true;
  }
};

class PromptLogprobsShifted final : public ResultBug {
  bool Bend(int, StepResult& result, WorkerOutbox&) override {
    for (PromptLogprobs& prompt : result.prompt_logprobs) {
      if (prompt.entries.size() > 1) std::swap(prompt.entries[0], prompt.entries[1]);
    }
    return true;
  }
};

class OtherDigest final : public Tamper {
  void OfCoordinator(CoordinatorOutbox& outbox) override {
    for (CoordinatorEffect& effect : outbox) {
      auto* tell = std::get_if<TellWorker>(&effect);
      auto* ask = tell == nullptr ? nullptr : std::get_if<StepAsk>(&tell->message);
      if (ask == nullptr || ask->part_index != 1) continue;
      ask->digest ^= 1;
      return;
    }
  }
};

// A plan is bent on its way to the only worker of a cluster, so that no digest shows it: the worker
// sees a plan that agrees with itself, the coordinator a result that agrees with what it sent.
class PlanBug : public Tamper {
 public:
  void OfArrival(int, ToWorker& message) override {
    auto* ask = std::get_if<StepAsk>(&message);
    if (ask == nullptr || ask->part_digests.size() != 1) return;
    Bend(ask->part);
    sent_[ask->step] = ask->digest;
    ask->part_digests[0] = DigestOf(ask->part);
    ask->part_rows[0] = static_cast<std::int32_t>(ask->part.rows());
    ask->digest = PlanDigest(*ask);
  }
  void OfWorker(int, WorkerOutbox& outbox) override {
    for (WorkerEffect& effect : outbox) {
      auto* tell = std::get_if<Tell>(&effect);
      auto* result = tell == nullptr ? nullptr : std::get_if<StepResult>(&tell->message);
      if (result == nullptr) continue;
      if (const auto sent = sent_.find(result->step); sent != sent_.end()) {
        result->digest = sent->second;
      }
    }
  }

 protected:
  virtual void Bend(WorkerPart& part) = 0;

 private:
  std::map<StepId, std::uint64_t> sent_;
};

// A block that another sequence holds is given out again, as after a block was freed twice.
class BlockGivenTwice final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (const SeqId seq : part.closes) held_.erase(seq);
    for (Chunk& chunk : part.chunks) {
      for (BlockId& block : chunk.new_blocks) {
        for (const auto& [seq, theirs] : held_) {
          if (seq != chunk.seq) block = theirs;
        }
        held_[chunk.seq] = block;
      }
    }
  }
  std::map<SeqId, BlockId> held_;
};

// A prefix is found in the cache that is not there.
class FalseHit final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (SequenceOpen& open : part.opens) {
      if (!open.blocks.empty()) open.blocks.back().value ^= 1;
    }
  }
};

class PositionShifted final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (SequenceOpen& open : part.opens) {
      // After a recompute draws begin anew.
      if (open.tokens.size() > static_cast<std::size_t>(open.prompt_tokens)) ++open.sampling.seed;
    }
  }
};

class EmittedTakenForPrompt final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (SequenceOpen& open : part.opens) {
      open.prompt_tokens = static_cast<std::int32_t>(open.tokens.size());
    }
  }
};

class TokenOfRecomputeWrong final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (SequenceOpen& open : part.opens) {
      const auto prompt = static_cast<std::size_t>(open.prompt_tokens);
      if (open.tokens.size() > prompt + 1) std::swap(open.tokens[prompt], open.tokens[prompt + 1]);
    }
  }
};

class MinTokensLost final : public PlanBug {
  void Bend(WorkerPart& part) override {
    for (SequenceOpen& open : part.opens) open.sampling.min_tokens = 0;
  }
};

// Who could not open an epoch keeps its next address to itself.
class AddressKept final : public Tamper {
  void OfWorker(int, WorkerOutbox& outbox) override {
    for (WorkerEffect& effect : outbox) {
      auto* tell = std::get_if<Tell>(&effect);
      auto* ready = tell == nullptr ? nullptr : std::get_if<Ready>(&tell->message);
      if (ready != nullptr && !ready->ok) ready->standby_address.clear();
    }
  }
};

template <typename Bug>
PlantedBug Plant(std::string name, std::string scenario, int seeds) {
  return {std::move(name), std::move(scenario), seeds,
          []() -> std::unique_ptr<Tamper> { return std::make_unique<Bug>(); }};
}

}  // namespace

std::vector<PlantedBug> WorkerBugs() {
  std::vector<PlantedBug> bugs;
  bugs.push_back(Plant<ResultTwice>("a result is sent twice", "mixed", 5));
  bugs.push_back(Plant<ResultLost>("a result is lost", "mixed", 5));
  bugs.push_back(Plant<StaleResult>("a stale result is taken", "mixed", 5));
  bugs.push_back(Plant<OtherTokensLogprob>("a logprob is off by its last bit", "mixed", 3));
  bugs.push_back(Plant<PromptLogprobsShifted>("prompt logprobs change places", "mixed", 20));
  bugs.push_back(Plant<OtherDigest>("one worker is sent another digest", "wide", 5));
  bugs.push_back(Plant<BlockGivenTwice>("a block is given out twice", "calm", 5));
  bugs.push_back(Plant<FalseHit>("a cache hit is not what it says", "prefix", 60));
  bugs.push_back(Plant<PositionShifted>("draws begin anew after a recompute", "preempt", 60));
  bugs.push_back(
      Plant<EmittedTakenForPrompt>("a recompute takes emitted tokens for prompt", "preempt", 300));
  bugs.push_back(Plant<TokenOfRecomputeWrong>("a recompute mixes tokens up", "preempt", 60));
  bugs.push_back(Plant<MinTokensLost>("min_tokens is forgotten", "calm", 60));
  bugs.push_back(Plant<AddressKept>("a failed epoch uses an address up", "crash", 600));
  return bugs;
}

}  // namespace conclave::sim
