// `conclave drain WORKER`: moves a worker's work to the others and waits until it has left.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/status.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/target.h"

namespace conclave {
namespace {

constexpr Micros kLook = 100'000;  // between looks at the cluster

struct Settings {
  std::string admin, worker;
  bool wait = true;
  bool json = false;
  Micros timeout = 120'000'000;
};

const v1::WorkerSummary* Find(const v1::GetClusterResponse& cluster, const std::string& worker) {
  for (const v1::WorkerSummary& each : cluster.workers()) {
    if (each.uuid() == worker || absl::StrCat(each.slot()) == worker) return &each;
  }
  return nullptr;
}

// What keeps it, in a few words.
std::string WhyStill(const v1::WorkerSummary& worker, const v1::GetClusterResponse& cluster) {
  std::string text = absl::StrCat("worker ", worker.slot(), " is ", worker.state());
  if (!worker.why().empty()) absl::StrAppend(&text, ": ", worker.why());
  if (cluster.has_change_under_way()) {
    absl::StrAppend(&text, "; epoch ", cluster.change_under_way().epoch(), ": ",
                    cluster.change_under_way().stage());
  }
  if (!cluster.change_given_up().empty()) absl::StrAppend(&text, "; ", cluster.change_given_up());
  return text;
}

// Until nobody has this uuid. Cancelled: Ctrl-C; the drain goes on without us.
absl::Status AwaitGone(const std::shared_ptr<grpc::Channel>& channel, const std::string& uuid,
                       Micros timeout) {
  const Micros until = SteadyMicros() + timeout;
  NewsLine news;
  std::string why = "the coordinator does not answer";
  while (true) {
    // One that does not answer may be starting anew.
    if (const auto cluster = GetCluster(channel, false); cluster.ok()) {
      const v1::WorkerSummary* worker = Find(*cluster, uuid);
      if (worker == nullptr) return absl::OkStatus();
      why = WhyStill(*worker, *cluster);
      news.Show(why);
    }
    const Micros left = until - SteadyMicros();
    if (left <= 0) break;
    if (WaitForInterrupt(std::min(kLook, left))) {
      return absl::CancelledError("interrupted; the drain goes on");
    }
  }
  return absl::DeadlineExceededError(absl::StrCat("not drained within ", timeout / 1'000'000,
                                                  " s (--timeout); it goes on: ", why));
}

absl::Status Drain(const Settings& settings) {
  ASSIGN_OR_RETURN(const auto channel, ConnectAdmin(settings.admin));
  ASSIGN_OR_RETURN(const auto cluster, GetCluster(channel, false));
  const v1::WorkerSummary* found = Find(cluster, settings.worker);
  // By uuid from here on: when it has left, its slot may be given to another. The coordinator
  // refuses what is not there.
  const std::string uuid = found != nullptr ? found->uuid() : settings.worker;
  const std::string name =
      found != nullptr ? absl::StrCat("worker ", found->slot()) : settings.worker;
  const Micros began = SteadyMicros();
  ASSIGN_OR_RETURN(const std::string text, DrainWorker(channel, uuid));
  if (settings.wait) RETURN_IF_ERROR(AwaitGone(channel, uuid, settings.timeout));
  const double seconds = static_cast<double>(SteadyMicros() - began) / 1e6;
  if (settings.json) {
    std::cout << nlohmann::ordered_json{{"worker", uuid},
                                        {"text", text},
                                        {"gone", settings.wait},
                                        {"seconds", seconds}}
                     .dump()
              << std::endl;
  } else if (settings.wait) {
    std::cout << name << " has left, after " << seconds << " s" << std::endl;
  } else {
    std::cout << name << ": " << text << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace

int RunDrain(int argc, const char* const* argv) {
  CLI::App app(
      "Moves a worker's sequences and experts to the others, then ends it with exit code 0. "
      "Streams go on.",
      argv[0]);
  Settings settings;
  app.add_option("worker", settings.worker, "slot number or uuid, see `conclave status`")
      ->required()
      ->type_name("WORKER");
  AddAdminFlag(app, settings.admin);
  app.add_flag("--wait,!--no-wait", settings.wait, "until it has left (on unless --no-wait)");
  AddDuration(app, "--timeout", settings.timeout, "longest wait; the drain goes on after it");
  app.add_flag("--json", settings.json, "print one JSON object");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  WatchInterrupts();
  const absl::Status status = Drain(settings);
  if (status.ok()) return kExitDone;
  const int code = Fail(argv[0], status);
  return absl::IsCancelled(status) && Interrupts() > 0 ? kExitInterrupted : code;
}

}  // namespace conclave
