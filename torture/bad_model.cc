#include "torture/bad_model.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace conclave::torture {

absl::StatusOr<std::unique_ptr<BadModel>> BadModel::Make(const std::string& model) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::string path = (fs::temp_directory_path(error) / "conclave-torture-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot make a directory like ", path));
  }
  std::unique_ptr<BadModel> made(new BadModel(path));
  for (const fs::directory_entry& entry : fs::directory_iterator(model, error)) {
    const fs::path name = entry.path().filename();
    if (name == "config.json") continue;
    fs::create_symlink(fs::absolute(entry.path()), fs::path(path) / name, error);
  }
  std::ifstream in(fs::path(model) / "config.json");
  nlohmann::json config = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", model, "/config.json"));
  }
  config["rope_theta"] = config.value("rope_theta", 10000.0) + 1;
  std::ofstream(fs::path(path) / "config.json") << config.dump();
  return made;
}

BadModel::~BadModel() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

}  // namespace conclave::torture
