#include "tests/coordinator/schedule/step_rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/audit.h"
#include "coordinator/results.h"
#include "coordinator/schedule/plan_step.h"

namespace conclave {
namespace {

CoordinatorCore::Model LongContextModel() {
  CoordinatorCore::Model model{.facts = FakeFacts()};
  model.facts.context = kContextMax;
  model.context_per_row = StepRig::kContextPerRow;
  return model;
}

}  // namespace

StepRig::StepRig(const CoordinatorConfig& config, const std::vector<WorkerShape>& shapes)
    : state_(config, LongContextModel(), nullptr) {
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Slot slot{static_cast<std::int32_t>(i)};
    state_.homes[i] = std::make_unique<Home>(World::HelloOf(absl::StrCat("w", i), shapes[i]), slot,
                                             LinkId{i}, config.prefix_cache);
    state_.live.push_back(slot);
  }
}

RequestId StepRig::Add(std::int32_t prompt, int generate) {
  auto request = std::make_unique<Request>();
  request->order = {now_, RequestId{++requests_}};
  request->name = absl::StrCat("r", requests_);
  request->prompt_tokens = prompt;
  request->length_max = prompt + generate;
  request->max_tokens_given = true;
  for (std::int32_t i = 0; i < prompt; ++i) {
    request->tokens.push_back(static_cast<TokenId>((requests_ * 7919 + 31u * i) % 900));
  }
  return state_.requests.Add(std::move(request)).order.id;
}

std::size_t StepRig::FirstToken(RequestId id) const {
  const auto found = first_token_.find(id);
  return found == first_token_.end() ? 0 : found->second;
}

// What a worker would refuse (worker/check_ask.cc, worker/sequences_check.cc).
void StepRig::Check(const StepPlan& plan) {
  for (const WorkerPart& part : plan.parts) {
    EXPECT_LE(part.rows(), state_.HomeAt(part.slot).rows_max);
    for (const SeqId seq : part.closes) EXPECT_EQ(open_.erase(seq), 1u);
    for (const SequenceOpen& open : part.opens) {
      const auto computed = static_cast<std::int32_t>(open.blocks.size()) * kKvBlockTokens;
      EXPECT_TRUE(open_.emplace(open.seq, computed).second);
    }
    std::set<SeqId> seen;
    for (const Chunk& chunk : part.chunks) {
      EXPECT_TRUE(seen.insert(chunk.seq).second) << "two chunks of one sequence";
      EXPECT_GE(chunk.count, 1);
      EXPECT_EQ(chunk.begin, open_.at(chunk.seq));
      open_.at(chunk.seq) = chunk.begin + chunk.count;
    }
  }
  for (const Slot slot : state_.live) {
    const auto living = std::ranges::count_if(
        state_.requests.running(), [&](const Request* request) { return request->home == slot; });
    EXPECT_LE(living, std::min(state_.HomeAt(slot).rows_max, kSequencesMax));
  }
}

bool StepRig::Step() {
  const StepTime time = state_.step_time;  // as it was when the step was planned
  std::optional<StepPlan> plan = PlanStep(state_, now_);
  if (!plan.has_value()) return false;
  Check(*plan);
  const RowCost cost(kContextPerRow);
  SeenStep seen{.prompts_wait = !state_.requests.waiting().empty()};
  seen.decode_rows = state_.in_flight.back().measured.decode_rows;
  for (const WorkerPart& part : plan->parts) {
    std::int64_t used = 0;
    for (const Chunk& chunk : part.chunks) used += cost.Of(chunk.begin, chunk.count);
    const std::int32_t rows_max =
        std::min(state_.HomeAt(part.slot).rows_max, state_.config.worker_rows_max);
    const std::int64_t limit = std::min(time.CostLimit(seen.decode_rows), cost.OfRows(rows_max));
    seen.rows.push_back(part.rows());
    seen.cost.push_back(used);
    seen.fill.push_back(
        std::max(static_cast<double>(used) / static_cast<double>(limit),
                 static_cast<double>(part.rows()) / static_cast<double>(rows_max)));
  }
  EXPECT_EQ(*std::ranges::max_element(seen.cost), state_.in_flight.back().measured.cost);
  const double rows = static_cast<double>(*std::ranges::max_element(seen.cost)) / kContextPerRow;
  seen.length = static_cast<Micros>((static_cast<double>(fixed_) + per_row_ * rows) * noise_());
  now_ += seen.length;
  steps_.push_back(std::move(seen));
  Answer();
  return true;
}

// Every worker answers; the sampled token is always 5.
void StepRig::Answer() {
  const PlannedStep step = state_.in_flight.front();
  for (const PlannedPart& part : step.parts) {
    StepResult result{.step = step.step, .slot = part.slot};
    for (const PlannedRow& row : part.rows) {
      if (!row.sample) continue;
      result.sampled.push_back({.seq = row.seq, .position = row.begin + row.count, .token = 5});
      first_token_.try_emplace(row.request, steps_.size());
    }
    WorkerLink link;
    link.slot = part.slot;
    CoordinatorOutbox outbox;
    const Reception reception = ReceiveResult(state_, link, now_, result, outbox);
    ASSERT_EQ(reception.trust, Trust::kApplied) << reception.why;
  }
}

}  // namespace conclave
