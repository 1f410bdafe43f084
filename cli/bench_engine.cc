// `conclave bench engine`: prefill and decode of the worker alone, beside what the machine can do
// at that moment, measured on the same threads right before and after.
#include <algorithm>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/limits.h"
#include "base/status.h"
#include "cli/bench_cluster.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/progress.h"
#include "worker/edge/machine.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

struct EngineFlags {
  std::string model;
  ComputeFlags compute;
  BenchShape shape;
  int repeat = 3;
  int measure_ms = 800;  // each reading of the machine
};

void AddFlags(CLI::App& app, EngineFlags& flags) {
  BenchShape& shape = flags.shape;
  const auto count = [&app](const char* flag, int& into, int least, int most, const char* help) {
    app.add_option(flag, into, help)->check(CLI::Range(least, most))->capture_default_str();
  };
  app.add_flag("--json")->description("what a bench prints anyway: one JSON object");
  app.add_option("--model", flags.model, "model directory")->required()->type_name("DIR");
  count("--prompt", shape.prompt, 1, kContextMax, "tokens of each prompt");
  count("--generate", shape.generate, 1, kContextMax, "decode steps");
  count("--batch", shape.batch, 1, kRowsPerStepMax, "sequences");
  count("--depth", shape.depth, 0, kContextMax,
        "positions before the first decode step; 0: those of the prompt");
  count("--workers", shape.workers, 1, kSlotsMax, "workers, as threads of this process");
  count("--step-rows", shape.step_rows, 1, kRowsPerStepMax, "prompt tokens of one step");
  count("--repeat", flags.repeat, 1, 1000, "repetitions; medians are reported");
  count("--measure-ms", flags.measure_ms, 40, 60'000, "time of each reading of the machine");
  AddComputeFlags(app, flags.compute);
}

// What some steps took.
struct Stretch {
  double seconds = 0;
  int steps = 0;
  double bytes = 0, ops = 0;  // of all workers
  std::vector<PhaseTime> phases = std::vector<PhaseTime>(std::size(kPhaseNames));

  void Add(const std::vector<StepResult>& results) {
    ++steps;
    for (const StepResult& result : results) {
      for (const PhaseTime& time : result.phases) {
        PhaseTime& sum = phases[time.phase];
        sum.micros += time.micros;
        sum.bytes += time.bytes;
        sum.ops += time.ops;
        // What goes over the wire was read and written by the phases beside it.
        if (std::string_view(kPhaseNames[time.phase]) == "exchange") continue;
        bytes += static_cast<double>(time.bytes);
        ops += static_cast<double>(time.ops);
      }
    }
  }
};

using NextParts = std::function<std::optional<BenchPlans::Parts>()>;

// Runs steps until there is none, one of them ahead, as the coordinator would.
absl::StatusOr<Stretch> RunSteps(BenchCluster& cluster, const NextParts& next) {
  Stretch stretch;
  int ahead = 0;
  const Micros began = SteadyMicros();
  for (auto parts = next(); parts || ahead > 0;) {
    while (parts && ahead < kPlansAheadMax) {
      cluster.Submit(*std::move(parts));
      ++ahead;
      parts = next();
    }
    ASSIGN_OR_RETURN(const std::vector<StepResult> results, cluster.Await());
    --ahead;
    stretch.Add(results);
  }
  stretch.seconds = static_cast<double>(SteadyMicros() - began) / 1e6;
  return stretch;
}

struct Repetition {
  MachineReading machine;  // the mean of before and after
  Stretch prefill, decode;
};

MachineReading Mean(const MachineReading& a, const MachineReading& b) {
  return {.read_gbps = (a.read_gbps + b.read_gbps) / 2,
          .int8_gops = (a.int8_gops + b.int8_gops) / 2,
          .bf16_gflops = (a.bf16_gflops + b.bf16_gflops) / 2,
          .fp32_gflops = (a.fp32_gflops + b.fp32_gflops) / 2};
}

absl::StatusOr<Repetition> RunOnce(BenchCluster& cluster, BenchPlans& plans,
                                   const EngineFlags& flags) {
  Repetition once;
  const MachineReading before = cluster.Measure(flags.measure_ms);
  plans.OpenPrompts();
  ASSIGN_OR_RETURN(once.prefill, RunSteps(cluster, [&] { return plans.Prefill(); }));
  if (flags.shape.depth > 0) {
    // The step that opens them reads their tokens; it is not one of those counted.
    plans.OpenAtDepth();
    cluster.Submit(plans.Decode());
    const auto opened = cluster.Await();
    if (!opened.ok()) return opened.status();
  }
  int left = flags.shape.generate;
  ASSIGN_OR_RETURN(once.decode, RunSteps(cluster, [&]() -> std::optional<BenchPlans::Parts> {
                     if (left-- <= 0) return std::nullopt;
                     return plans.Decode();
                   }));
  once.machine = Mean(before, cluster.Measure(flags.measure_ms));
  return once;
}

// Numbers of one repetition, by name; medians are taken name by name.
struct Figures {
  Json machine, prefill, decode;
};

double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

Figures FiguresOf(const Repetition& once, const BenchShape& shape, bool bf16) {
  const double read = once.machine.read_gbps * 1e9;
  const double peak = (bf16 ? once.machine.bf16_gflops : once.machine.fp32_gflops) * 1e9;
  const Stretch& prefill = once.prefill;
  const Stretch& decode = once.decode;
  const double prompt_tokens = static_cast<double>(shape.batch) * shape.prompt;
  const double tokens = static_cast<double>(shape.batch) * decode.steps;
  const double bound_s = std::max(Ratio(decode.bytes, read), Ratio(decode.ops, peak));
  return {.machine = {{"read_gbps", once.machine.read_gbps},
                      {"int8_gops", once.machine.int8_gops},
                      {"bf16_gflops", once.machine.bf16_gflops},
                      {"fp32_gflops", once.machine.fp32_gflops}},
          .prefill = {{"tokens_per_second", Ratio(prompt_tokens, prefill.seconds)},
                      {"ops_per_token", Ratio(prefill.ops, prompt_tokens)},
                      {"peak_fraction", Ratio(prefill.ops, prefill.seconds * peak)}},
          .decode = {{"tokens_per_second", Ratio(tokens, decode.seconds)},
                     {"step_ms", Ratio(decode.seconds * 1e3, decode.steps)},
                     {"bytes_per_step", Ratio(decode.bytes, decode.steps)},
                     {"ops_per_step", Ratio(decode.ops, decode.steps)},
                     {"bandwidth_fraction", Ratio(decode.bytes, decode.seconds * read)},
                     {"peak_fraction", Ratio(decode.ops, decode.seconds * peak)},
                     {"bound_fraction", Ratio(bound_s, decode.seconds)}}};
}

Json MedianOf(const std::vector<Figures>& runs, Json Figures::*part) {
  Json median;
  for (const auto& item : (runs.front().*part).items()) {
    std::vector<double> values;
    for (const Figures& run : runs) values.push_back((run.*part)[item.key()].get<double>());
    median[item.key()] = QuantileOf(values, 0.5);
  }
  return median;
}

// Per step and, for the times, per worker.
Json PhasesOf(const Stretch& stretch, int workers) {
  Json phases = Json::array();
  for (std::size_t i = 0; i < std::size(kPhaseNames); ++i) {
    const PhaseTime& sum = stretch.phases[i];
    if (sum.micros == 0 && sum.bytes == 0 && sum.ops == 0) continue;
    const double steps = std::max(1, stretch.steps);
    phases.push_back({{"name", kPhaseNames[i]},
                      {"us", static_cast<double>(sum.micros) / steps / workers},
                      {"bytes", static_cast<double>(sum.bytes) / steps},
                      {"ops", static_cast<double>(sum.ops) / steps}});
  }
  return phases;
}

Json Report(const std::vector<Repetition>& repetitions, const BenchCluster& cluster,
            const BenchShape& shape) {
  std::vector<Figures> figures;
  Json runs = Json::array();
  for (const Repetition& once : repetitions) {
    figures.push_back(FiguresOf(once, shape, cluster.computes_in_bf16()));
    runs.push_back({{"machine", figures.back().machine},
                    {"prefill", figures.back().prefill},
                    {"decode", figures.back().decode}});
  }
  const Repetition& last = repetitions.back();
  return {{"kernels", cluster.kernels()},
          {"machine", MedianOf(figures, &Figures::machine)},
          {"prefill", MedianOf(figures, &Figures::prefill)},
          {"decode", MedianOf(figures, &Figures::decode)},
          {"phases", PhasesOf(last.decode, shape.workers)},
          {"prefill_phases", PhasesOf(last.prefill, shape.workers)},
          {"rss_bytes", 0},
          {"weights_bytes", cluster.weights_bytes()},
          {"kv_bytes", cluster.kv_bytes()},
          {"runs", std::move(runs)}};
}

absl::Status CheckShape(const BenchShape& shape, const ModelConfig& model) {
  const int positions = std::max(shape.prompt, shape.depth) + shape.generate + 2;
  if (positions > model.context) {
    return absl::InvalidArgumentError(absl::StrCat("--prompt or --depth, and --generate, need ",
                                                   positions, " positions; the model's context is ",
                                                   model.context));
  }
  const int rows = std::max(shape.step_rows, shape.batch) + shape.workers;
  if (rows > kRowsPerStepMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--batch and --step-rows: at most ", kRowsPerStepMax, " rows in a step"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> RunBench(EngineFlags& flags) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(flags.model));
  flags.shape.vocab = checkpoint.config.vocab;
  RETURN_IF_ERROR(CheckShape(flags.shape, checkpoint.config));
  BenchPlans plans(flags.shape);
  BenchClusterOptions options{.checkpoint = checkpoint,
                              .worker = {},
                              .workers = flags.shape.workers,
                              .rows_max = plans.rows_max(),
                              .arrivals_max = plans.arrivals_max(),
                              .sequences_max = plans.sequences_max(),
                              .kv_blocks = plans.kv_blocks()};
  RETURN_IF_ERROR(Apply(flags.compute, /*insecure=*/false, options.worker));
  NewsLine news;
  news.Show("loading weights");
  ASSIGN_OR_RETURN(const auto cluster, BenchCluster::Start(options));
  // Touches what the first step would touch, and says what that needs: the meter comes later.
  plans.OpenPrompts();
  const auto warm = RunSteps(*cluster, [&] { return plans.Prefill(); });
  if (!warm.ok()) return warm.status();
  const std::uint64_t rss_bytes = ResidentBytes();
  std::vector<Repetition> repetitions;
  for (int i = 0; i < flags.repeat && Interrupts() == 0; ++i) {
    news.Show(absl::StrCat("repetition ", i + 1, " of ", flags.repeat));
    ASSIGN_OR_RETURN(Repetition once, RunOnce(*cluster, plans, flags));
    repetitions.push_back(std::move(once));
  }
  if (repetitions.empty()) return absl::CancelledError("interrupted");
  Json report = Report(repetitions, *cluster, flags.shape);
  report["rss_bytes"] = rss_bytes;
  return report;
}

}  // namespace

int RunBenchEngine(int argc, const char* const* argv) {
  CLI::App app(
      "Measures prefill and decode of workers alone, without coordinator and network, beside what "
      "the machine can do at that moment. Prints one JSON object.",
      argv[0]);
  EngineFlags flags;
  AddFlags(app, flags);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  WatchInterrupts();
  const auto report = RunBench(flags);
  if (absl::IsCancelled(report.status())) return kExitInterrupted;
  if (!report.ok()) return Fail(argv[0], report.status());
  std::cout << report->dump() << std::endl;
  return kExitDone;
}

}  // namespace conclave
