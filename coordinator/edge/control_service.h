// The control plane's server side: one reactor per worker link, bytes to events and back.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "conclave/cluster/v1/control_service.grpc.pb.h"
#include "coordinator/edge/serving.h"
#include "grpcpp/server_context.h"

namespace conclave {

class ControlReactor final
    : public grpc::ServerBidiReactor<cluster::v1::AttendRequest, cluster::v1::AttendResponse>,
      public WorkerStream {
 public:
  static constexpr std::size_t kQueueBytesMax =
      2 * kControlBytesMax;                 // a worker that reads nothing
  static constexpr int kUnhandledMax = 64;  // messages read ahead of the strand

  static ControlReactor* Start(Serving& serving, grpc::CallbackServerContext& context);

  void Send(std::string bytes) override;
  void Drop(const std::string& reason) override;
  void Handled() override;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  ControlReactor(Serving& serving, grpc::CallbackServerContext& context);
  bool TakeMessage(std::string& error);
  void ReadNext();
  void Pump(std::unique_lock<std::mutex> lock);
  void Gone(const std::string& reason);  // tells the strand, once, and ends the stream
  void MaybeFinish(std::unique_lock<std::mutex> lock);

  Serving& serving_;
  grpc::CallbackServerContext& context_;
  std::shared_ptr<ControlReactor> self_;
  LinkId link_{0};
  cluster::v1::AttendRequest incoming_;   // of the read in flight
  cluster::v1::AttendResponse outgoing_;  // of the write in flight
  std::string partial_;                   // a message that comes in pieces

  // The members below. Never held while gRPC is called, nor, but for the arrival, the strand; the
  // strand and the switchboard hold no lock of theirs when they call us.
  std::mutex mutex_;
  std::deque<std::string> queue_;
  std::size_t queue_bytes_ = 0;
  bool writing_ = false;
  int starting_reads_ = 0;  // calls of StartRead that have not returned: Finish waits for them
  bool dropping_ = false;   // Gone once the queue is empty
  bool ending_ = false;     // the strand knows; Finish once nothing is being started
  bool finished_ = false;
  std::string reason_;
  int unhandled_ = 0;
  bool reading_paused_ = false;
};

class ControlService final : public cluster::v1::ControlService::WithCallbackMethod_Attend<
                                 cluster::v1::ControlService::Service> {
 public:
  explicit ControlService(Serving& serving) : serving_(serving) {}
  grpc::ServerBidiReactor<cluster::v1::AttendRequest, cluster::v1::AttendResponse>* Attend(
      grpc::CallbackServerContext* context) override {
    return ControlReactor::Start(serving_, *context);
  }

 private:
  Serving& serving_;
};

}  // namespace conclave
