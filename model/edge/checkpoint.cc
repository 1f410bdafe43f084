#include "model/edge/checkpoint.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/status.h"
#include "model/edge/json_fields.h"
#include "model/edge/mapped_file.h"
#include "model/edge/safetensors.h"

namespace conclave {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr std::size_t kSmallFileBytesMax = std::size_t{256} << 20;
constexpr std::size_t kShardsMax = 4096;

struct Located {
  TensorView view;
  absl::string_view file_dtype;
  std::vector<std::int64_t> shape;
  std::size_t shard = 0;
  bool expected = false;
};

// Every shard mapped. Immutable once open, hence thread-safe.
class MappedTensors : public TensorSource {
 public:
  absl::StatusOr<TensorView> Find(const std::string& name) const override {
    const auto it = tensors.find(name);
    if (it == tensors.end())
      return absl::NotFoundError(absl::StrCat("tensor ", name, " is not in the checkpoint"));
    return it->second.view;
  }

  void Prefetch(std::span<const std::byte> part) const override { MappedFile::Prefetch(part); }
  void Release(std::span<const std::byte> part) const override { MappedFile::Release(part); }

  std::vector<std::string> shard_names;
  std::vector<MappedFile> shards;
  absl::flat_hash_map<std::string, Located> tensors;
};

std::optional<DType> DTypeNamed(absl::string_view name) {
  if (name == "BF16") return DType::kBf16;
  if (name == "F16") return DType::kF16;
  if (name == "F32") return DType::kF32;
  return std::nullopt;
}

// The index: tensor to file. Ordered, so that errors and shard numbers do not depend on hashing.
using WeightMap = std::map<std::string, std::string>;

absl::StatusOr<WeightMap> ReadIndex(const std::string& text) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text, kIndexFile));
  const JsonFields fields(json, absl::StrCat(kIndexFile, ": "));
  const nlohmann::json* const map = fields.Get("weight_map");
  if (map == nullptr || !map->is_object())
    return fields.Bad("weight_map", "expected an object of tensor to file name");
  WeightMap weights;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // A shard is a plain file beside the index: an index must not reach elsewhere.
    if (!absl::EndsWith(name, ".safetensors") || name.find('/') != std::string::npos ||
        name.size() > 255 || name.find('\0') != std::string::npos) {
      return fields.Bad("weight_map", absl::StrCat("tensor ", tensor,
                                                   ": expected the name of a .safetensors file"));
    }
    weights[tensor] = name;
  }
  return weights;
}

absl::Status InFile(const std::string& file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

// Maps one shard and enters its tensors. `weights` is null for a lone file.
absl::Status AddShard(const std::string& dir, const std::string& name, const WeightMap* weights,
                      MappedTensors& source, std::uint64_t& identity) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(dir + "/" + name));
  const absl::StatusOr<SafetensorsHeader> header = ParseSafetensors(file.bytes());
  if (!header.ok()) return InFile(name, header.status());
  identity = Mix(identity, HashBytes(file.bytes().first(header->bytes)));
  for (const FileTensor& tensor : header->tensors) {
    if (weights != nullptr) {
      const auto entry = weights->find(tensor.name);
      if (entry == weights->end() || entry->second != name) {
        return InFile(name, absl::InvalidArgumentError(absl::StrCat(
                                "tensor ", tensor.name, " is in this file but the index says ",
                                entry == weights->end() ? "nothing of it" : entry->second)));
      }
    }
    Located located;
    located.view.data = file.bytes().data() + tensor.begin;
    located.file_dtype = tensor.dtype;
    located.shape = tensor.shape;
    located.shard = source.shards.size();
    source.tensors.emplace(tensor.name, std::move(located));
  }
  source.shards.push_back(std::move(file));
  source.shard_names.push_back(name);
  return absl::OkStatus();
}

absl::Status AddIndexedShards(const std::string& dir, const std::string& index,
                              MappedTensors& source, std::uint64_t& identity) {
  ASSIGN_OR_RETURN(const WeightMap weights, ReadIndex(index));
  std::map<std::string, int> files;
  for (const auto& [tensor, file] : weights) ++files[file];
  if (files.size() > kShardsMax)
    return absl::InvalidArgumentError(absl::StrCat(kIndexFile, ": too many files"));
  for (const auto& [file, tensors] : files)
    RETURN_IF_ERROR(AddShard(dir, file, &weights, source, identity));
  for (const auto& [tensor, file] : weights) {
    if (!source.tensors.contains(tensor)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor, " is missing from ", file,
                                                     ", where the index says it is"));
    }
  }
  return absl::OkStatus();
}

