// What came back for one request, as the JSON object of the contract. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "conclave/v1/inference.pb.h"
#include "grpcpp/support/status.h"

namespace conclave {

// {"code": "INVALID_ARGUMENT", "field": "sampling.top_p", "message": ...}, from the status and its
// details.
struct CallError {
  std::string code;
  std::string field;  // empty: none
  std::string message;
};
CallError ErrorOf(const grpc::Status& status);
// The other way round: "key: what is wrong with it", found on this side, as a server would say it.
grpc::Status RefusalOf(const absl::Status& status);
// "sampling.top_p: must be ..." for people.
std::string ErrorLine(const grpc::Status& status);

// "9 prompt tokens (0 cached), 32 tokens at 310.0 per second; first after 12.0 ms, ...".
std::string StatsLine(const v1::GenerateResponse& whole);

class Answer {
 public:
  Answer() = default;
  // `asked`: what the request wants to see. A finished answer has the key of everything it names,
  // also when there is nothing to list: "prompt_logprobs" of a one-token prompt is [null].
  explicit Answer(const v1::OutputOptions& asked)
      : logprobs_(asked.has_logprobs()), prompt_logprobs_(asked.has_prompt_logprobs()) {}
  void Add(const v1::GenerateResponse& part);

  // One line without newline. Floats are printed so that they read back to the same bits. `id`: the
  // client's own; when empty, the server's. `status` is how the call ended.
  std::string Json(const std::string& id, const grpc::Status& status) const;

  const std::string& text() const { return whole_.text(); }
  int tokens() const { return whole_.token_ids_size(); }
  const v1::GenerateResponse& whole() const { return whole_; }

 private:
  bool logprobs_ = false;
  bool prompt_logprobs_ = false;
  v1::GenerateResponse whole_;  // all parts, put together
};

}  // namespace conclave
