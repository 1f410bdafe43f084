// Random checkpoints in Hugging Face layout, written front to back with one buffer. The index comes
// last, so that an interrupted run leaves a directory that OpenCheckpoint refuses.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "model/edge/checkpoint.h"
#include "model/edge/file_writer.h"
#include "model/random_weights.h"
#include "model/shapes.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kShardBytes = std::uint64_t{1} << 30;  // a shard ends once it is this large
constexpr std::size_t kBufferBytes = std::size_t{16} << 20;
constexpr std::size_t kFillers = 2;  // threads; a third would wait for the disk

struct Shard {
  std::string file;
  std::vector<const TensorSpec*> tensors;
  std::uint64_t bytes = 0;
};

std::uint64_t BytesOfTensor(const TensorSpec& spec, DType dtype) {
  return static_cast<std::uint64_t>(spec.shape[0] * spec.shape[1]) * BytesOf(dtype);
}

std::vector<Shard> PlanShards(const std::vector<TensorSpec>& specs, DType dtype) {
  std::vector<Shard> shards(1);
  for (const TensorSpec& spec : specs) {
    if (shards.back().bytes >= kShardBytes) shards.emplace_back();
    shards.back().tensors.push_back(&spec);
    shards.back().bytes += BytesOfTensor(spec, dtype);
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i].file = absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, shards.size());
  }
  return shards;
}

// 8 bytes of size, then JSON padded with blanks to a multiple of 8, so that tensor data is aligned.
std::string ShardHeader(const Shard& shard, DType dtype) {
  Json header;
  header["__metadata__"] = {{"format", "pt"}};
  std::uint64_t at = 0;
  for (const TensorSpec* spec : shard.tensors) {
    const std::uint64_t end = at + BytesOfTensor(*spec, dtype);
    Json shape = {spec->shape[0]};
    if (spec->rank == 2) shape.push_back(spec->shape[1]);
    header[spec->name] = {{"dtype", absl::AsciiStrToUpper(NameOf(dtype))},
                          {"shape", shape},
                          {"data_offsets", {at, end}}};
    at = end;
  }
  std::string json = header.dump();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = json.size();
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(size >> (8 * i)));
  return bytes + json;
}

std::string IndexJson(const std::vector<Shard>& shards, std::uint64_t total) {
  nlohmann::json map =
      nlohmann::json::object();  // not Json: its look-up is linear, and there are thousands
  for (const Shard& shard : shards) {
    for (const TensorSpec* spec : shard.tensors) map[spec->name] = shard.file;
  }
  return Json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(1) + "\n";
}

std::string DTypeName(DType dtype) {
  return dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
}

// For NamedShape's configs: Qwen3-MoE, every layer sparse.
std::string ConfigJson(const ModelConfig& config, DType dtype) {
  const Json json = {
      {"architectures", {"Qwen3MoeForCausalLM"}},
      {"model_type", "qwen3_moe"},
      {"attention_bias", false},
      {"bos_token_id", *config.bos_id},
      {"decoder_sparse_step", 1},
      {"eos_token_id", config.eos_ids},
      {"head_dim", config.head_dim},
      {"hidden_act", "silu"},
      {"hidden_size", config.hidden},
      {"intermediate_size", config.ffn_width},
      {"max_position_embeddings", config.context},
      {"mlp_only_layers", Json::array()},
      {"moe_intermediate_size", config.expert_width},
      {"norm_topk_prob", config.norm_topk},
      {"num_attention_heads", config.heads},
      {"num_experts", config.experts},
      {"num_experts_per_tok", config.topk},
      {"num_hidden_layers", config.layers.size()},
      {"num_key_value_heads", config.kv_heads},
      {"rms_norm_eps", config.rms_eps},
      {"rope_scaling", nullptr},
      {"rope_theta", config.rope_theta},
      {"sliding_window", nullptr},
      {"tie_word_embeddings", config.tied_embeddings},
      {"torch_dtype", DTypeName(dtype)},
      {"use_sliding_window", false},
      {"vocab_size", config.vocab},
  };
  return json.dump(2) + "\n";
}

std::string GenerationConfigJson(const ModelConfig& config) {
  return Json{{"bos_token_id", *config.bos_id}, {"eos_token_id", config.eos_ids}}.dump(2) + "\n";
}

// The weights' writer: fills a buffer with a few threads, writes it, reports.
class Stream {
 public:
  Stream(const RandomWeights& weights, DType dtype, std::uint64_t total, const Progress& progress)
      : weights_(weights),
        width_(BytesOf(dtype)),
        total_(total),
        progress_(progress),
        buffer_(kBufferBytes) {}

