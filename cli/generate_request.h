// One request, as flags or as a JSON line say it. Pure: files are read by the function given.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "CLI/App.hpp"
#include "absl/status/statusor.h"
#include "conclave/v1/inference.pb.h"

namespace conclave {

using ReadFileFn = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// Keys: text | prompt_ids (array, "1,2,3" or "@FILE"), chat (true: text is what the user says; or
// an array of messages), tools, enable_thinking, id, resume_after, and the sampling, stop and
// output flags with underscores. InvalidArgument starts with the key: "top_k: ...". Whether values
// make sense is for the server to say.
absl::StatusOr<v1::GenerateRequest> RequestFromJson(const nlohmann::json& object,
                                                    const ReadFileFn& read_file);
absl::StatusOr<v1::GenerateRequest> RequestFromLine(const std::string& line,
                                                    const ReadFileFn& read_file);

// The same keys as flags: what is given is put into `object`, whose life must be as long as the
// app's.
void AddRequestFlags(CLI::App& app, nlohmann::json& object);
// Only those about sampling and stopping: for chat.
void AddSamplingFlags(CLI::App& app, nlohmann::json& object);

// Whole file, at most `bytes_max`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

}  // namespace conclave
