// A real coordinator and real workers in one process, and the simplest client.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "conclave/v1/admin.grpc.pb.h"
#include "conclave/v1/inference.grpc.pb.h"
#include "coordinator/edge/server.h"
#include "exchange/backends.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/grpcpp.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

std::string TalesDir();

// Remembers log lines, and can wait for one.
class LogBook {
 public:
  LogFn AsFunction();
  bool Await(const std::string& part);  // false after a long time
  std::string all() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string lines_;
};

struct RigOptions {
  int workers = 1;
  int experts_only = 0;  // workers of role expert, besides
  CoordinatorConfig core;
  bool sockets = true;  // the client's way in; workers always use the process
};

class Rig {
 public:
  explicit Rig(RigOptions options = {});  // ready to serve, unless it has no worker
  ~Rig();

  v1::InferenceService::Stub& client() { return *client_; }
  CoordinatorServer& server() { return *server_; }
  LogBook& log() { return log_; }
  WorkerRunner& worker(std::size_t index) { return *workers_[index]; }
  void Kill(std::size_t index) { workers_[index].reset(); }  // its links end, without a word
  v1::GetLoadResponse Load();
  // Asks GetLoad until `fits`; false after a long time.
  bool AwaitLoad(const std::function<bool(const v1::GetLoadResponse&)>& fits);

 private:
  LogBook log_;
  LocalHub hub_;
  std::unique_ptr<CoordinatorServer> server_;
  std::vector<std::unique_ptr<WorkerRunner>> workers_;
  std::unique_ptr<v1::InferenceService::Stub> client_;
};

// A whole answer.
struct Answer {
  std::vector<int> ids;
  std::string text;
  std::vector<float> logprobs;
  int messages = 0;
  int finished_messages = 0;  // 1 when all is well
  v1::Finished finished;
  grpc::Status status;
};
v1::GenerateRequest Greedy(const std::string& text, int max_tokens);
Answer Generate(v1::InferenceService::Stub& client, const v1::GenerateRequest& request);
void Gather(const v1::GenerateResponse& response, Answer& answer);

// A unary call with bytes that our own classes might refuse to send. `response` may be null.
grpc::Status CallRaw(int port, const std::string& method, const std::string& bytes,
                     std::string* response);

// What the details of an error say; empty strings where there is nothing.
struct ErrorFacts {
  std::string domain, reason, field;
  bool retry = false;
};
ErrorFacts FactsOf(const grpc::Status& status);

}  // namespace conclave
