// The golden of tales-128e, end to end: the log-probabilities, experts and greedy tokens that a
// client receives, against Hugging Face transformers in double precision.
#include "tests/exactness/oracle.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/exactness/golden_stream.h"

namespace conclave {
namespace {

v1::GenerateRequest ToProto(const TestRequest& request) {
  v1::GenerateRequest proto;
  proto.mutable_token_ids()->mutable_ids()->Assign(request.prompt.begin(), request.prompt.end());
  proto.mutable_sampling()->set_temperature(request.sampling.temperature);
  proto.mutable_stop()->set_max_tokens(request.max_tokens);
  proto.mutable_stop()->set_ignore_eos(true);
  proto.mutable_output()->set_logprobs(*request.sampling.logprobs);
  proto.mutable_output()->set_prompt_logprobs(*request.sampling.prompt_logprobs);
  proto.mutable_output()->set_routed_experts(request.sampling.routed_experts);
  return proto;
}

TestOutput FromStream(const Stream& stream) {
  TestOutput output{.tokens = stream.ids,
                    .logprobs = stream.logprobs,
                    .prompt_logprobs = stream.prompt_logprobs,
                    .routed = {}};
  for (std::size_t i = 0; i + 1 < stream.routed.size(); i += 2) {
    const auto low = static_cast<unsigned char>(stream.routed[i]);
    const auto high = static_cast<unsigned char>(stream.routed[i + 1]);
    output.routed.push_back(static_cast<std::uint16_t>(low | high << 8));
  }
  return output;
}

OracleTally Compare(const ClusterOptions& options, const Oracle& oracle,
                    const OracleBounds& bounds) {
  Cluster cluster(options);
  std::vector<v1::GenerateRequest> requests;
  for (const GoldenPrompt& prompt : oracle.golden.prompts) {
    requests.push_back(ToProto(RequestOf(prompt)));
  }
  const std::vector<Answer> answers = AskTogether(cluster.client(), requests, 1);
  OracleTally tally;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    SCOPED_TRACE("prompt " + std::to_string(i));
    EXPECT_EQ(answers[i].stream.error, "");
    ExpectOracle(oracle, oracle.golden.prompts[i], FromStream(answers[i].stream), bounds, tally);
  }
  return tally;
}

TEST(Oracle, ReferenceKernelsMeetTalesTightly) {
  const Oracle oracle = OpenOracle("models/tales-128e");
  ClusterOptions options = PlainOptions(KernelChoice::kRef);
  options.workers = 2;
  options.core = {};
  const OracleTally tally = Compare(options, oracle, FloatBounds(oracle.checkpoint.config));
  EXPECT_GT(tally.logprobs, 4 * 7 * 33);  // of 4 prompts, 8 rows each
  EXPECT_GT(tally.routes, 4 * 300);       // of 349 tokens in 4 layers
  EXPECT_GT(tally.greedy, 100);           // of 4 * 64
}

TEST(Oracle, FastKernelsMeetTalesWithinTheirBounds) {
  const Oracle oracle = OpenOracle("models/tales-128e");
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = 3;
  options.core = {};
  const OracleTally tally = Compare(options, oracle, Bf16Bounds(oracle.checkpoint));
  EXPECT_GT(tally.logprobs, 0);
  EXPECT_GT(tally.routes, 0);
}

}  // namespace
}  // namespace conclave
