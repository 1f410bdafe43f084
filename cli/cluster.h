// A whole cluster on this machine: a coordinator in this process and one worker beside it, or N
// worker processes. What `serve --model` runs and what `--model` starts for other commands.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/edge/flight_recorder.h"
#include "base/log.h"
#include "cli/child_process.h"
#include "cli/serve_flags.h"
#include "coordinator/edge/server.h"
#include "exchange/backends.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

// How `threads` (>= 0; 0: all cores) are divided: worker i of n gets at least one. Pure.
int ThreadsOfWorker(int threads, int cores, int workers, int worker);

class LocalCluster {
 public:
  // Starts everything; not ready yet. Errors are one line that says what to do. From the thread
  // that will destroy it. Worker processes' lines go to standard error with their names.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const ServeFlags& flags);
  ~LocalCluster();  // stops at once

  // DeadlineExceeded says who is waited for; Unavailable which worker died; Cancelled when `stop`
  // said so. `look` is called now and then with the latest line of news.
  absl::Status WaitUntilReady(absl::FunctionRef<bool()> stop,
                              absl::FunctionRef<void(const std::string& news)> look);
  // Why it cannot go on: every worker is gone. OK while one lives. Logs each death once.
  absl::Status CheckWorkers();

  // Drains, then stops workers and coordinator, in this order. `hurry` may be null.
  void Stop(const ShutdownPlan& plan, bool (*hurry)());

  std::shared_ptr<grpc::Channel> Channel() { return server_->InProcessChannel(); }
  const CoordinatorServer& server() const { return *server_; }
  // Of this process; they live as long as this object.
  std::vector<const FlightRecorder*> recorders() const;
  std::string listen_address() const;
  std::string admin_address() const;
  std::string admin_http_address() const;

 private:
  struct Child {
    std::string name;
    std::unique_ptr<ChildProcess> process;
    bool mourned = false;
  };
  explicit LocalCluster(const ServeFlags& flags);
  absl::Status StartCoordinator();
  absl::Status StartEmbeddedWorker();
  absl::Status StartWorkerProcesses();
  absl::StatusOr<Child> StartWorkerProcess(int index, std::uint64_t kv_bytes);
  std::string WhoIsMissing();
  void Hear(const std::string& line);

  const ServeFlags flags_;
  const LogFn log_;
  std::mutex mutex_;
  std::string news_;
  FlightRecorder coordinator_recorder_{"coordinator"}, worker_recorder_{"worker"};
  LocalHub hub_;
  std::unique_ptr<CoordinatorServer> server_;
  std::unique_ptr<WorkerRunner> worker_;
  std::vector<Child> children_;
  bool stopped_ = false;
  std::atomic<bool> quiet_{false};
};

}  // namespace conclave
