#include "torture/options.h"

#include <algorithm>
#include <thread>

#include "CLI/Validators.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "base/status.h"
#include "cli/flags.h"

namespace conclave::torture {
namespace {

constexpr int kWorkersHere = 8;

void AddLoadFlags(CLI::App& app, TortureOptions& options) {
  app.add_option("--streams", options.streams, "requests at any time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--pool", options.pool, "different requests; each is first asked undisturbed")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "of load, the steady phase included")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  AddDuration(app, "--steady", options.steady,
              "of load before the first deed, at most a quarter of all");
  AddDuration(app, "--request-limit", options.request_limit, "a request that takes longer failed");
}

void AddDeedFlags(CLI::App& app, TortureOptions& options) {
  app.add_option("--seed", options.seed, "of requests, deeds and their times")
      ->capture_default_str();
  app.add_option("--deeds", options.deeds,
                 "which, of: kill (SIGKILL to a worker), hang (SIGSTOP for 0.2 to 3 s), join (one "
                 "more worker), drain (SIGTERM), wedge (only a worker's computing threads stop), "
                 "coordinator (SIGKILL to it), partition (see --partitions), bad-join (a worker "
                 "that must be refused)")
      ->type_name("LIST")
      ->capture_default_str();
  app.add_flag("--partitions", options.partitions,
               "every worker in a network namespace of its own, and packets that vanish: wholly, "
               "or in one direction; needs root and `ip`, else it is left out with a note");
  AddDuration(app, "--pause", options.pause, "mean time between two deeds");
  AddDuration(app, "--join-limit", options.join_limit,
              "a worker that starts, or was away, takes part by then, or that is a failure");
  AddDuration(app, "--drain-limit", options.drain_limit, "from SIGTERM to exit code 0, before it counts as failed");
}

void AddFleetFlags(CLI::App& app, TortureOptions& options) {
  FleetOptions& fleet = options.fleet;
  app.add_option("--model", fleet.model, "model directory")->required()->type_name("DIR");
  app.add_option("--workers", fleet.workers, "worker processes to begin with")
      ->check(CLI::Range(1, kSlotsMax))
      ->capture_default_str();
  app.add_option("--workers-max", options.workers_max,
                 absl::StrCat("most at a time; default: twice --workers, ", kWorkersHere,
                              " unless there are more to begin with"))
      ->check(CLI::Range(1, kSlotsMax));
  app.add_option("--threads", options.threads,
                 "of each worker that compute; default: the cores, divided")
      ->check(CLI::Range(1, 1024));
  AddSize(app, "--kv-memory", options.kv_memory, "of each worker; default: 64MiB");
  AddChoice(app, "--kv-dtype", fleet.kv_dtype, {"bf16", "f32"}, "storage of K and V");
  AddChoice(app, "--kernels", fleet.kernels, {"auto", "ref", "avx2", "avx512", "cuda"},
            "kernel set");
  AddChoice(app, "--exchange", fleet.exchange, {"auto", "ucx", "mpi", "nccl"},
            "how workers exchange rows");
  app.add_option("--ucx-transports", fleet.ucx_transports, "such as tcp; default: UCX's choice")
      ->type_name("LIST");
  app.add_option("--worker-flag", fleet.worker_flags, "handed to every worker as it is; repeatable")
      ->type_name("FLAG");
  app.add_option("--coordinator-flag", fleet.coordinator_flags, "passed on to the coordinator as it is")
      ->type_name("FLAG");
  app.add_option("--programs", fleet.programs,
                 "where conclave-coordinator and conclave-worker lie; default: beside this program")
      ->type_name("DIR");
  AddDuration(app, "--start-timeout", options.start_limit, "until all workers have loaded");
}

}  // namespace

void AddTortureFlags(CLI::App& app, TortureOptions& options) {
  AddFleetFlags(app, options);
  AddLoadFlags(app, options);
  AddDeedFlags(app, options);
  app.add_flag("--json", options.json, "one JSON object in place of text");
  app.add_flag("--verbose", options.verbose, "every deed on standard error as it is done");
  app.add_option("--log-file", options.log_file, "every line of every process goes there")
      ->type_name("FILE");
}

absl::Status Complete(TortureOptions& options) {
  FleetOptions& fleet = options.fleet;
  ASSIGN_OR_RETURN(options.kinds, ParseDeeds(options.deeds));
  const auto partition = std::ranges::find(options.kinds, DeedKind::kPartition);
  if (partition != options.kinds.end()) {
    options.partitions = true;
  } else if (options.partitions) {
    options.kinds.push_back(DeedKind::kPartition);
  }
  fleet.workers_max = options.workers_max;
  if (options.workers_max == 0) {
    fleet.workers_max = std::max(fleet.workers, std::min(2 * fleet.workers, kWorkersHere));
  }
  if (fleet.workers_max < fleet.workers) {
    return absl::InvalidArgumentError("--workers-max is less than --workers");
  }
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  fleet.threads = options.threads > 0 ? options.threads : std::max(1, cores / fleet.workers);
  if (options.kv_memory.has_value()) fleet.kv_memory = *options.kv_memory;
  if (fleet.programs.empty()) {
    fleet.programs = ProgramBesideThis("");
  } else {
    fleet.programs += '/';
  }
  options.length = static_cast<Micros>(options.seconds * 1e6);
  options.steady = std::min(options.steady, options.length / 4);
  if (options.pause < 1000) return absl::InvalidArgumentError("--pause is less than 1ms");
  return absl::OkStatus();
}

std::string RepeatCommand(const CLI::App& app, std::uint64_t seed) {
  std::string command = app.get_name();
  bool said_seed = false;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    said_seed = said_seed || name == "seed";
    if (option->get_items_expected_max() == 0) {
      absl::StrAppend(&command, " --", name);
      continue;
    }
    for (const std::string& value : option->results()) {
      const bool plain = value.find_first_of(" '\"$&;<>|*?\\") == value.npos;
      absl::StrAppend(&command, " --", name, "=", plain ? value : absl::StrCat("'", value, "'"));
    }
  }
  if (!said_seed) absl::StrAppend(&command, " --seed=", seed);
  return command;
}

}  // namespace conclave::torture
