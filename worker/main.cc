// conclave-worker: owns weights and K and V, runs the plans of its coordinator.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/credentials.h"
#include "base/edge/flight_dump.h"
#include "base/edge/http_server.h"
#include "base/status.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/logging.h"
#include "cli/version.h"
#include "cli/worker_flags.h"
#include "worker/edge/threads.h"
#include "worker/edge/worker_runner.h"

namespace {

using namespace conclave;

constexpr const char* kName = "conclave-worker";

struct Settings {
  WorkerOptions options;
  ComputeFlags compute;
  LogOptions log;
  std::string coordinator;
  std::string admin_http;
  std::string role = "worker";
  bool insecure = false;
  Micros drain = 30'000'000;
  std::string flight_directory;
  std::optional<std::uint64_t> expert_memory;
};

void AddFlags(CLI::App& app, Settings& settings) {
  app.add_option("--coordinator", settings.coordinator, "where conclave-coordinator listens")
      ->required()
      ->type_name("HOST:PORT");
  app.add_option("--model", settings.options.model_dir, "model directory")
      ->required()
      ->type_name("DIR");
  AddChoice(app, "--role", settings.role, {"worker", "expert"},
            "expert: owns experts only, no sequences");
  app.add_option("--admin-http", settings.admin_http, "/livez /readyz /metrics; default: none")
      ->type_name("HOST:PORT");
  app.add_flag("--insecure", settings.insecure, "speak and exchange beyond loopback without TLS");
  AddDuration(app, "--drain", settings.drain, "at SIGTERM: how long to wait to be drained");
  AddSize(app, "--expert-memory", settings.expert_memory,
          "room for experts: it is never given more; default: no limit");
  AddComputeFlags(app, settings.compute);
  AddLogFlags(app, settings.log);
  AddFlightFlag(app, settings.flight_directory);
}

absl::StatusOr<std::unique_ptr<HttpServer>> StartProbes(const Settings& settings,
                                                        const WorkerRunner& runner) {
  if (settings.admin_http.empty()) return std::unique_ptr<HttpServer>();
  RETURN_IF_ERROR(CheckExposure("--admin-http", settings.admin_http, settings.insecure));
  HttpServer::Paths paths;
  paths["/livez"] = [] { return HttpAnswer{200, "alive\n"}; };
  paths["/readyz"] = [&runner] {
    return runner.Report().ready ? HttpAnswer{200, "ready\n"} : HttpAnswer{503, "not ready\n"};
  };
  paths["/metrics"] = [&runner] { return HttpAnswer{200, RenderMetrics(runner.Report())}; };
  return HttpServer::Start(settings.admin_http, std::move(paths));
}

int CodeUnlessInterrupted(int code) {
  return Interrupts() > 0 && !EndAsked() ? kExitInterrupted : code;
}

// Until the coordinator says goodbye, or a signal's patience is over.
int Attend(WorkerRunner& runner, const Settings& settings, const FlightDump& dump) {
  constexpr Micros kLook = 20'000;
  bool leaving = false;
  Micros waited = 0;
  while (true) {
    if (const auto exit = runner.WaitForExit(kLook)) {
      if (!exit->failed) return CodeUnlessInterrupted(kExitDone);
      SayError(kName, exit->reason);
      dump.Failed(exit->reason);
      return kExitFailed;
    }
    if (Interrupts() == 0) continue;
    if (!std::exchange(leaving, true)) {
      settings.options.log(LogLevel::kInfo, "leaving: asking the coordinator to drain this worker");
      runner.Leave();
    }
    waited += kLook;
    if (HurryAsked() || waited > settings.drain || !runner.Report().linked) {
      settings.options.log(LogLevel::kWarning, "left without being drained");
      return CodeUnlessInterrupted(kExitFailed);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Owns a share of a model's weights and runs the plans of its coordinator.", kName);
  Settings settings;
  AddFlags(app, settings);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  if (const absl::Status status = Apply(settings.compute, settings.insecure, settings.options); !status.ok()) {
    return Fail(kName, status);
  }
  if (const absl::Status exposed =
          CheckExposure("--coordinator", settings.coordinator, settings.insecure);
      !exposed.ok()) {
    return Fail(kName, exposed);
  }
  FlightRecorder recorder("worker");
  const auto dump = FlightDump::Install(
      {.name = "worker", .directory = settings.flight_directory, .recorders = {&recorder}});
  if (!dump.ok()) return Fail(kName, dump.status());
  WatchInterrupts();
  WorkerOptions& options = settings.options;
  options.expert_memory_bytes = settings.expert_memory.value_or(0);
  options.recorder = &recorder;
  options.log = MakeLog(settings.log);
  options.log(LogLevel::kInfo, absl::StrCat(kName, " ", BuildCommit(), ": ", EffectiveConfig(app)));
  options.role = settings.role == "expert" ? Role::kExpert : Role::kWorker;
  options.coordinator = ChannelTo(settings.coordinator);
  options.coordinator_address = settings.coordinator;
  const auto runner = WorkerRunner::Start(options);
  if (!runner.ok()) return Fail(kName, runner.status());
  const auto probes = StartProbes(settings, **runner);
  if (!probes.ok()) return Fail(kName, probes.status());
  const int code = Attend(**runner, settings, **dump);
  // To give gigabytes back takes the kernel a while: whoever serves on this machine goes first.
  LowerThisThread();
  return code;
}
