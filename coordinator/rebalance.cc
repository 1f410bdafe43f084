#include "coordinator/rebalance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "coordinator/placement_inputs.h"

namespace conclave {
namespace {

constexpr double kPayBackWithin = 600;  // seconds
// What a worker loads beside its steps in a second, and how much of a step's time that takes.
constexpr double kLoadBytesPerSecond = 500e6;
constexpr double kLoadSlowsSteps = 0.5;
constexpr double kPauseSeconds = 0.05;  // of the change itself, generously
// Rows per expert without which the measured loads are noise.
constexpr double kRowsMin = 16;
constexpr double kRowsMinUnasked = 256;
// Part of the slowest workers' expert time.
constexpr double kGainMin = 0.02;
constexpr double kGainMinUnasked = 0.1;
constexpr double kClearly = 4;  // saved is so many times the cost, unasked

double RowsPerExpert(const CoordinatorState& state) {
  const ModelFacts& facts = state.model.facts;
  const double experts = static_cast<double>(facts.moe_layers) * facts.experts;
  return experts > 0 ? state.recent_load.rows() / experts : 0;
}

// The part of the time that the average worker spent in experts; all of it where nobody measures.
double ExpertPart(const CoordinatorState& state, Micros now) {
  double micros = 0;
  for (const Slot slot : state.live) micros += state.HomeAt(slot).expert_work.micros;
  const double covered = state.recent_load.covered(now) * static_cast<double>(state.live.size());
  return micros > 0 && covered > 0 ? std::min(1.0, micros / covered) : 1;
}

std::string TextOf(const RebalanceForecast& forecast, const PlacementAsk& ask) {
  const Rebalanced& result = forecast.result;
  const double bytes = static_cast<double>(result.loads.all) * static_cast<double>(ask.expert_bytes);
  return absl::StrFormat(
      "%d of %d experts are loaded anew (%.1f MB, at most %d by one worker); the slowest worker of "
      "a layer takes %.2f times the mean and would take %.2f times; that saves %.1f s of the next "
      "%.0f s and costs %.1f s",
      result.loads.all, ask.moe_layers * ask.experts, bytes / 1e6, result.loads.most,
      result.before.imbalance(), result.after.imbalance(), forecast.saved, kPayBackWithin,
      forecast.cost);
}

// Why no planned change can be begun now; empty: one can.
std::string WhyNotNow(const CoordinatorState& state, Micros now) {
  const Reconfig& reconfig = state.reconfig;
  if (!reconfig.serving()) return absl::StrCat("not serving: ", reconfig.not_ready_because);
  if (!reconfig.MayPlan() || reconfig.staged() != nullptr || reconfig.change_due) {
    return "another change is being made; ask again when it is done";
  }
  if (now < reconfig.retry_at) {
    return absl::StrCat("no change is tried for ", (reconfig.retry_at - now) / 1'000'000 + 1,
                        " s: ", reconfig.given_up);
  }
  return "";
}

void Begin(CoordinatorState& state, Micros now) {
  state.reconfig.rebalance_wanted = true;
  state.reconfig.NoteMembersChanged(now);
}

}  // namespace

RebalanceLimits LimitsOfOneChange(const PlacementAsk& ask) {
  const int copies = ask.moe_layers * ask.experts * std::max(1, ask.replicas);
  const int workers = static_cast<int>(ask.workers.size());
  const int all = std::max(4, copies / 16);
  return {.loads_all = all, .loads_each = std::max(2, 2 * all / workers)};
}

absl::StatusOr<RebalanceForecast> ForecastRebalance(const CoordinatorState& state, Micros now) {
  if (state.live.size() < 2) return absl::FailedPreconditionError("one worker has all experts");
  if (state.model.facts.moe_layers == 0) {
    return absl::FailedPreconditionError("the model has no experts to place");
  }
  if (RowsPerExpert(state) < kRowsMin) {
    return absl::FailedPreconditionError(
        absl::StrFormat("too little was measured lately: %.1f rows per expert, and %.0f are needed",
                        RowsPerExpert(state), kRowsMin));
  }
  const PlacementInputs inputs(state, Members(state), &state.placement);
  const PlacementAsk& ask = inputs.ask();
  RebalanceForecast forecast{.result = Rebalance(ask, LimitsOfOneChange(ask))};
  const Rebalanced& result = forecast.result;
  forecast.gain = 1 - result.after.slowest / result.before.slowest;
  forecast.saved = kPayBackWithin * ExpertPart(state, now) *
                   (result.before.imbalance() - result.after.imbalance());
  const double bytes =
      static_cast<double>(result.loads.most) * static_cast<double>(ask.expert_bytes);
  forecast.cost = kPauseSeconds + kLoadSlowsSteps * bytes / kLoadBytesPerSecond;
  forecast.text = TextOf(forecast, ask);
  return forecast;
}

void TakeRebalance(CoordinatorState& state, const RebalanceAsked& asked,
                   CoordinatorOutbox& outbox) {
  const auto refuse = [&](std::string why) {
    outbox.push_back(TellAdmin{asked.ticket, absl::FailedPreconditionError(why), ""});
  };
  if (std::string why = WhyNotNow(state, asked.now); !why.empty()) return refuse(std::move(why));
  absl::StatusOr<RebalanceForecast> forecast = ForecastRebalance(state, asked.now);
  if (!forecast.ok()) return refuse(std::string(forecast.status().message()));
  if (forecast->gain < kGainMin || forecast->saved <= forecast->cost) {
    return refuse(absl::StrCat("it does not pay: ", forecast->text));
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("experts are placed by load, an operator asked: ", forecast->text));
  outbox.push_back(TellAdmin{asked.ticket, absl::OkStatus(), std::move(forecast->text)});
  Begin(state, asked.now);
}

void ConsiderRebalance(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  if (const double factor = state.recent_load.Fade(now); factor < 1) {
    for (const Slot slot : state.live) state.HomeAt(slot).expert_work.Fade(factor);
  }
  Reconfig& reconfig = state.reconfig;
  if (state.config.rebalance == RebalanceMode::kManual || !reconfig.serving()) return;
  const Micros changed = reconfig.recent.empty() ? 0 : reconfig.recent.back().at;
  const Micros since = std::max(changed, reconfig.rebalance_considered_at);
  if (now - since < state.config.rebalance_pause || !WhyNotNow(state, now).empty()) return;
  reconfig.rebalance_considered_at = now;
  if (RowsPerExpert(state) < kRowsMinUnasked) return;
  const absl::StatusOr<RebalanceForecast> forecast = ForecastRebalance(state, now);
  if (!forecast.ok() || forecast->gain < kGainMinUnasked ||
      forecast->saved < kClearly * forecast->cost) {
    return;
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("experts are placed by load: ", forecast->text));
  Begin(state, now);
}

}  // namespace conclave
