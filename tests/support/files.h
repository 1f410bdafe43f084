// Files for tests: a directory that vanishes, whole-file reading and writing, safetensors made to
// order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

// A fresh directory, removed with all it holds.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string ReadFile(const std::string& path);  // CHECKs that it is there
void WriteFile(const std::string& path, const std::string& bytes);
void CopyFiles(const std::string& from_dir,
               const std::string& to_dir);  // regular files, not recursive

// The size word, this JSON, then `data_bytes` zero bytes.
std::string SafetensorsBytes(const std::string& header_json, std::size_t data_bytes);

}  // namespace conclave
