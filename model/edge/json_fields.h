// Typed reading of one JSON object: every error names the file and the key, and what was expected.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace conclave {

// Parses a JSON object; InvalidArgument names the file and where it went wrong.
absl::StatusOr<nlohmann::json> ParseJsonObject(const std::string& text, absl::string_view file);

// A key that is null counts as absent, as in transformers. Not thread-safe; lives no longer than
// its object.
class JsonFields {
 public:
  // `prefix` names the object in errors, for example "config.json: rope_scaling.".
  JsonFields(const nlohmann::json& object, std::string prefix)
      : object_(object), prefix_(std::move(prefix)) {}

  const nlohmann::json* Get(absl::string_view key) const;  // null when absent
  bool Has(absl::string_view key) const { return Get(key) != nullptr; }

  absl::StatusOr<int> Int(absl::string_view key, int low, int high) const;  // required
  absl::StatusOr<int> IntOr(absl::string_view key, int low, int high, int otherwise) const;
  absl::StatusOr<double> NumberOr(absl::string_view key, double otherwise) const;  // finite
  absl::StatusOr<std::optional<double>> Number(absl::string_view key) const;
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool otherwise) const;
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view otherwise) const;
  absl::StatusOr<JsonFields> Object(absl::string_view key) const;  // required

  // InvalidArgument: "config.json: KEY: PROBLEM".
  absl::Status Bad(absl::string_view key, absl::string_view problem) const;

 private:
  const nlohmann::json& object_;
  std::string prefix_;
};

}  // namespace conclave
