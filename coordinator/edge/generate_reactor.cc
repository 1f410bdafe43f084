#include "coordinator/edge/generate_reactor.h"

#include <chrono>
#include <utility>

#include "base/edge/clock.h"
#include "coordinator/edge/byte_message.h"
#include "coordinator/edge/errors.h"

namespace conclave {

GenerateReactor::GenerateReactor(Serving& serving, grpc::CallbackServerContext& context,
                                 const grpc::ByteBuffer& request)
    : serving_(serving),
      context_(context),
      request_(request),
      session_(std::make_shared<Session>(serving, static_cast<ClientCall&>(*this))) {}

GenerateReactor* GenerateReactor::Start(Serving& serving, grpc::CallbackServerContext& context,
                                        const grpc::ByteBuffer& request) {
  auto* const reactor = new GenerateReactor(serving, context, request);
  const std::shared_ptr<Session> session = reactor->session_;  // the reactor may be gone before us
  session->Start(PeekRequestId(request), request.Length());
  return reactor;
}

std::optional<FieldError> GenerateReactor::Translate(ClientAsk& ask) {
  v1::GenerateRequest message;
  std::optional<FieldError> bad = Parse(request_, message);
  if (!bad) bad = conclave::Translate(message, serving_.text, ask);
  prompt_ = message.prompt_case();
  return bad;
}

std::optional<Micros> GenerateReactor::Deadline() const {
  const auto deadline = context_.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return std::nullopt;
  const auto left = deadline - std::chrono::system_clock::now();
  constexpr auto kFar = std::chrono::hours(24 * 365);
  if (left > kFar) return std::nullopt;
  return SteadyMicros() + std::chrono::duration_cast<std::chrono::microseconds>(left).count();
}

void GenerateReactor::Write(const StreamPart& part, const std::string& request_id) {
  outgoing_ = ToBytes(ToProto(part, request_id, serving_.facts));
  StartWrite(&outgoing_);
}

void GenerateReactor::End(StreamPart& part, const std::string& request_id) {
  Ending& ending = *part.ending;
  ending.field = ClientField(std::move(ending.field), prompt_);
  const grpc::Status status = StatusOf(ending);
  const bool empty = part.ids.empty() && part.text.empty() && part.prompt_logprobs.empty();
  if (!status.ok() && empty) return Finish(status);
  outgoing_ = ToBytes(ToProto(part, request_id, serving_.facts));
  StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), status);
}

void GenerateReactor::Finish(const grpc::Status& status) {
  grpc::ServerWriteReactor<grpc::ByteBuffer>::Finish(status);
}

}  // namespace conclave
