// Counts what ended, against the truth. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "torture/report.h"
#include "torture/streams.h"
#include "torture/verdict.h"

namespace conclave::torture {

class Tally {
 public:
  explicit Tally(std::vector<Answer> truth) : truth_(std::move(truth)) {}

  void Take(const Course& course);
  // Its part of the report; the first few mistakes become failures with a name.
  void Fill(Report& report);

 private:
  void Say(const Course& course, const std::string& what);

  const std::vector<Answer> truth_;
  std::mutex mutex_;
  int requests_ = 0, failed_ = 0, mismatched_ = 0, missing_ = 0, repeated_ = 0;
  std::vector<double> first_token_ms_;
  std::vector<std::string> mistakes_;
};

}  // namespace conclave::torture
