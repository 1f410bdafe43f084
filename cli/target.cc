#include "cli/target.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/status.h"
#include "cli/interrupt.h"

namespace conclave {
namespace {

constexpr Micros kConnectLimit = 5'000'000;
constexpr std::size_t kColumns = 100;

}  // namespace

void AddTargetFlags(CLI::App& app, TargetFlags& flags) {
  app.add_option("--target", flags.target, "a running cluster (default: 127.0.0.1:8470)")
      ->type_name("HOST:PORT");
  flags.serve.log.level = "error";
  flags.serve.coordinator.listen = flags.serve.coordinator.admin = "127.0.0.1:0";
  AddServeFlags(app, flags.serve);
}

absl::StatusOr<Target> OpenTarget(const TargetFlags& flags) {
  Target opened;
  if (flags.serve.coordinator.model_dir.empty()) {
    const std::string target = flags.target.empty() ? kDefaultTarget : flags.target;
    ASSIGN_OR_RETURN(auto channel, OpenChannel(target, "--target", kConnectLimit));
    opened.client = std::make_unique<Client>(std::move(channel));
    return opened;
  }
  if (!flags.target.empty()) {
    return absl::InvalidArgumentError("--target and --model exclude one another");
  }
  NewsLine news;
  news.Show("starting");
  ASSIGN_OR_RETURN(opened.cluster, LocalCluster::Start(flags.serve));
  RETURN_IF_ERROR(opened.cluster->WaitUntilReady(
      [] { return Interrupts() > 0; }, [&](const std::string& line) { news.Show(line); }));
  opened.client = std::make_unique<Client>(opened.cluster->Channel());
  return opened;
}

NewsLine::NewsLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

NewsLine::~NewsLine() { Show(""); }

void NewsLine::Show(const std::string& news) {
  if (!terminal_ || news == shown_) return;
  shown_ = news;
  std::fprintf(stderr, "\r\033[K%s", news.substr(0, kColumns).c_str());
  std::fflush(stderr);
}

}  // namespace conclave
