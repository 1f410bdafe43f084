// What clients say, in the core's words, and back. Pure: no gRPC, no clock, no thread. Whether the
// values are acceptable is the core's decision; here only the form is checked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "conclave/v1/admin.pb.h"
#include "conclave/v1/inference.pb.h"
#include "coordinator/events.h"
#include "coordinator/snapshot.h"
#include "text/text.h"

namespace conclave {

// A request that cannot be understood: which field (as the .proto spells it) and why.
struct FieldError {
  std::string field;
  std::string message;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

// Parses a client's bytes. When they are no `message`, says which string is not UTF-8, if that is
// why.
std::optional<FieldError> Parse(std::string_view bytes, google::protobuf::Message& message);

// Everything of `request` in core words; `text` may be null (token ids only). Encodes and renders,
// so it may take milliseconds: not for a reactor. Leaves fallback_seed and deadline alone.
std::optional<FieldError> Translate(const v1::GenerateRequest& request, const Text* text,
                                    ClientAsk& ask);

// The seed of a request that has an id and no seed: the same wherever and whenever it is asked
// again, so that its answer can be resumed.
std::uint64_t SeedOf(std::string_view request_id);

// The field of a refusal as the client of `request` spelled it: the core knows prompts as ids only.
std::string ClientField(std::string field, v1::GenerateRequest::PromptCase prompt);

// A chat prompt as the template renders it. `field` is the prompt's own path.
std::optional<FieldError> RenderPrompt(const v1::ChatPrompt& chat, const Text& text,
                                       const std::string& field, std::string& prompt);
std::optional<FieldError> Translate(const v1::TokenizeRequest& request, const Text* text,
                                    v1::TokenizeResponse& response);

// Everything of `part` but an ending that is an error.
v1::GenerateResponse ToProto(const StreamPart& part, const std::string& request_id,
                             const ModelFacts& model);

v1::GetClusterResponse ToProto(const ClusterStatus& status, Micros now, bool with_experts);
v1::GetLoadResponse LoadOf(const ClusterSnapshot& snapshot);

}  // namespace conclave
