// conclave-torture: breaks real processes on purpose and compares every stream with the
// undisturbed run.
#include <cstdio>
#include <iostream>

#include "cli/flags.h"
#include "cli/interrupt.h"
#include "torture/options.h"
#include "torture/report.h"
#include "torture/run.h"

namespace {

constexpr const char* kName = "conclave-torture";

}  // namespace

int main(int argc, char** argv) {
  using namespace conclave;
  CLI::App app(
      "Starts a coordinator and workers, loads them with streams, and kills, stops, adds and "
      "drains them meanwhile. Every stream must be the one that the same request gave before. A "
      "gap between two tokens is charged to the hardest deed it overlaps: coordinator, partition, "
      "wedge, hang, kill, drain, join, bad-join. Exit code 1: something failed or differed.",
      kName);
  torture::TortureOptions options;
  torture::AddTortureFlags(app, options);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  if (const absl::Status status = torture::Complete(options); !status.ok()) {
    return Fail(kName, status);
  }
  WatchInterrupts();
  absl::StatusOr<torture::Report> report = torture::RunTorture(options);
  if (absl::IsCancelled(report.status())) return kExitInterrupted;
  const std::string repeat = torture::RepeatCommand(app, options.seed);
  if (!report.ok()) {
    const int code = Fail(kName, report.status());
    std::fprintf(stderr, "seed %llu; again: %s\n", static_cast<unsigned long long>(options.seed),
                 repeat.c_str());
    return code;
  }
  report->repeat = repeat;
  std::cout << (options.json ? torture::ReportJson(*report) + "\n" : torture::ReportText(*report))
            << std::flush;
  for (const std::string& note : report->notes) {
    if (options.json) std::fprintf(stderr, "note: %s\n", note.c_str());
  }
  if (report->good()) return kExitDone;
  for (const std::string& failure : report->failures) {
    std::fprintf(stderr, "FAILED: %s\n", failure.c_str());
  }
  std::fprintf(stderr, "FAILED with seed %llu; again: %s\n",
               static_cast<unsigned long long>(options.seed), repeat.c_str());
  return kExitFailed;
}
