#include "text_data.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "base/check.h"

namespace conclave {

std::string ModelDirOf(const std::string& name) {
  if (name == "tales-128e") return CONCLAVE_SOURCE_DIR "/models/tales-128e";
  return std::string(CONCLAVE_TEXT_DATA_DIR) + "/" + name;
}

const Text& LoadedText(const std::string& name) {
  static auto& texts = *new std::map<std::string, std::unique_ptr<Text>>();
  std::unique_ptr<Text>& text = texts[name];
  if (text == nullptr) {
    absl::StatusOr<std::unique_ptr<Text>> loaded = LoadText(ModelDirOf(name));
    CONCLAVE_CHECK(loaded.ok(), "%s", loaded.status().ToString().c_str());
    text = *std::move(loaded);
  }
  return *text;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CONCLAVE_CHECK(file.good(), "%s", path.c_str());
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  CONCLAVE_CHECK(file.good(), "%s", path.c_str());
}

std::vector<nlohmann::ordered_json> ReadJsonLines(const std::string& name) {
  std::istringstream text(ReadFile(CONCLAVE_SOURCE_DIR "/tests/data/" + name));
  std::vector<nlohmann::ordered_json> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::ordered_json::parse(line));
  }
  return lines;
}

TemporaryDir::TemporaryDir() {
  std::string name = (std::filesystem::temp_directory_path() / "conclave_text_XXXXXX").string();
  CONCLAVE_CHECK(mkdtemp(name.data()) != nullptr, "%s", name.c_str());
  path_ = name;
}

TemporaryDir::~TemporaryDir() {
  std::error_code ignored;  // a leftover directory is no reason to fail
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace conclave
