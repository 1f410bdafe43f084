// The planner over virtual time: every step takes as long as a cost model says, every worker checks
// what it is asked against its limits, and every sampled token is the same. Nothing is computed.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "coordinator/state.h"
#include "tests/coordinator/world.h"

namespace conclave {

// What a step was, for the tests to judge.
struct SeenStep {
  Micros length = 0;
  bool decode_rows = false;   // some worker ran some
  bool prompts_wait = false;  // the queue was not empty when it was planned
  // By worker: the part of its budget that it got, of cost or of rows, the larger one.
  std::vector<double> fill;
  std::vector<std::int64_t> rows, cost;  // by worker
};

class StepRig {
 public:
  static constexpr std::int64_t kContextPerRow = 7000;

  StepRig(const CoordinatorConfig& config, const std::vector<WorkerShape>& shapes);

  // A request that generates `generate` tokens.
  RequestId Add(std::int32_t prompt, int generate);
  // Plans, runs and answers one step; false when there is nothing to do.
  bool Step();
  // A step's length: `fixed` and `per_row` for every row's worth of cost on the worker that has most.
  void SetModel(Micros fixed, double per_row) { fixed_ = fixed, per_row_ = per_row; }
  void SetNoise(std::function<double()> noise) { noise_ = std::move(noise); }

  CoordinatorState& state() { return state_; }
  const std::vector<SeenStep>& steps() const { return steps_; }
  const SeenStep& last() const { return steps_.back(); }
  bool Live(RequestId id) { return state_.requests.Find(id) != nullptr; }
  // The step in which the request got its first token; 0: not yet.
  std::size_t FirstToken(RequestId id) const;

 private:
  void Check(const StepPlan& plan);
  void Answer();

  CoordinatorState state_;
  std::vector<SeenStep> steps_;
  std::map<RequestId, std::size_t> first_token_;
  std::map<SeqId, std::int32_t> open_;  // computed positions of every open sequence
  Micros fixed_ = 1000;
  double per_row_ = 10;
  std::function<double()> noise_ = [] { return 1.0; };
  Micros now_ = 1;
  std::uint64_t requests_ = 0;
};

}  // namespace conclave
