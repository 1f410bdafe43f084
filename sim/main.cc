// conclave-sim: seeds of faults over the real cores, in virtual time.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "cli/flags.h"
#include "sim/campaign.h"

namespace conclave::sim {
namespace {

// What to say when a core's CHECK ends this process.
char replay_line[256];
void SayReplay(int) {
  std::fputs(replay_line, stdout);
  std::fflush(stdout);
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

struct Flags {
  std::uint64_t seeds = 1000;
  std::uint64_t first_seed = 1;
  std::optional<double> seconds;
  std::string scenario = "any";
  bool trace = false;
};

struct Tally {
  std::uint64_t seeds = 0, steps = 0, faults = 0, epochs = 0, resumes = 0, failures = 0, tokens = 0,
                preemptions = 0, cached = 0, in_rounds = 0;

  void Add(const Report& report) {
    ++seeds;
    steps += report.steps;
    in_rounds += report.steps_in_rounds;
    faults += report.faults;
    epochs += report.epochs;
    resumes += report.resumes;
    tokens += report.tokens;
    preemptions += report.preemptions;
    cached += report.cached_tokens;
    failures += report.failures.empty() ? 0 : 1;
  }
};

// Wall time: only how many seeds are run depends on it.
bool TimeIsUp(const Flags& flags, Micros began) {
  return flags.seconds.has_value() &&
         static_cast<double>(SteadyMicros() - began) >= *flags.seconds * 1e6;
}

int RunAll(const Flags& flags) {
  const Scenario* scenario = FindScenario(flags.scenario);
  Campaign campaign;
  Tally tally;
  TraceFn trace;
  if (flags.trace)
    trace = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  std::signal(SIGABRT, SayReplay);
  const Micros began = SteadyMicros();
  for (std::uint64_t i = 0; i < flags.seeds && !TimeIsUp(flags, began); ++i) {
    const std::uint64_t seed = flags.first_seed + i;
    const std::string replay = ReplayCommand(seed, scenario);
    std::snprintf(replay_line, sizeof replay_line, "FAILED: %s\n", replay.c_str());
    const Report report = campaign.RunSeed(seed, scenario, nullptr, trace);
    tally.Add(report);
    for (const std::string& failure : report.failures) {
      std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed),
                   failure.c_str());
    }
    if (report.failures.empty()) continue;
    std::fputs(replay_line, stdout);
    std::fflush(stdout);
  }
  std::puts(absl::StrCat(tally.seeds, " seeds, ", tally.steps, " steps, ", tally.in_rounds, " in rounds, ", tally.tokens,
                         " tokens, ", tally.cached, " cached, ", tally.preemptions,
                         " preemptions, ", tally.epochs, " epochs, ", tally.resumes, " resumes, ",
                         tally.faults, " faults, ", tally.failures, " failures")
                .c_str());
  return tally.failures == 0 ? kExitDone : kExitFailed;
}

int Main(int argc, const char* const* argv) {
  Flags flags;
  CLI::App app("The simulator: seeds of faults over the real cores, in virtual time.",
               "conclave-sim");
  std::string kinds = "Kind of world; any: the seed decides.";
  std::vector<std::string> names = {"any"};
  for (const Scenario& scenario : Scenarios()) {
    names.emplace_back(std::string(scenario.name));
    absl::StrAppend(&kinds, "\n  ", scenario.name, ": ", scenario.what);
  }
  app.add_option("--seeds", flags.seeds, "How many seeds")->capture_default_str();
  app.add_option("--first-seed", flags.first_seed, "The first of them")->capture_default_str();
  app.add_option(
         "--seconds", flags.seconds,
         "Stop after this many seconds, however many seeds are left; alone: as many seeds as fit")
      ->check(CLI::PositiveNumber);
  AddChoice(app, "--scenario", flags.scenario, names, kinds);
  app.add_flag("--trace", flags.trace, "Say on standard error what happens");
  if (const auto exit = ParseFlags(app, argc, argv)) return *exit;
  if (flags.seconds.has_value() && app.count("--seeds") == 0) {
    flags.seeds = std::numeric_limits<std::uint64_t>::max();
  }
  return RunAll(flags);
}

}  // namespace
}  // namespace conclave::sim

int main(int argc, char** argv) { return conclave::sim::Main(argc, argv); }
