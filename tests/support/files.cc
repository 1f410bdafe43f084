#include "tests/support/files.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/check.h"

namespace conclave {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "conclave_test_XXXXXX").string();
  CONCLAVE_CHECK(::mkdtemp(pattern.data()) != nullptr, "%s", pattern.c_str());
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CONCLAVE_CHECK(file.is_open(), "%s", path.c_str());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  CONCLAVE_CHECK(!file.fail(), "%s", path.c_str());
}

void CopyFiles(const std::string& from_dir, const std::string& to_dir) {
  for (const auto& entry : std::filesystem::directory_iterator(from_dir)) {
    if (!entry.is_regular_file()) continue;
    WriteFile(to_dir + "/" + entry.path().filename().string(), ReadFile(entry.path().string()));
  }
}

std::string SafetensorsBytes(const std::string& header_json, std::size_t data_bytes) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes.push_back(static_cast<char>(std::uint64_t{header_json.size()} >> (8 * i)));
  return bytes + header_json + std::string(data_bytes, '\0');
}

}  // namespace conclave
