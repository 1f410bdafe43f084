// conclave-coordinator: takes requests, plans steps, tells workers.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/edge/flight_dump.h"
#include "cli/coordinator_flags.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/logging.h"
#include "cli/version.h"
#include "coordinator/edge/server.h"

namespace {

constexpr const char* kName = "conclave-coordinator";

}  // namespace

int main(int argc, char** argv) {
  using namespace conclave;
  CLI::App app("Takes requests, plans every step and tells the workers.", kName);
  CoordinatorOptions options;
  ShutdownPlan plan{.grace = 5'000'000, .drain = 30'000'000};
  LogOptions log;
  std::string flight_directory;
  app.add_option("--model", options.model_dir, "model directory: config, tokenizer, weight headers")
      ->required()
      ->type_name("DIR");
  app.add_option("--workers", options.core.workers_wanted, "how many to wait for before serving")
      ->capture_default_str()
      ->check(CLI::Range(1, 128));
  AddCoordinatorFlags(app, options, plan);
  AddLogFlags(app, log);
  AddFlightFlag(app, flight_directory);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;

  FlightRecorder recorder("coordinator");
  const auto dump = FlightDump::Install(
      {.name = "coordinator", .directory = flight_directory, .recorders = {&recorder}});
  if (!dump.ok()) return Fail(kName, dump.status());
  WatchInterrupts();
  options.recorder = &recorder;
  options.version = BuildVersion();
  options.commit = BuildCommit();
  options.log = MakeLog(log);
  options.log(LogLevel::kInfo, absl::StrCat(kName, " ", BuildCommit(), ": ", EffectiveConfig(app)));
  auto server = CoordinatorServer::Start(options);
  if (!server.ok()) {
    (*dump)->Failed(std::string(server.status().message()));
    return Fail(kName, server.status());
  }
  options.log(LogLevel::kInfo,
              absl::StrCat("listening: grpc port ", (*server)->port(), ", admin port ",
                           (*server)->admin_port(), ", http port ", (*server)->admin_http_port()));
  while (!WaitForInterrupt(60'000'000)) {
  }
  options.log(LogLevel::kInfo, "shutting down");
  (*server)->Shutdown(plan, HurryAsked);
  return EndAsked() ? kExitDone : kExitInterrupted;
}
