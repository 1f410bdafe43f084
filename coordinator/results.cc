#include "coordinator/results.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/streams/streams.h"

namespace conclave {
namespace {

Reception Nonsense(std::string why) { return {Trust::kNonsense, std::move(why)}; }
Reception Ignored(std::string why) { return {Trust::kIgnored, std::move(why)}; }

// Finds rows by sequence. A worker reports in the plan's order, so each search goes on where the last
// one ended, and a whole report is one walk.
class RowFinder {
 public:
  explicit RowFinder(const PlannedPart& part) : rows_(part.rows) {}
  const PlannedRow* Find(SeqId seq) {  // null: the part has no such row
    for (std::size_t tried = 0; tried < rows_.size(); ++tried) {
      if (rows_[at_].seq == seq) return &rows_[at_];
      at_ = at_ + 1 < rows_.size() ? at_ + 1 : 0;
    }
    return nullptr;
  }

 private:
  const std::vector<PlannedRow>& rows_;
  std::size_t at_ = 0;
};

// Null: the worker has no part in the step.
PlannedPart* PartOf(PlannedStep& step, Slot slot) {
  const auto found = std::ranges::lower_bound(step.parts, slot, std::less{}, &PlannedPart::slot);
  return found == step.parts.end() || found->slot != slot ? nullptr : &*found;
}

// Answers come in the order of the plan's sampling chunks.
std::string CheckSampled(const CoordinatorState& state, const PlannedPart& part,
                         const StepResult& result) {
  std::size_t next = 0;
  for (const PlannedRow& row : part.rows) {
    if (!row.sample) continue;
    if (next == result.sampled.size()) return "a sampled token is missing";
    const SampledToken& sampled = result.sampled[next++];
    if (sampled.seq != row.seq || sampled.position != row.begin + row.count) {
      return absl::StrCat("sampled sequence ", sampled.seq.value, " position ", sampled.position,
                          ", the plan says ", row.seq.value, " position ", row.begin + row.count);
    }
    if (sampled.token < 0 || sampled.token >= state.model.facts.vocab) {
      return absl::StrCat("token ", sampled.token, " is not in the vocabulary");
    }
  }
  return next == result.sampled.size() ? "" : "more tokens than the plan samples";
}

std::string CheckExtras(const CoordinatorState& state, const PlannedPart& part,
                        const StepResult& result) {
  const ModelFacts& facts = state.model.facts;
  RowFinder of_prompts(part), of_routed(part);
  for (const PromptLogprobs& prompt : result.prompt_logprobs) {
    const PlannedRow* row = of_prompts.Find(prompt.seq);
    const auto end =
        static_cast<std::int64_t>(prompt.begin) + static_cast<std::int64_t>(prompt.entries.size());
    // The row of position p answers for position p + 1.
    if (row == nullptr || prompt.begin < row->begin + 1 || end > row->begin + row->count + 1) {
      return "prompt logprobs of positions that were not planned";
    }
  }
  for (const RoutedExperts& routed : result.routed) {
    const PlannedRow* row = of_routed.Find(routed.seq);
    if (row == nullptr || routed.begin < row->begin || routed.positions < 0 ||
        routed.begin + std::int64_t{routed.positions} > row->begin + row->count ||
        static_cast<std::int64_t>(routed.ids.size()) !=
            std::int64_t{routed.positions} * facts.moe_layers * facts.topk) {
      return "routed experts of positions that were not planned";
    }
  }
  const auto cells =
      static_cast<std::size_t>(facts.moe_layers) * static_cast<std::size_t>(facts.experts);
  if (!result.expert_rows.empty() && result.expert_rows.size() != cells) {
    return "expert rows of another shape";
  }
  for (const PhaseTime& time : result.phases) {
    if (time.phase >= std::size(kPhaseNames)) return absl::StrCat("phase ", int{time.phase});
  }
  return "";
}

// Positions may come again after a recompute: each counts once.
void TakePromptLogprobs(Request& request, const PromptLogprobs& prompt) {
  if (request.usage.completion_tokens > 0) return;  // all are here
  for (std::size_t i = 0; i < prompt.entries.size(); ++i) {
    const std::int64_t position = prompt.begin + static_cast<std::int64_t>(i);
    const auto next = static_cast<std::int64_t>(request.prompt_logprobs.size()) + 1;
    if (position == next && position < request.prompt_tokens) {
      request.prompt_logprobs.push_back(prompt.entries[i]);
    }
  }
}

void TakeRouted(Request& request, const RoutedExperts& routed) {
  if (routed.positions == 0) return;
  const auto per_position = routed.ids.size() / static_cast<std::size_t>(routed.positions);
  const std::int32_t skip = request.routed_positions - routed.begin;
  if (skip < 0 || skip >= routed.positions) return;
  request.routed.insert(request.routed.end(),
                        routed.ids.begin() + static_cast<std::ptrdiff_t>(
                                                 per_position * static_cast<std::size_t>(skip)),
                        routed.ids.end());
  request.routed_positions += routed.positions - skip;
}

// Null: the sequence is closed, what came of it is of no use.
Stay* StayOf(Request& request, SeqId seq) {
  if (request.seq == seq) return &request;
  Understudy* understudy = request.understudy.get();
  return understudy != nullptr && understudy->seq == seq ? understudy : nullptr;
}

void ApplyRows(CoordinatorState& state, const PlannedPart& part, Micros now,
               const StepResult& result, CoordinatorOutbox& outbox) {
  // What an understudy reports, the request's own sequence has reported before.
  const auto find = [&](RowFinder& rows, SeqId seq) -> Request* {
    const PlannedRow* row = rows.Find(seq);
    Request* request = row == nullptr ? nullptr : state.requests.Find(row->request);
    return request != nullptr && request->seq == seq ? request : nullptr;
  };
  RowFinder of_prompts(part), of_routed(part);
  for (const PromptLogprobs& prompt : result.prompt_logprobs) {
    if (Request* request = find(of_prompts, prompt.seq)) TakePromptLogprobs(*request, prompt);
  }
  for (const RoutedExperts& routed : result.routed) {
    if (Request* request = find(of_routed, routed.seq)) TakeRouted(*request, routed);
  }
  std::size_t next = 0;
  for (const PlannedRow& row : part.rows) {
    const SampledToken* sampled = row.sample ? &result.sampled[next++] : nullptr;
    // Gone: it ended while this was under way. Then the result is of no use.
    Request* request = state.requests.Find(row.request);
    Stay* stay = request == nullptr ? nullptr : StayOf(*request, row.seq);
    if (stay == nullptr) continue;
    if (request->state == RequestState::kRunning) {
      stay->done = row.begin + row.count;
      stay->confirmed = true;
    }
    if (sampled == nullptr) continue;
    CONCLAVE_CHECK(request->in_flight > 0 &&
                   sampled->position == static_cast<std::int32_t>(request->tokens.size()));
    --request->in_flight;
    Emit(state, *request, {.now = now, .sampled = *sampled}, outbox);
  }
}

// A row that could not be routed goes on without its experts, so its tokens are wrong: somebody must
// know, but not in every step.
void WarnOfBadRows(CoordinatorState& state, Micros now, const StepResult& result,
                   CoordinatorOutbox& outbox) {
  constexpr Micros kPause = 10'000'000;
  if (result.bad_router_rows == 0) return;
  if (state.bad_rows_logged.has_value() && now - *state.bad_rows_logged < kPause) return;
  state.bad_rows_logged = now;
  Log(outbox, LogLine::Level::kWarning,
      absl::StrCat("slot ", result.slot.value, ": router logits of ", result.bad_router_rows,
                   " rows in step ", result.step.value, " are not numbers (",
                   state.totals.bad_router_rows,
                   " rows since start): their experts count as zero. Weights or arithmetic are "
                   "broken"));
}

void AddTotals(CoordinatorState& state, Home& home, const PlannedPart& part,
               const StepResult& result) {
  for (const PhaseTime& time : result.phases) {
    PhaseTotal& total = state.totals.phases[time.phase];
    total.micros += time.micros;
    total.bytes += time.bytes;
    total.ops += time.ops;
  }
  state.totals.bytes_sent += result.bytes_sent;
  state.totals.bytes_received += result.bytes_received;
  state.totals.bad_router_rows += result.bad_router_rows;
  state.totals.expert_rows.resize(
      std::max(state.totals.expert_rows.size(), result.expert_rows.size()));
  std::uint64_t expert_rows = 0;
  for (std::size_t i = 0; i < result.expert_rows.size(); ++i) {
    state.totals.expert_rows[i] += result.expert_rows[i];
    expert_rows += result.expert_rows[i];
  }
  state.totals.expert_rows_in_all += expert_rows;
  home.expert_rows += expert_rows;
  state.recent_load.Add(result.expert_rows);
  home.expert_work.Add(result.phases);
  for (const PlannedRow& row : part.rows) home.rows += static_cast<std::uint64_t>(row.count);
}

}  // namespace

Reception ReceiveResult(CoordinatorState& state, const WorkerLink& link, Micros now,
                        const StepResult& result, CoordinatorOutbox& outbox) {
  if (result.slot != link.slot)
    return Nonsense(absl::StrCat("answers for slot ", result.slot.value));
  if (result.epoch > state.epoch) return Nonsense("a result of an epoch that is not committed");
  if (result.epoch < state.epoch) {
    return Ignored(absl::StrCat("a result of old epoch ", result.epoch.number));
  }
  const auto step = std::ranges::find(state.in_flight, result.step, &PlannedStep::step);
  if (step == state.in_flight.end()) {
    return Ignored(absl::StrCat("a result of step ", result.step.value, ", not under way"));
  }
  PlannedPart* const part = PartOf(*step, result.slot);
  if (part == nullptr) return Ignored("a result of a slot that has no part");
  if (part->answered) return Ignored(absl::StrCat("step ", result.step.value, " answered twice"));
  if (result.digest != step->digest) return Nonsense("the plan's digest differs");
  for (auto earlier = state.in_flight.begin(); earlier != step; ++earlier) {
    const PlannedPart* before = PartOf(*earlier, result.slot);
    if (before != nullptr && !before->answered) {
      return Nonsense("a step was answered before the one before it");
    }
  }
  std::string wrong = CheckSampled(state, *part, result);
  if (wrong.empty()) wrong = CheckExtras(state, *part, result);
  if (!wrong.empty()) return Nonsense(std::move(wrong));

  part->answered = true;
  state.HomeAt(result.slot).answered = result.step;
  ApplyRows(state, *part, now, result, outbox);
  AddTotals(state, state.HomeAt(result.slot), *part, result);
  WarnOfBadRows(state, now, result, outbox);
  if (--step->answers_missing == 0) {
    CONCLAVE_CHECK(step == state.in_flight.begin(), "a later step is done first");
    step->measured.length = now - std::max(step->planned, state.step_ended);
    state.step_time.Learn(step->measured);
    state.step_ended = now;
    state.in_flight.pop_front();
    ++state.totals.steps;
    state.reconfig.StepFinished();
  }
  return {};
}

}  // namespace conclave
