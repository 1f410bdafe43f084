// A file mapped into memory, read-only.
//
// The size is taken once, at Open, and callers check it against what they expect before they read.
// A file that is cut short afterwards makes reads beyond its new end raise SIGBUS, as with every
// mapping: replace model files by renaming new ones into place, never by writing over them.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace conclave {

class MappedFile {
 public:
  // NotFound, or FailedPrecondition for what is not a regular file. An empty file maps to no bytes.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const {
    return bytes_;
  }  // stable while this or its move target lives

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// Asks the kernel to start reading these mapped bytes / tells it that this process is done with
// them (they stay in the page cache). Hints: failure is of no consequence.
void Prefetch(std::span<const std::byte> mapped);
void Release(std::span<const std::byte> mapped);

// A small text file whole. NotFound, or InvalidArgument when it is larger than `bytes_max`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::size_t bytes_max);

}  // namespace conclave
