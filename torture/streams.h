// The load: a fixed number of streams, each of which sends its next request when the last one has
// ended, and what their clients saw. A client that loses its coordinator requests the rest again.
//
// Threads: gRPC's few callback threads do everything; all functions here may be called from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "conclave/v1/inference.grpc.pb.h"
#include "grpcpp/channel.h"
#include "torture/stalls.h"
#include "torture/verdict.h"

namespace conclave::torture {

// One request, from its first call to its last.
struct Course {
  int stream = 0;
  int ask = 0;     // index into the asks
  std::string id;  // request_id
  Micros began = 0;
  Micros first_token = 0;  // 0: none came
  Micros last_token = 0;
  int retries = 0;
  Answer answer;
  std::string error;  // empty: the last call ended with OK
};

class StreamLoad {
 public:
  struct Options {
    int streams = 32;
    Micros limit = 120'000'000;  // a request that takes longer has failed
    std::string id_prefix;       // of request ids
  };
  // Which ask a stream takes next; nothing: it rests. Called with a lock held.
  using NextFn = std::function<std::optional<int>(int stream)>;
  // A request is over. Called with a lock held.
  using OverFn = std::function<void(const Course& course)>;

  StreamLoad(std::shared_ptr<grpc::Channel> channel, std::vector<v1::GenerateRequest> asks,
             Options options);
  ~StreamLoad();  // cancels what runs and waits for it
  StreamLoad(const StreamLoad&) = delete;
  StreamLoad& operator=(const StreamLoad&) = delete;

  void Start(NextFn next, OverFn over);
  // Streams end with the request they have.
  void Rest();
  int running() const;
  void CancelAll();

  // While a coordinator is away, and until a while after, UNAVAILABLE is answered by asking again
  // as a client library does: the same request_id, from the token after the last one.
  void AllowRetries(bool allowed) { retries_allowed_ = allowed; }
  // Starts retries whose time has come. Call every few milliseconds.
  void Tick(Micros now);

  std::vector<Gap> TakeGaps();  // all until now, in the order of their ends
  std::int64_t tokens() const { return tokens_; }
  std::int64_t retries() const { return retries_; }

 private:
  class Call;
  struct Stream {
    Course course;
    Call* call = nullptr;            // runs
    std::optional<Micros> retry_at;  // waits to be asked again
  };
  void AskNext(int stream);
  void StartCall(int stream);
  void OnPart(int stream, const v1::GenerateResponse& part);
  void OnDone(int stream, const grpc::Status& status);

  const std::unique_ptr<v1::InferenceService::Stub> stub_;
  const std::vector<v1::GenerateRequest> asks_;
  const Options options_;
  std::atomic<bool> retries_allowed_{false};
  std::atomic<std::int64_t> tokens_{0}, retries_{0};

  // gRPC may call back from within the call that starts a call.
  mutable std::recursive_mutex mutex_;
  NextFn next_;
  OverFn over_;
  std::vector<Stream> streams_;
  std::vector<Gap> gaps_;
  std::uint64_t asked_ = 0;
  bool resting_ = true;
  bool cancelled_ = false;
};

}  // namespace conclave::torture
