// Simulated workers on real control streams: each checks what it is told (sim/fake_worker.h) and
// answers every plan at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/bench_coordinator.h"
#include "conclave/cluster/v1/control_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "sim/fake_worker.h"

namespace conclave {

// How full the plans are, over all workers. Thread-safe.
class PlanWatch {
 public:
  explicit PlanWatch(const CoordinatorBench& bench) : bench_(bench) {}
  // `tokens` prompt positions are on their way. Until they have all been accepted no worker answers:
  // what is counted are the steps that are planned with all of them there.
  void PromptsCome(std::int64_t tokens);
  void PromptsAreThere();
  bool held() const { return held_; }
  void Note(const StepAsk& ask);          // one worker's part
  void Stop();                            // members change: nothing more is counted
  void FillIn(LoadReport& report) const;

 private:
  struct Step {
    StepId step;
    int parts = 0;
    std::int64_t least = 0, rows = 0, prompt_rows = 0;
  };
  void Count(const Step& step);

  const CoordinatorBench& bench_;
  std::atomic<bool> held_{false};
  mutable std::mutex mutex_;
  bool stopped_ = false;
  StepId newest_;        // that was planned
  StepId counted_from_;  // the first step after the prompts were there
  std::int64_t prompts_left_ = 0;
  std::map<StepId, Step> open_;
  std::uint64_t steps_ = 0, steps_filled_ = 0;
  std::int64_t rows_ = 0;
  double least_ = 1, mean_sum_ = 0;
};

class BenchWorker {
 public:
  // Connects and says Hello.
  BenchWorker(const CoordinatorBench& bench, const std::string& address, int number,
              PlanWatch& watch);
  ~BenchWorker();  // ends the stream, as a process that is killed does

  void Beat();               // one heartbeat
  void Go();                 // runs what waited while the watch held it
  int slot();                // -1: not welcomed yet
  std::uint64_t epoch();     // that it serves; 0: none, or one is being prepared
  bool over();               // its stream has ended
  std::string complaint();   // the first thing that a real worker would have refused

 private:
  using Stream =
      grpc::ClientReaderWriter<cluster::v1::AttendRequest, cluster::v1::AttendResponse>;
  void Listen();
  void Hear(const ToWorker& message);
  void RunSteps();
  void Say(const FromWorker& message);

  PlanWatch& watch_;
  const std::unique_ptr<cluster::v1::ControlService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;

  std::mutex mutex_;  // the members below, and writing to the stream
  FakeWorker worker_;
  std::uint64_t committed_ = 0;
  std::uint64_t beats_ = 0;
  bool over_ = false;
  std::string complaint_;
  std::thread thread_;
};

}  // namespace conclave
