// One Generate call. Callbacks become events, parts become writes; at most one write is in flight,
// and what comes meanwhile is joined (part_queue.h), so a slow reader costs bounded memory and
// nobody else's time.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "conclave/v1/inference.pb.h"
#include "coordinator/edge/part_queue.h"
#include "coordinator/edge/serving.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"

namespace conclave {

class GenerateReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                              public ClientStream {
 public:
  // The reactor owns itself until OnDone.
  static GenerateReactor* Start(Serving& serving, grpc::CallbackServerContext& context,
                                const grpc::ByteBuffer& request);

  void Deliver(StreamPart part) override;  // on the strand
  void Abort() override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class Stage : std::uint8_t { kTranslating, kAsked, kFinished };

  GenerateReactor(Serving& serving, grpc::CallbackServerContext& context);
  void Work(const grpc::ByteBuffer& request);  // on the pool
  void TranslateAndAsk(const grpc::ByteBuffer& request);
  void Refuse(const grpc::Status& status);
  void Pump(std::unique_lock<std::mutex> lock);
  void TellLeft();

  Serving& serving_;
  grpc::CallbackServerContext& context_;
  std::shared_ptr<GenerateReactor> self_;
  std::string expected_id_;  // by which Abort finds it before its ask is posted; may be empty
  std::string id_;           // this and the next: set before the ask is posted
  v1::GenerateRequest::PromptCase prompt_ = v1::GenerateRequest::PROMPT_NOT_SET;
  grpc::ByteBuffer outgoing_;  // of the write in flight

  std::mutex mutex_;  // the members below; never held while gRPC or the strand is called
  Stage stage_ = Stage::kTranslating;
  RequestId request_{0};
  PartQueue pending_;
  bool writing_ = false;
  bool gone_ = false;     // nobody reads any more
  bool ended_ = false;    // the part with the ending has been delivered
  bool aborted_ = false;  // while it was expected
};

}  // namespace conclave
