// The coordinator, put together: core, strand, services, ports. The only place that owns them.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/edge/flight_recorder.h"
#include "base/log.h"
#include "coordinator/config.h"
#include "coordinator/edge/event_times.h"
#include "coordinator/snapshot.h"
#include "grpcpp/channel.h"
#include "model/config.h"
#include "text/text.h"

namespace conclave {

struct CoordinatorOptions {
  std::string model_dir;  // config, weights' headers and tokenizer files are read; no weights
  CoordinatorConfig core;
  std::string listen = "127.0.0.1:8470";  // gRPC for clients and workers; port 0: any free one
  std::string admin = "127.0.0.1:8471";   // gRPC: health and AdminService
  std::string admin_http;                 // probes and metrics; empty: the admin port + 1
  bool insecure = false;                  // other machines may connect without TLS
  bool reflection = false;
  std::string version, commit;         // for GetServerInfo
  LogFn log;                           // must be set
  clockid_t event_clock = CLOCK_MONOTONIC;  // see EventTimes
  FlightRecorder* recorder = nullptr;  // outlives the server; null: its own
};

struct ShutdownPlan {
  Micros grace = 0;  // not ready, but still admitting: load balancers need time to notice
  Micros drain = 0;  // nothing new; what runs may finish
};

// What is served: all that the coordinator needs to know of a model.
struct OpenedModel {
  ModelConfig config;
  ModelFacts facts;            // what workers must agree with
  std::unique_ptr<Text> text;  // null: token ids only
};

class CoordinatorServer {
 public:
  // Opens the model and the ports. Errors are one line that says what to do: NotFound and
  // InvalidArgument for the model, AlreadyExists for a port in use, FailedPrecondition for an
  // address that needs --insecure.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(CoordinatorOptions options);
  // The same with a model that was opened elsewhere; options.model_dir is not looked at.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(CoordinatorOptions options,
                                                                  OpenedModel model);
  ~CoordinatorServer();  // Shutdown at once, if nobody did

  int port() const;  // bound ones
  int admin_port() const;
  int admin_http_port() const;
  bool ready() const;
  std::shared_ptr<const ClusterSnapshot> snapshot() const;
  const EventTimes& event_times() const;

  // For clients and a worker in this process.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Not ready; grace; drain; what is left ends with UNAVAILABLE. Waits; may be called once.
  // `hurry` (may be null) is asked every few milliseconds whether to skip what is left of waiting.
  void Shutdown(const ShutdownPlan& plan, bool (*hurry)() = nullptr);
  // Only its first half, up to "nothing runs": for whoever must stop a worker of this process
  // before the server goes (a call on an in-process channel whose server is gone crashes in gRPC
  // 1.51).
  void Drain(const ShutdownPlan& plan, bool (*hurry)() = nullptr);

 private:
  class Impl;
  explicit CoordinatorServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace conclave
