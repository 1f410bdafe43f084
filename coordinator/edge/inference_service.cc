#include "coordinator/edge/inference_service.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/edge/clock.h"
#include "coordinator/edge/byte_message.h"
#include "coordinator/edge/errors.h"
#include "coordinator/edge/generate_reactor.h"

namespace conclave {
namespace {

grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context, const grpc::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// Runs `work`, whose result ends the call, on the pool.
template <typename Work>
grpc::ServerUnaryReactor* OnPool(Serving& serving, grpc::CallbackServerContext* context,
                                 std::size_t bytes, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool taken =
      serving.pool->Offer(bytes, [reactor, work = std::move(work)] { reactor->Finish(work()); });
  if (!taken) reactor->Finish(Overloaded("too many requests are being tokenized"));
  return reactor;
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GenerateReactor::Start(serving_, *context, *request);
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* response) {
  const auto work = [text = serving_.text, request, response]() -> grpc::Status {
    v1::TokenizeRequest asked;
    v1::TokenizeResponse answer;
    std::optional<FieldError> bad = Parse(*request, asked);
    if (!bad) bad = Translate(asked, text, answer);
    if (bad) return StatusOf(*bad);
    *response = ToBytes(answer);
    return grpc::Status::OK;
  };
  return OnPool(serving_, context, request->Length(), work);
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(grpc::CallbackServerContext* context,
                                                       const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeResponse* response) {
  if (serving_.text == nullptr) {
    return Done(context, StatusOf(FieldError{"token_ids", "this model has no tokenizer",
                                             absl::StatusCode::kFailedPrecondition}));
  }
  const auto work = [text = serving_.text, request, response]() -> grpc::Status {
    const std::vector<TokenId> ids(request->token_ids().begin(), request->token_ids().end());
    auto decoded = text->Decode(ids, request->skip_special_tokens());
    if (!decoded.ok()) {
      return StatusOf(FieldError{"token_ids", std::string(decoded.status().message()),
                                 decoded.status().code()});
    }
    response->set_text(*std::move(decoded));
    return grpc::Status::OK;
  };
  return OnPool(serving_, context, request->ByteSizeLong(), work);
}

grpc::ServerUnaryReactor* InferenceService::Abort(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  v1::AbortRequest asked;
  std::optional<FieldError> bad = Parse(*request, asked);
  if (!bad && asked.request_id().empty()) bad = FieldError{"request_id", "must not be empty"};
  if (bad) return Done(context, StatusOf(*bad));
  v1::AbortResponse answer;
  answer.set_found(serving_.switchboard->Abort(asked.request_id()));
  if (!serving_.strand->Post(AbortAsked{.now = 0, .id = asked.request_id()})) {
    return Done(context, Overloaded("too many requests and aborts at once"));
  }
  *response = ToBytes(answer);
  return Done(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* InferenceService::GetModelInfo(grpc::CallbackServerContext* context,
                                                         const v1::GetModelInfoRequest*,
                                                         v1::GetModelInfoResponse* response) {
  const ModelConfig& config = serving_.config;
  response->set_name(serving_.facts.name);
  response->set_identity(serving_.facts.identity);
  response->set_vocab_size(config.vocab);
  response->set_context(config.context);
  response->set_layers(static_cast<std::int32_t>(config.layers.size()));
  response->set_moe_layers(config.moe_layers);
  response->set_experts(config.experts);
  response->set_experts_per_token(config.topk);
  response->set_hidden(config.hidden);
  response->mutable_eos_token_ids()->Assign(config.eos_ids.begin(), config.eos_ids.end());
  response->set_has_tokenizer(serving_.text != nullptr);
  response->set_has_chat_template(serving_.text != nullptr && serving_.text->has_chat_template());
  return Done(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* InferenceService::GetServerInfo(grpc::CallbackServerContext* context,
                                                          const v1::GetServerInfoRequest*,
                                                          v1::GetServerInfoResponse* response) {
  const std::shared_ptr<const ClusterSnapshot> snapshot = serving_.strand->snapshot();
  const std::vector<WorkerSnapshot>& workers = snapshot->members->workers;
  response->set_version(serving_.version);
  response->set_commit(serving_.commit);
  response->set_epoch(snapshot->epoch.number);
  response->set_workers(static_cast<std::int32_t>(workers.size()));
  response->set_ready(snapshot->ready);
  if (!workers.empty()) {
    const WorkerDescription& about = *workers.front().description;  // every worker's: they must agree
    response->set_kernels(about.kernels);
    response->set_kv_dtype(about.kv_dtype);
    response->set_exchange(about.exchange);
  }
  response->set_uptime_seconds(static_cast<double>(SteadyMicros() - serving_.started_at) / 1e6);
  return Done(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* InferenceService::GetLoad(grpc::CallbackServerContext* context,
                                                    const v1::GetLoadRequest*,
                                                    v1::GetLoadResponse* response) {
  *response = LoadOf(*serving_.strand->snapshot());
  return Done(context, grpc::Status::OK);
}

}  // namespace conclave
