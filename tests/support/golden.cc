#include "tests/support/golden.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/edge/json_fields.h"
#include "model/edge/mapped_file.h"
#include "model/edge/safetensors.h"

namespace conclave {
namespace {

using Json = nlohmann::json;

class GoldenFile {
 public:
  static absl::StatusOr<GoldenFile> Open(const std::string& path) {
    ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    ASSIGN_OR_RETURN(const SafetensorsHeader header, ParseSafetensors(file.bytes()));
    GoldenFile golden(std::move(file));
    for (const FileTensor& tensor : header.tensors) golden.tensors_[tensor.name] = tensor;
    return golden;
  }

  const std::vector<std::int64_t>* Shape(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second.shape;
  }

  // Empty when the tensor is not there.
  template <typename T>
  absl::StatusOr<std::vector<T>> Values(const std::string& name, absl::string_view dtype) const {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) return std::vector<T>();
    if (it->second.dtype != dtype)
      return absl::InvalidArgumentError(absl::StrCat(name, " is not ", dtype));
    std::vector<T> values((it->second.end - it->second.begin) / sizeof(T));
    if (!values.empty())
      std::memcpy(values.data(), file_.bytes().data() + it->second.begin,
                  values.size() * sizeof(T));
    return values;
  }

 private:
  explicit GoldenFile(MappedFile file) : file_(std::move(file)) {}
  MappedFile file_;
  std::map<std::string, FileTensor> tensors_;
};

absl::StatusOr<GoldenPrompt> ReadPrompt(const GoldenFile& file, int index, Golden& golden) {
  GoldenPrompt prompt;
  const auto name = [&](const char* kind) { return absl::StrCat(kind, "_", index); };
  ASSIGN_OR_RETURN(prompt.ids, file.Values<std::int32_t>(name("prompt"), "I32"));
  ASSIGN_OR_RETURN(prompt.logits, file.Values<float>(name("logits"), "F32"));
  ASSIGN_OR_RETURN(prompt.routes, file.Values<std::int32_t>(name("routes"), "I32"));
  ASSIGN_OR_RETURN(prompt.weights, file.Values<float>(name("weights"), "F32"));
  ASSIGN_OR_RETURN(prompt.router_gap, file.Values<float>(name("router_gap"), "F32"));
  ASSIGN_OR_RETURN(prompt.greedy, file.Values<std::int32_t>(name("greedy"), "I32"));
  ASSIGN_OR_RETURN(prompt.margin, file.Values<float>(name("margin"), "F32"));
  const std::vector<std::int64_t>* const logits = file.Shape(name("logits"));
  if (logits == nullptr || logits->size() != 2)
    return absl::InvalidArgumentError("logits have no two dimensions");
  golden.vocab = static_cast<int>((*logits)[1]);
  prompt.logits_rows = static_cast<int>((*logits)[0]);
  prompt.logits_first = prompt.tokens() - prompt.logits_rows;
  if (const std::vector<std::int64_t>* const routes = file.Shape(name("routes"));
      routes != nullptr) {
    if (routes->size() != 3) return absl::InvalidArgumentError("routes have no three dimensions");
    golden.moe_layers = static_cast<int>((*routes)[0]);
    golden.topk = static_cast<int>((*routes)[2]);
  }
  return prompt;
}

absl::StatusOr<Golden> ReadSafetensorsGolden(const std::string& path) {
  ASSIGN_OR_RETURN(const GoldenFile file, GoldenFile::Open(path));
  Golden golden;
  for (int i = 0; file.Shape(absl::StrCat("prompt_", i)) != nullptr; ++i) {
    ASSIGN_OR_RETURN(GoldenPrompt prompt, ReadPrompt(file, i, golden));
    golden.prompts.push_back(std::move(prompt));
  }
  if (golden.prompts.empty())
    return absl::InvalidArgumentError(absl::StrCat(path, " has no prompts"));
  return golden;
}

template <typename T>
void Append(std::vector<T>& to, const Json& rows) {
  for (const Json& row : rows) {
    for (const Json& value : row) to.push_back(value.get<T>());
  }
}

absl::StatusOr<Golden> ReadJsonGolden(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, std::size_t{16} << 20));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array() || json.empty())
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected a list"));
  Golden golden;
  for (const Json& entry : json) {
    GoldenPrompt prompt;
    prompt.ids = entry.at("ids").get<std::vector<TokenId>>();
    prompt.argmax = entry.at("argmax_all").get<std::vector<TokenId>>();
    prompt.logits = entry.at("last_logits").get<std::vector<float>>();
    prompt.logits_first = prompt.tokens() - 1;
    prompt.logits_rows = 1;
    for (const Json& layer : entry.at("routes")) {
      Append(prompt.routes, layer.at("experts"));
      Append(prompt.weights, layer.at("weights"));
      golden.topk = static_cast<int>(layer.at("experts").at(0).size());
    }
    golden.moe_layers = static_cast<int>(entry.at("routes").size());
    golden.vocab = static_cast<int>(prompt.logits.size());
    golden.prompts.push_back(std::move(prompt));
  }
  return golden;
}

}  // namespace

absl::StatusOr<Golden> ReadGolden(const std::string& model_dir) {
  absl::StatusOr<Golden> golden = ReadSafetensorsGolden(model_dir + "/golden.safetensors");
  if (!absl::IsNotFound(golden.status())) return golden;
  return ReadJsonGolden(model_dir + "/golden.json");
}

std::string RepositoryPath(const std::string& relative) {
  return absl::StrCat(CONCLAVE_SOURCE_DIR, "/", relative);
}

}  // namespace conclave
