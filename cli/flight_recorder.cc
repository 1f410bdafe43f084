// `conclave flight-recorder`: what the processes of a cluster decided last, as one story.
#include <algorithm>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/flight_text.h"

namespace conclave {

int RunFlightRecorder(int argc, const char* const* argv) {
  CLI::App app(
      "Prints the last decisions of the coordinator and of every worker, by time (UTC, each by its "
      "own clock).",
      argv[0]);
  std::string admin, worker;
  bool json = false;
  AddAdminFlag(app, admin);
  app.add_option("--worker", worker, "only this one: slot number or uuid, or `coordinator`")
      ->type_name("WORKER");
  app.add_flag("--json", json, "print one JSON object per line");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto channel = ConnectAdmin(admin);
  if (!channel.ok()) return Fail(argv[0], channel.status());
  const auto response = GetFlightRecorder(*channel, worker);
  if (!response.ok()) return Fail(argv[0], response.status());
  std::cout << (json ? FlightJson(*response) : FlightText(*response)) << std::flush;
  bool one_answered = false;
  for (const v1::ProcessRecord& process : response->processes()) {
    one_answered = one_answered || process.error().empty();
    if (process.error().empty() || json) continue;
    SayError(argv[0], absl::StrCat(process.process(), ": ", process.error()));
  }
  return one_answered ? kExitDone : kExitFailed;
}

}  // namespace conclave