  absl::Status Write(const TensorSpec& spec, std::uint64_t bytes, FileWriter& file) {
    for (std::uint64_t at = 0; at < bytes;) {
      const std::size_t size =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes - at, buffer_.size() - filled_));
      Fill(spec, at / width_, std::span(buffer_).subspan(filled_, size));
      filled_ += size;
      at += size;
      if (filled_ == buffer_.size()) RETURN_IF_ERROR(Flush(file));
    }
    return absl::OkStatus();
  }

  absl::Status Flush(FileWriter& file) {
    RETURN_IF_ERROR(file.Write(std::span<const std::byte>(buffer_).first(filled_)));
    done_ += filled_;
    filled_ = 0;
    if (progress_) progress_(done_, total_);
    return absl::OkStatus();
  }

 private:
  // Which thread fills what does not matter: a value depends on its place alone.
  void Fill(const TensorSpec& spec, std::uint64_t first, std::span<std::byte> out) const {
    constexpr std::size_t kWorthAThread = std::size_t{1} << 20;
    if (out.size() < 2 * kWorthAThread) return weights_.Fill(spec, first, out);
    const std::size_t slice = out.size() / kFillers / width_ * width_;
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < kFillers; ++i) {
      const std::size_t begin = i * slice;
      const std::size_t size = i + 1 == kFillers ? out.size() - begin : slice;
      threads.emplace_back([&, begin, size] {
        weights_.Fill(spec, first + begin / width_, out.subspan(begin, size));
      });
    }
    weights_.Fill(spec, first, out.first(slice));
    for (std::thread& thread : threads) thread.join();
  }

  const RandomWeights& weights_;
  std::size_t width_;
  std::uint64_t total_;
  const Progress& progress_;
  std::vector<std::byte> buffer_;
  std::size_t filled_ = 0;
  std::uint64_t done_ = 0;
};

// Makes the directory, which must be new or empty, and sees that the disk has room.
absl::Status PrepareDirectory(const std::string& dir, std::uint64_t bytes) {
  if (dir.empty()) return absl::InvalidArgumentError("out: expected a directory");
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error)
    return absl::InvalidArgumentError(
        absl::StrCat("out: cannot create ", dir, ": ", error.message()));
  const bool empty = std::filesystem::is_empty(dir, error);
  if (error)
    return absl::InvalidArgumentError(
        absl::StrCat("out: cannot read ", dir, ": ", error.message()));
  if (!empty)
    return absl::FailedPreconditionError(absl::StrCat("out: ", dir, " exists and is not empty"));
  const std::filesystem::space_info space = std::filesystem::space(dir, error);
  if (!error && space.available < bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("out: ", dir, " has ", space.available,
                                                     " bytes free; the checkpoint needs ", bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteRandomCheckpoint(const RandomCheckpoint& ask, const Progress& progress) {
  ASSIGN_OR_RETURN(const ModelConfig config, NamedShape(ask.shape, ask.layers));
  const std::vector<TensorSpec> specs = TensorsOf(config);
  const std::vector<Shard> shards = PlanShards(specs, ask.dtype);
  std::uint64_t total = 0;
  for (const Shard& shard : shards) total += shard.bytes;
  RETURN_IF_ERROR(PrepareDirectory(ask.out_dir, total));

  RETURN_IF_ERROR(WriteSmallFile(ask.out_dir + "/config.json", ConfigJson(config, ask.dtype)));
  RETURN_IF_ERROR(
      WriteSmallFile(ask.out_dir + "/generation_config.json", GenerationConfigJson(config)));
  const RandomWeights weights(config, ask.seed, ask.dtype);
  Stream stream(weights, ask.dtype, total, progress);
  for (const Shard& shard : shards) {
    ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(ask.out_dir + "/" + shard.file));
    RETURN_IF_ERROR(file.Write(ShardHeader(shard, ask.dtype)));
    for (const TensorSpec* spec : shard.tensors) {
      RETURN_IF_ERROR(stream.Write(*spec, BytesOfTensor(*spec, ask.dtype), file));
    }
    RETURN_IF_ERROR(stream.Flush(file));
    RETURN_IF_ERROR(file.Close());
  }
  return WriteSmallFile(ask.out_dir + "/model.safetensors.index.json", IndexJson(shards, total));
}

}  // namespace conclave
