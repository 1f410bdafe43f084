// An answer, and whether it is the undisturbed one. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "conclave/v1/inference.pb.h"

namespace conclave::torture {

// Everything of an answer that the request alone decides, messages joined.
struct Answer {
  std::vector<TokenId> ids;
  std::vector<std::uint64_t> logprobs;  // parallel to ids when asked for: a hash of all their bits
  std::string text;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;
  int completion_tokens = 0;
  int endings = 0;  // terminal messages; 1 in a good stream
};

void Append(const v1::GenerateResponse& part, Answer& answer);

struct Verdict {
  bool mismatched = false;  // some token, logprob, text or ending is another
  int missing = 0;          // tokens left out
  int repeated = 0;         // tokens that came twice, or more than there should be
  std::string what;         // the first difference, for people; empty: the same
  bool same() const { return what.empty(); }
};

// Tokens are compared by position. What is shorter or longer by d tokens and goes on as the truth
// does is missing or repeats d; anything else is mismatched.
Verdict Judge(const Answer& truth, const Answer& got);

}  // namespace conclave::torture
