// One Generate call: gRPC's side of a session.
#pragma once

#include <memory>
#include <string>

#include "conclave/v1/inference.pb.h"
#include "coordinator/edge/serving.h"
#include "coordinator/edge/session.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"

namespace conclave {

class GenerateReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                              private ClientCall {
 public:
  // The reactor owns itself until OnDone; `context` and `request` live as long.
  static GenerateReactor* Start(Serving& serving, grpc::CallbackServerContext& context,
                                const grpc::ByteBuffer& request);

  void OnWriteDone(bool ok) override { session_->Written(ok); }
  void OnCancel() override { session_->Leave(); }
  void OnDone() override { delete this; }

 private:
  GenerateReactor(Serving& serving, grpc::CallbackServerContext& context,
                  const grpc::ByteBuffer& request);

  std::optional<FieldError> Translate(ClientAsk& ask) override;
  std::optional<Micros> Deadline() const override;
  void Write(const StreamPart& part, const std::string& request_id) override;
  void End(StreamPart& part, const std::string& request_id) override;
  void Finish(const grpc::Status& status) override;

  Serving& serving_;
  grpc::CallbackServerContext& context_;
  const grpc::ByteBuffer& request_;
  const std::shared_ptr<Session> session_;
  v1::GenerateRequest::PromptCase prompt_ = v1::GenerateRequest::PROMPT_NOT_SET;
  grpc::ByteBuffer outgoing_;  // of the write in flight
};

}  // namespace conclave
