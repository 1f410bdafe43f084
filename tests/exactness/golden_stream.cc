#include "tests/exactness/golden_stream.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/check.h"
#include "base/philox.h"

namespace conclave {
namespace {

constexpr TokenId kPlainTokens = 4000;  // ids below are no special tokens

v1::GenerateRequest Base(int max_tokens, std::uint64_t seed, double temperature) {
  v1::GenerateRequest request;
  request.mutable_sampling()->set_temperature(temperature);
  request.mutable_sampling()->set_seed(seed);
  request.mutable_stop()->set_max_tokens(max_tokens);
  request.mutable_output()->set_logprobs(3);
  return request;
}

v1::GenerateRequest Chat(v1::GenerateRequest request, const std::string& what) {
  request.mutable_chat()->set_messages_json(
      R"([{"role": "system", "content": "You tell old tales, kindly and at length."}, )"
      R"({"role": "user", "content": ")" +
      what + R"("}])");
  return request;
}

v1::GenerateRequest Text(v1::GenerateRequest request, const std::string& text) {
  request.set_text(text);
  return request;
}

// Equal seeds begin with equal ids, so some prompts are prefixes of others.
v1::GenerateRequest Ids(v1::GenerateRequest request, std::uint64_t seed, int count) {
  Rng rng(seed);
  for (int i = 0; i < count; ++i) {
    request.mutable_token_ids()->add_ids(static_cast<TokenId>(rng.Below(kPlainTokens)));
  }
  return request;
}

std::vector<v1::GenerateRequest> MakeRequests() {
  std::vector<v1::GenerateRequest> all;
  const auto add = [&all](v1::GenerateRequest request) -> v1::GenerateRequest& {
    all.push_back(std::move(request));
    return all.back();
  };
  add(Ids(Base(24, 1, 0), 11, 1)).mutable_stop()->set_ignore_eos(true);
  add(Text(Base(32, 2, 0.8), "Once upon a time there was a king who had three daughters"));
  add(Chat(Base(40, 3, 0), "Tell me a tale about a fox and a king."));
  add(Chat(Base(40, 4, 1.0), "Tell me a tale about a fox and a king."));
  v1::GenerateRequest& penalties = add(Ids(Base(24, 5, 0.7), 12, 31));
  penalties.mutable_sampling()->set_repetition_penalty(1.3);
  penalties.mutable_sampling()->set_presence_penalty(0.4);
  penalties.mutable_sampling()->set_frequency_penalty(0.2);
  v1::GenerateRequest& reported = add(Ids(Base(12, 6, 0), 12, 64));
  reported.mutable_output()->set_prompt_logprobs(2);
  reported.mutable_output()->set_routed_experts(true);
  add(Ids(Base(16, 7, 1.2), 13, 129)).mutable_sampling()->set_top_k(0);
  v1::GenerateRequest& routed = add(Chat(Base(20, 8, 0.9), "A tale of a mill, please."));
  routed.mutable_output()->set_routed_experts(true);
  routed.mutable_sampling()->set_min_p(0.02);
  add(Ids(Base(16, 9, 0), 14, 300)).mutable_stop()->set_ignore_eos(true);
  v1::GenerateRequest& biased = add(Text(Base(24, 10, 0.6), "The old woman said to the bear:"));
  biased.mutable_sampling()->set_top_p(0.8);
  for (const TokenId id : {300, 700, 1500}) {
    v1::LogitBias& bias = *biased.mutable_sampling()->add_logit_bias();
    bias.set_token_id(id);
    bias.set_bias(2.5f);
  }
  v1::GenerateRequest& stopped = add(Text(Base(60, 11, 0.9), "In the deep forest"));
  stopped.mutable_stop()->add_strings(" the");
  stopped.mutable_stop()->set_min_tokens(4);
  v1::GenerateRequest& longest = add(Ids(Base(30, 12, 0.9), 14, 400));  // begins as the 300 do
  longest.mutable_output()->set_logprobs(8);
  return all;
}

}  // namespace

const std::vector<v1::GenerateRequest>& GoldenRequests() {
  static const auto& requests = *new std::vector<v1::GenerateRequest>(MakeRequests());
  return requests;
}

ClusterOptions PlainOptions(KernelChoice kernels) {
  ClusterOptions options;
  options.kernels = kernels;
  options.kv_dtype = kernels == KernelChoice::kRef ? DType::kF32 : DType::kBf16;
  options.core.prefix_cache = false;
  options.core.plans_ahead = 1;
  return options;
}

const std::vector<Stream>& GoldenStreams(KernelChoice kernels) {
  static auto& made = *new std::map<KernelChoice, std::vector<Stream>>();
  const auto [it, fresh] = made.try_emplace(kernels);
  if (!fresh) return it->second;
  Cluster cluster(PlainOptions(kernels));
  for (Answer& answer : AskInTurn(cluster.client(), GoldenRequests())) {
    CONCLAVE_CHECK(answer.stream.error.empty(), "%s", answer.stream.error.c_str());
    CONCLAVE_CHECK(
        answer.stream.logprobs.size() == answer.stream.ids.size() && !answer.stream.ids.empty(),
        "a golden stream without log-probabilities proves nothing");
    it->second.push_back(std::move(answer.stream));
  }
  return it->second;
}

void ExpectGolden(KernelChoice kernels, const std::vector<Answer>& answers) {
  const std::vector<Stream>& golden = GoldenStreams(kernels);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Stream& want = golden[i % golden.size()];
    const Stream& got = answers[i].stream;
    SCOPED_TRACE("request " + std::to_string(i % golden.size()));
    EXPECT_EQ(got.error, want.error);
    EXPECT_EQ(got.ids, want.ids);
    EXPECT_EQ(got.text, want.text);
    EXPECT_TRUE(got.logprobs == want.logprobs) << "log-probabilities have other bits";
    EXPECT_TRUE(got.prompt_logprobs == want.prompt_logprobs) << "prompt log-probabilities, too";
    EXPECT_TRUE(got.routed == want.routed) << "other experts";
    EXPECT_TRUE(got == want);  // and how it ended, and usage
  }
}

std::vector<v1::GenerateRequest> ManyRequests(std::size_t count) {
  std::vector<v1::GenerateRequest> many;
  for (std::size_t i = 0; i < count; ++i) {
    many.push_back(GoldenRequests()[i % GoldenRequests().size()]);
  }
  return many;
}

}  // namespace conclave
