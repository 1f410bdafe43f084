#include "coordinator/edge/inference_service.h"

#include <utility>

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

// Asks the strand for the status; `use` turns it into the response.
template <typename Use>
grpc::ServerUnaryReactor* OnStatus(Serving& serving, grpc::CallbackServerContext* context,
                                   Use use) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool asked =
      serving.strand->Ask([reactor, use = std::move(use)](const CoordinatorCore& core, Micros now) {
        use(core.Status(now), now);
        reactor->Finish(grpc::Status::OK);
      });
  if (!asked) reactor->Finish(Unavailable("this server is shutting down"));
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
  serving_.strand->Post(AbortAsked{.now = 0, .id = asked.request_id()});
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
  return OnStatus(serving_, context, [this, response](const ClusterStatus& status, Micros now) {
    response->set_version(serving_.version);
    response->set_commit(serving_.commit);
    response->set_epoch(status.epoch.number);
    response->set_workers(static_cast<std::int32_t>(status.workers.size()));
    response->set_ready(status.ready);
    if (!status.workers.empty()) {
      response->set_kernels(status.workers.front().kernels);
      response->set_kv_dtype(status.workers.front().kv_dtype);  // every worker's: they must agree
      response->set_exchange(status.workers.front().exchange);
    }
    response->set_uptime_seconds(static_cast<double>(now - serving_.started_at) / 1e6);
  });
}

grpc::ServerUnaryReactor* InferenceService::GetLoad(grpc::CallbackServerContext* context,
                                                    const v1::GetLoadRequest*,
                                                    v1::GetLoadResponse* response) {
  return OnStatus(serving_, context,
                  [response](const ClusterStatus& status, Micros) { *response = LoadOf(status); });
}

}  // namespace conclave
