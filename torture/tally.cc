#include "torture/tally.h"

#include "absl/strings/str_cat.h"
#include "cli/load.h"

namespace conclave::torture {
namespace {

constexpr std::size_t kMistakesMax = 20;

}  // namespace

void Tally::Say(const Course& course, const std::string& what) {
  if (mistakes_.size() >= kMistakesMax) return;
  mistakes_.push_back(absl::StrCat("request ", course.id, " (ask ", course.ask, ", ",
                                   course.answer.ids.size(), " tokens, ", course.retries,
                                   " retries): ", what));
}

void Tally::Take(const Course& course) {
  std::lock_guard lock(mutex_);
  ++requests_;
  if (course.first_token > 0) {
    first_token_ms_.push_back(static_cast<double>(course.first_token - course.began) / 1e3);
  }
  if (!course.error.empty()) {
    ++failed_;
    return Say(course, course.error);
  }
  const Verdict verdict = Judge(truth_[static_cast<std::size_t>(course.ask)], course.answer);
  if (verdict.same()) return;
  if (verdict.mismatched) ++mismatched_;
  missing_ += verdict.missing;
  repeated_ += verdict.repeated;
  Say(course, verdict.what);
}

void Tally::Fill(Report& report) {
  std::lock_guard lock(mutex_);
  report.requests = requests_;
  report.failed = failed_;
  report.mismatched = mismatched_;
  report.missing_tokens = missing_;
  report.repeated_tokens = repeated_;
  report.failures.insert(report.failures.end(), mistakes_.begin(), mistakes_.end());
  report.first_token_p50_ms = QuantileOf(first_token_ms_, 0.5);
  report.first_token_p99_ms = QuantileOf(first_token_ms_, 0.99);
  report.first_token_max_ms = QuantileOf(first_token_ms_, 1);
}

}  // namespace conclave::torture
