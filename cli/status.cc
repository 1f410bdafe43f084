// `conclave status` and `conclave top`: the cluster now, and live.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/status_text.h"

namespace conclave {
int RunStatus(int argc, const char* const* argv) {
  CLI::App app("Shows the cluster: workers, experts, memory, requests.", argv[0]);
  std::string admin;
  bool json = false;
  bool experts = false;
  AddAdminFlag(app, admin);
  app.add_flag("--json", json, "print one JSON object");
  app.add_flag("--experts", experts, "also which worker holds which experts, and their rows");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto channel = ConnectAdmin(admin);
  if (!channel.ok()) return Fail(argv[0], channel.status());
  const auto cluster = GetCluster(*channel, experts);
  if (!cluster.ok()) return Fail(argv[0], cluster.status());
  std::cout << (json ? StatusJson(*cluster) + "\n" : StatusTable(*cluster)) << std::flush;
  return kExitDone;
}

int RunTop(int argc, const char* const* argv) {
  CLI::App app("Shows the cluster, again and again until Ctrl-C; once when not on a terminal.",
               argv[0]);
  std::string admin;
  Micros interval = 1'000'000;
  AddAdminFlag(app, admin);
  AddDuration(app, "--interval", interval, "between looks");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  WatchInterrupts();
  const auto channel = ConnectAdmin(admin);
  if (!channel.ok()) return Fail(argv[0], channel.status());
  const bool live = isatty(STDOUT_FILENO) == 1;
  std::uint64_t steps = 0;
  std::uint64_t bytes = 0;
  for (bool first = true;; first = false) {
    const auto cluster = GetCluster(*channel, false);
    if (!cluster.ok()) return Fail(argv[0], cluster.status());
    std::string screen = StatusTable(*cluster);
    if (!first && interval > 0) {
      const double seconds = static_cast<double>(interval) / 1e6;
      const double rate = static_cast<double>(cluster->steps() - steps) / seconds;
      const double mib =
          static_cast<double>(cluster->exchange_sent_bytes() - bytes) / seconds / (1 << 20);
      screen += absl::StrFormat("\n%.0f steps per second, %.1f MiB/s between workers\n", rate, mib);
    }
    steps = cluster->steps();
    bytes = cluster->exchange_sent_bytes();
    // Home, the new text, and nothing of the old one after it.
    if (live) std::cout << "\033[H\033[J";
    std::cout << screen << std::flush;
    if (!live) return kExitDone;
    if (WaitForInterrupt(interval)) return kExitDone;
  }
}

}  // namespace conclave
