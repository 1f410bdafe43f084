// The real tokenizers and golden vectors, loaded once per test program.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "text/text.h"

namespace conclave {

// qwen3, qwen2_5, deepseek_v3 (unpacked into the build tree) or tales-128e (from models/).
const Text& LoadedText(const std::string& name);
std::string ModelDirOf(const std::string& name);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text);
// Below tests/data/; one JSON value a line.
std::vector<nlohmann::ordered_json> ReadJsonLines(const std::string& name);

// A fresh directory that goes away again.
class TemporaryDir {
 public:
  TemporaryDir();
  ~TemporaryDir();
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace conclave
