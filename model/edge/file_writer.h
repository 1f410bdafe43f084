// A new file written front to back.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace conclave {

class FileWriter {
 public:
  // Refuses a file that exists (AlreadyExists).
  static absl::StatusOr<FileWriter> Create(const std::string& path);

  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  // Errors name the path and the cause (ResourceExhausted: no space).
  absl::Status Write(std::span<const std::byte> bytes);
  absl::Status Write(absl::string_view text);
  // Without Close, a failed last write could go unnoticed.
  absl::Status Close();

 private:
  FileWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

absl::Status WriteSmallFile(const std::string& path, absl::string_view text);

}  // namespace conclave
