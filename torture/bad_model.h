// A model directory that is almost another one's: its weights, another identity.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace conclave::torture {

class BadModel {
 public:
  // Links to the files of `model`, but a configuration that differs in a number. Removed with this.
  static absl::StatusOr<std::unique_ptr<BadModel>> Make(const std::string& model);
  ~BadModel();
  BadModel(const BadModel&) = delete;
  BadModel& operator=(const BadModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit BadModel(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace conclave::torture
