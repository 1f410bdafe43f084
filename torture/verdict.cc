#include "torture/verdict.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace conclave::torture {
namespace {

std::uint64_t Mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccdULL;
}

std::uint64_t Mix(std::uint64_t hash, TokenId id, float logprob) {
  return Mix(Mix(hash, static_cast<std::uint32_t>(id)), std::bit_cast<std::uint32_t>(logprob));
}

Verdict Mismatch(std::string what) {
  Verdict verdict;
  verdict.mismatched = true;
  verdict.what = std::move(what);
  return verdict;
}

// The ids differ, first at `at`.
Verdict JudgeIds(const std::vector<TokenId>& truth, const std::vector<TokenId>& got,
                 std::ptrdiff_t at) {
  Verdict verdict;
  const auto difference =
      static_cast<std::ptrdiff_t>(got.size()) - static_cast<std::ptrdiff_t>(truth.size());
  const auto rest = got.begin() + at;
  if (difference < 0 && std::equal(rest, got.end(), truth.begin() + at - difference, truth.end())) {
    verdict.missing = static_cast<int>(-difference);
    verdict.what = absl::StrCat(verdict.missing, " tokens are missing at position ", at);
    return verdict;
  }
  if (difference > 0 && difference <= at &&
      std::equal(rest, got.end(), truth.begin() + at - difference, truth.end())) {
    verdict.repeated = static_cast<int>(difference);
    verdict.what = absl::StrCat(verdict.repeated, " tokens come twice at position ", at);
    return verdict;
  }
  if (at == static_cast<std::ptrdiff_t>(truth.size())) {
    verdict.repeated = static_cast<int>(difference);
    verdict.what = absl::StrCat(verdict.repeated, " tokens come after the end");
    return verdict;
  }
  return Mismatch(absl::StrCat("token ", at, " is ", *rest, " instead of ",
                               truth[static_cast<std::size_t>(at)]));
}

}  // namespace

void Append(const v1::GenerateResponse& part, Answer& answer) {
  answer.ids.insert(answer.ids.end(), part.token_ids().begin(), part.token_ids().end());
  for (const v1::TokenLogprob& entry : part.logprobs()) {
    std::uint64_t hash = Mix(0, entry.token_id(), entry.logprob());
    for (const v1::TopLogprob& top : entry.top()) hash = Mix(hash, top.token_id(), top.logprob());
    answer.logprobs.push_back(hash);
  }
  answer.text += part.text();
  if (!part.has_finished()) return;
  ++answer.endings;
  answer.reason = part.finished().reason();
  answer.completion_tokens = part.finished().usage().completion_tokens();
}

Verdict Judge(const Answer& truth, const Answer& got) {
  const auto [want, have] = std::ranges::mismatch(truth.ids, got.ids);
  if (want != truth.ids.end() || have != got.ids.end()) {
    return JudgeIds(truth.ids, got.ids, have - got.ids.begin());
  }
  if (got.endings != 1) return Mismatch(absl::StrCat(got.endings, " terminal messages"));
  if (truth.logprobs != got.logprobs) {
    const auto [a, b] = std::ranges::mismatch(truth.logprobs, got.logprobs);
    return Mismatch(absl::StrCat("the logprob of token ", b - got.logprobs.begin(), " differs (",
                                 got.logprobs.size(), " of ", truth.logprobs.size(), " came)"));
  }
  if (truth.text != got.text) {
    const auto [a, b] = std::ranges::mismatch(truth.text, got.text);
    return Mismatch(absl::StrCat("the text differs at byte ", b - got.text.begin()));
  }
  if (truth.reason != got.reason) {
    return Mismatch(absl::StrCat("it finished with ", v1::FinishReason_Name(got.reason),
                                 " instead of ", v1::FinishReason_Name(truth.reason)));
  }
  if (truth.completion_tokens != got.completion_tokens) {
    return Mismatch(absl::StrCat("usage counts ", got.completion_tokens, " tokens instead of ",
                                 truth.completion_tokens));
  }
  return {};
}

}  // namespace conclave::torture
