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

  // Hints about a part of bytes(): it will be read soon; this process is done with it for now (it
  // stays in the page cache). Only for memory that a MappedFile owns: released pages are read again
  // from the file.
  static void Prefetch(std::span<const std::byte> mapped);
  static void Release(std::span<const std::byte> mapped);

  std::span<const std::byte> bytes() const {
    return bytes_;
  }  // stable while this or its move target lives

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// A small text file whole. NotFound, or InvalidArgument when it is larger than `bytes_max`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::size_t bytes_max);

}  // namespace conclave
