// A small scheduler for tests: requests in, everything a worker says about them out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "protocol/plan.h"
#include "tests/worker/test_worker.h"

namespace conclave {

struct TestRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  int max_tokens = 8;
  int arrives = 0;  // at which step
};

struct TestOutput {
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;         // of each token, when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // of prompt positions 1..
  std::vector<std::uint16_t> routed;          // [positions][moe layers][topk]
  friend bool operator==(const TestOutput&, const TestOutput&) = default;
};

struct ServeOptions {
  int chunk = 512;                           // prompt tokens of one request per step
  int concurrent = 64;                       // requests running at one time
  std::function<void(int now)> before_step;  // may change the cluster's placement
};

// Runs every request to its last token. Request i lives on home i % homes. CHECKs on any broken
// step. Each output depends on its request alone: that is what the tests are about.
std::vector<TestOutput> Serve(TestCluster& cluster, const std::vector<TestRequest>& requests,
                              const ServeOptions& options = {});

}  // namespace conclave
