// A client that keeps every bit of an answer, alone or among many.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "conclave/v1/inference.grpc.pb.h"
#include "protocol/plan.h"

namespace conclave {

// Everything of an answer that a request alone decides. Messages are joined: how a stream is cut
// into messages is a matter of timing.
struct Stream {
  std::string error;  // empty: the call ended with OK and exactly one terminal message
  std::vector<TokenId> ids;
  std::string text;
  std::vector<TokenLogprob> logprobs, prompt_logprobs;
  std::string routed;  // as sent: little-endian uint16
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;
  std::string stop_string;
  int prompt_tokens = 0, completion_tokens = 0;
  friend bool operator==(const Stream&, const Stream&) = default;
};

struct Answer {
  Stream stream;
  int cached_prompt_tokens = 0;
  int cuts = 0;  // streams that broke in the middle
};

Answer Ask(v1::InferenceService::Stub& client, const v1::GenerateRequest& request);
// Reads on where a stream breaks off; the request needs an id. `on_tokens` hears how many have
// come.
using OnTokens = std::function<void(int tokens)>;
Answer AskPatiently(v1::InferenceService::Stub& client, const v1::GenerateRequest& request,
                    const OnTokens& on_tokens);
std::vector<Answer> AskInTurn(v1::InferenceService::Stub& client,
                              const std::vector<v1::GenerateRequest>& requests);

// All at once, each from a thread of its own, in an order and at moments drawn from `seed`: the
// i-th starts when the others have emitted a drawn number of tokens (or nothing runs any more), so
// that arrivals fall anywhere into each other's prompts and decoding. Answers by request.
std::vector<Answer> AskTogether(v1::InferenceService::Stub& client,
                                const std::vector<v1::GenerateRequest>& requests,
                                std::uint64_t seed);

}  // namespace conclave