// Tensors that some releases carry and every implementation ignores: the head of a tied model,
// which is a copy of its embedding, and rotary frequencies, which follow from the config.
bool MayBeIgnored(const ModelConfig& config, const std::string& name, const Located& located) {
  const std::vector<std::int64_t> head_shape = {config.vocab, config.hidden};
  if (name == "lm_head.weight") return config.tied_embeddings && located.shape == head_shape;
  return absl::EndsWith(name, ".rotary_emb.inv_freq");
}

absl::Status CheckTensor(const TensorSpec& spec, const std::string& file, Located& located) {
  const std::vector<std::int64_t> want(spec.shape.begin(), spec.shape.begin() + spec.rank);
  if (located.shape != want) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": tensor ", spec.name, " has shape ",
                                                   ShapeText(located.shape), "; expected ",
                                                   ShapeText(want)));
  }
  const std::optional<DType> dtype = DTypeNamed(located.file_dtype);
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": tensor ", spec.name, " has dtype ",
                                                   located.file_dtype,
                                                   "; expected BF16, F16 or F32"));
  }
  located.view.dtype = *dtype;
  located.view.rows = spec.shape[0];
  located.view.cols = spec.shape[1];
  located.expected = true;
  return absl::OkStatus();
}

// Exactly the family's list must be there.
absl::Status CheckTensors(const ModelConfig& config, MappedTensors& source, std::uint64_t& bytes) {
  for (const TensorSpec& spec : TensorsOf(config)) {
    const auto it = source.tensors.find(spec.name);
    if (it == source.tensors.end()) {
      const std::vector<std::int64_t> want(spec.shape.begin(), spec.shape.begin() + spec.rank);
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", spec.name, " is missing; expected shape ", ShapeText(want)));
    }
    RETURN_IF_ERROR(CheckTensor(spec, source.shard_names[it->second.shard], it->second));
    bytes += it->second.view.bytes();
  }
  std::string first;  // of the unexpected, by name: which one is named must not depend on hashing
  for (const auto& [name, located] : source.tensors) {
    if (located.expected || MayBeIgnored(config, name, located)) continue;
    if (first.empty() || name < first) first = name;
  }
  if (!first.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.shard_names[source.tensors.at(first).shard], ": tensor ", first,
                     " is not part of this model (see config.json)"));
  }
  absl::erase_if(source.tensors, [](const auto& entry) { return !entry.second.expected; });
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& model_dir) {
  Checkpoint checkpoint;
  ASSIGN_OR_RETURN(checkpoint.config, LoadConfig(model_dir));
  ASSIGN_OR_RETURN(const std::string config_text,
                   ReadSmallFile(model_dir + "/config.json", kSmallFileBytesMax));
  checkpoint.identity = HashBytes(config_text);

  auto source = std::make_unique<MappedTensors>();
  const absl::StatusOr<MappedFile> single = MappedFile::Open(model_dir + "/" + kSingleFile);
  if (single.ok()) {  // as transformers does: a lone file wins over an index
    RETURN_IF_ERROR(AddShard(model_dir, kSingleFile, nullptr, *source, checkpoint.identity));
  } else if (!absl::IsNotFound(single.status())) {
    return single.status();
  } else {
    const absl::StatusOr<std::string> index =
        ReadSmallFile(model_dir + "/" + kIndexFile, kSmallFileBytesMax);
    if (absl::IsNotFound(index.status())) {
      return absl::NotFoundError(absl::StrCat(model_dir, " has neither ", kSingleFile, " nor ",
                                              kIndexFile, "; expected one of them"));
    }
    RETURN_IF_ERROR(index.status());
    checkpoint.identity = Mix(checkpoint.identity, HashBytes(*index));
    RETURN_IF_ERROR(AddIndexedShards(model_dir, *index, *source, checkpoint.identity));
  }
  RETURN_IF_ERROR(CheckTensors(checkpoint.config, *source, checkpoint.bytes));
  checkpoint.tensors = std::move(source);
  return checkpoint;
}

}  // namespace conclave
