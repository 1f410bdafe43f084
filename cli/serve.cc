// `conclave serve`: a cluster on this machine until Ctrl-C or SIGTERM.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/edge/flight_dump.h"
#include "cli/cluster.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/logging.h"

namespace conclave {
namespace {

constexpr Micros kLook = 500'000;  // between looks at the workers

// Until an interrupt, or until no worker is left.
absl::Status Serve(LocalCluster& cluster) {
  while (!WaitForInterrupt(kLook)) {
    const absl::Status status = cluster.CheckWorkers();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

int RunServe(int argc, const char* const* argv) {
  CLI::App app("Serves a model: a coordinator and its workers on this machine.", argv[0]);
  ServeFlags flags;
  AddServeFlags(app, flags);
  AddFlightFlag(app, flags.flight_directory);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;

  if (flags.coordinator.model_dir.empty()) {
    SayError(argv[0], "--model DIR is needed: the directory of a model");
    return kExitUsage;
  }
  WatchInterrupts();
  const LogFn log = MakeLog(flags.log);
  log(LogLevel::kInfo, absl::StrCat("configuration: ", EffectiveConfig(app)));
  auto cluster = LocalCluster::Start(flags);
  if (!cluster.ok()) return Fail(argv[0], cluster.status());
  const auto dump = FlightDump::Install(
      {.name = "serve", .directory = flags.flight_directory, .recorders = (*cluster)->recorders()});
  if (!dump.ok()) return Fail(argv[0], dump.status());
  const absl::Status ready =
      (*cluster)->WaitUntilReady([] { return Interrupts() > 0; }, [](const std::string&) {});
  if (absl::IsCancelled(ready)) return kExitInterrupted;
  if (!ready.ok()) {
    (*dump)->Failed(std::string(ready.message()));
    return Fail(argv[0], ready);
  }
  std::fprintf(stderr,
               "conclave serves on %s, administration on %s, probes and metrics on http://%s\n",
               (*cluster)->listen_address().c_str(), (*cluster)->admin_address().c_str(),
               (*cluster)->admin_http_address().c_str());

  const absl::Status served = Serve(**cluster);
  if (!served.ok()) (*dump)->Failed(std::string(served.message()));
  log(LogLevel::kInfo, "stopping; once more to hurry");
  (*cluster)->Stop(flags.shutdown, HurryAsked);
  return served.ok() ? kExitDone : Fail(argv[0], served);
}

}  // namespace conclave
