// When a stream ends and what its text is, computed the slow way from its tokens and the request.
// Deliberately written without using the coordinator's own stop scanner.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/events.h"
#include "text/text.h"

namespace conclave::sim {

struct ExpectArgs {
  const ClientAsk& ask;
  std::span<const TokenId> tokens;  // those that were emitted
  int length_max = 0;               // of them
  const std::vector<TokenId>& eos;
  const Text& text;
};

struct Expected {
  int tokens = 0;          // up to the first reason to end, or all
  std::optional<End> end;  // unset: no reason to end yet
  std::string stop;
  std::optional<TokenId> stop_id;
  std::string text;  // of all tokens; nothing held back
};

Expected Expect(const ExpectArgs& args);

}  // namespace conclave::sim
