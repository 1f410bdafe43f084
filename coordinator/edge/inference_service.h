// conclave.v1.InferenceService: the small calls. Generate is in generate_reactor.h.
#pragma once

#include "conclave/v1/inference.grpc.pb.h"
#include "coordinator/edge/serving.h"

namespace conclave {

using RawInferenceService = v1::InferenceService::WithRawCallbackMethod_Generate<
    v1::InferenceService::WithRawCallbackMethod_Tokenize<
        v1::InferenceService::WithCallbackMethod_Detokenize<
            v1::InferenceService::WithRawCallbackMethod_Abort<
                v1::InferenceService::WithCallbackMethod_GetModelInfo<
                    v1::InferenceService::WithCallbackMethod_GetServerInfo<
                        v1::InferenceService::WithCallbackMethod_GetLoad<
                            v1::InferenceService::Service>>>>>>>;

class InferenceService final : public RawInferenceService {
 public:
  explicit InferenceService(Serving& serving) : serving_(serving) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::GetModelInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const v1::GetLoadRequest* request,
                                    v1::GetLoadResponse* response) override;

 private:
  Serving& serving_;
};

}  // namespace conclave
