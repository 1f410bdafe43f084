#include "torture/verdict.h"

#include <gtest/gtest.h>

#include <utility>

namespace conclave::torture {
namespace {

v1::GenerateResponse Part(std::vector<TokenId> ids, std::string text, float logprob = -1.5F) {
  v1::GenerateResponse part;
  for (const TokenId id : ids) {
    part.add_token_ids(id);
    v1::TokenLogprob& entry = *part.add_logprobs();
    entry.set_token_id(id);
    entry.set_logprob(logprob);
    v1::TopLogprob& top = *entry.add_top();
    top.set_token_id(id + 1);
    top.set_logprob(2 * logprob);
  }
  part.set_text(std::move(text));
  return part;
}

v1::GenerateResponse Last(std::vector<TokenId> ids, int total) {
  v1::GenerateResponse part = Part(std::move(ids), "!");
  part.mutable_finished()->set_reason(v1::FINISH_REASON_LENGTH);
  part.mutable_finished()->mutable_usage()->set_completion_tokens(total);
  return part;
}

Answer Of(std::vector<TokenId> ids) {
  Answer answer;
  const int total = static_cast<int>(ids.size());
  Append(Last(std::move(ids), total), answer);
  return answer;
}

TEST(Append, HowAStreamIsCutDoesNotMatter) {
  Answer whole, pieces;
  Append(Part({1, 2, 3}, "abc"), whole);
  Append(Last({4}, 4), whole);
  Append(Part({1}, "a"), pieces);
  Append(Part({}, ""), pieces);
  Append(Part({2, 3}, "bc"), pieces);
  Append(Last({4}, 4), pieces);
  EXPECT_TRUE(Judge(whole, pieces).same()) << Judge(whole, pieces).what;
}

TEST(Judge, FindsMissingTokens) {
  const Answer truth = Of({1, 2, 3, 4, 5, 6});
  for (const auto& [got, missing] : std::vector<std::pair<std::vector<TokenId>, int>>{
           {{1, 2, 5, 6}, 2}, {{2, 3, 4, 5, 6}, 1}, {{1, 2, 3}, 3}, {{}, 6}}) {
    const Verdict verdict = Judge(truth, Of(got));
    EXPECT_EQ(verdict.missing, missing) << verdict.what;
    EXPECT_EQ(verdict.repeated, 0);
    EXPECT_FALSE(verdict.mismatched);
    EXPECT_FALSE(verdict.same());
  }
}

TEST(Judge, FindsRepeatedTokens) {
  const Answer truth = Of({1, 2, 3, 4});
  for (const auto& [got, repeated] :
       std::vector<std::pair<std::vector<TokenId>, int>>{{{1, 2, 2, 3, 4}, 1},
                                                         {{1, 2, 3, 2, 3, 4}, 2},
                                                         {{1, 2, 3, 4, 4}, 1},
                                                         {{1, 2, 3, 4, 9}, 1}}) {
    const Verdict verdict = Judge(truth, Of(got));
    EXPECT_EQ(verdict.repeated, repeated) << verdict.what;
    EXPECT_EQ(verdict.missing, 0);
    EXPECT_FALSE(verdict.mismatched);
    EXPECT_FALSE(verdict.same());
  }
}

TEST(Judge, FindsOtherTokens) {
  const Answer truth = Of({1, 2, 3, 4});
  for (const std::vector<TokenId>& got :
       {std::vector<TokenId>{1, 2, 9, 4}, {1, 9, 4}, {9, 1, 2, 3, 4, 9}, {1, 2, 3, 9}}) {
    const Verdict verdict = Judge(truth, Of(got));
    EXPECT_TRUE(verdict.mismatched) << verdict.what;
    EXPECT_FALSE(verdict.same());
  }
}

TEST(Judge, ComparesEveryBitOfLogprobs) {
  Answer truth, got;
  Append(Part({1, 2}, "ab", -1.5F), truth);
  Append(Part({1}, "a", -1.5F), got);
  Append(Part({2}, "b", -1.5000001F), got);
  truth.endings = got.endings = 1;
  EXPECT_TRUE(Judge(truth, got).mismatched);
  got.logprobs = truth.logprobs;
  EXPECT_TRUE(Judge(truth, got).same());
  got.logprobs.pop_back();
  EXPECT_TRUE(Judge(truth, got).mismatched);
}

TEST(Judge, ComparesTextReasonUsageAndEndings) {
  const Answer truth = Of({1, 2});
  const auto differs = [&](auto change) {
    Answer got = truth;
    change(got);
    return Judge(truth, got).mismatched;
  };
  EXPECT_FALSE(differs([](Answer&) {}));
  EXPECT_TRUE(differs([](Answer& got) { got.text += "x"; }));
  EXPECT_TRUE(differs([](Answer& got) { got.text.clear(); }));
  EXPECT_TRUE(differs([](Answer& got) { got.reason = v1::FINISH_REASON_STOP; }));
  EXPECT_TRUE(differs([](Answer& got) { got.completion_tokens = 1; }));
  EXPECT_TRUE(differs([](Answer& got) { got.endings = 2; }));
  EXPECT_TRUE(differs([](Answer& got) { got.endings = 0; }));
}

}  // namespace
}  // namespace conclave::torture
