// Many Generate streams at once, counted and otherwise ignored.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cli/bench_coordinator.h"
#include "conclave/v1/inference.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace conclave {

class BenchStreams {
 public:
  // Connections like those of a few gateways, each with its share of the streams.
  static constexpr int kConnections = 8;

  BenchStreams(const CoordinatorBench& bench, const std::string& address);
  ~BenchStreams();  // cancels what runs and waits for its end

  // `wave` tells the prompts of several waves apart. Returns when all have been sent.
  void Start(int wave, int max_tokens);
  bool AwaitFirstTokens(Micros timeout);  // of all; false when time was up
  bool AwaitAnEnd(Micros timeout);        // of any
  bool AwaitAllEnds(Micros timeout);
  void Cancel();
  std::int64_t with_tokens() const;  // streams that have a token
  std::uint64_t failures() const;    // streams that ended otherwise than they should
  std::string first_failure() const;

 private:
  class Stream;
  template <typename Fits>
  bool Await(Micros timeout, Fits fits);
  void Began();
  void Ended(const grpc::Status& status, int tokens, int wanted);

  const CoordinatorBench& bench_;
  std::vector<std::unique_ptr<v1::InferenceService::Stub>> stubs_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::int64_t started_ = 0, with_tokens_ = 0, ended_ = 0;
  bool cancelled_ = false;
  std::uint64_t failures_ = 0;
  std::string first_failure_;
};

}  // namespace conclave
