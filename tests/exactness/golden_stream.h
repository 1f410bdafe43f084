// The golden stream: a fixed set of requests and what they get alone, one at a time, on one worker,
// without prefix cache or plans ahead. Every other way of serving must give the same bits.
#pragma once

#include <vector>

#include "tests/exactness/client.h"
#include "tests/exactness/cluster.h"

namespace conclave {

// Prompts of 1 to 400 tokens as text, chat and ids; greedy and sampled; penalties, bias, stop
// strings; log-probabilities, prompt log-probabilities and routed experts. For tales-128e.
const std::vector<v1::GenerateRequest>& GoldenRequests();

// How the golden itself is served.
ClusterOptions PlainOptions(KernelChoice kernels);

// Made on first use, once per kernel choice and process.
const std::vector<Stream>& GoldenStreams(KernelChoice kernels);

// `answers[i]` is of GoldenRequests()[i % size].
void ExpectGolden(KernelChoice kernels, const std::vector<Answer>& answers);

// The golden requests over and over, `count` in all.
std::vector<v1::GenerateRequest> ManyRequests(std::size_t count);

}  // namespace conclave
