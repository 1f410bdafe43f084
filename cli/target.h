// Where a command's requests go: to a cluster that runs (--target), or to one that is started for
// this command and stopped after it (--model).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/serve_flags.h"

namespace conclave {

struct TargetFlags {
  std::string target;  // empty, without --model: kDefaultTarget
  ServeFlags serve;
};
inline constexpr const char* kDefaultTarget = "127.0.0.1:8470";

// Sets defaults for a cluster that nobody else needs to find or hear.
void AddTargetFlags(CLI::App& app, TargetFlags& flags);

struct Target {
  std::unique_ptr<LocalCluster> cluster;  // null with --target; declared first: it outlives client
  std::unique_ptr<Client> client;
};

// Connects, or starts and waits until ready, with news of loading on a terminal's standard error.
// Cancelled when interrupted.
absl::StatusOr<Target> OpenTarget(const TargetFlags& flags);

// A last line that is written over, on standard error if that is a terminal; else nothing.
class NewsLine {
 public:
  NewsLine();
  ~NewsLine();  // clears it
  void Show(const std::string& news);

 private:
  const bool terminal_;
  std::string shown_;
};

}  // namespace conclave
