// `conclave model inspect|random|verify`: look at, make and check model directories.
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "model/edge/checkpoint.h"
#include "model/edge/inspect.h"
#include "model/shapes.h"

namespace conclave {
namespace {

double Gb(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e9; }

void PrintInspection(const ModelInspection& model) {
  const ModelConfig& config = model.config;
  std::printf("%s: %.3f billion parameters, %.3f active per token; %.3f GB in %d tensors\n",
              config.name.c_str(), static_cast<double>(model.params.total) / 1e9,
              static_cast<double>(model.params.active) / 1e9, Gb(model.bytes), model.tensors);
  std::printf(
      "hidden %d, %zu layers (%d with experts), %d heads (%d for keys) of %d, vocabulary %d, "
      "context %d\n",
      config.hidden, config.layers.size(), config.moe_layers, config.heads, config.kv_heads,
      config.head_dim, config.vocab, config.context);
  if (config.experts > 0) {
    std::printf("%d experts of width %d per layer, %d per token\n", config.experts,
                config.expert_width, config.topk);
  }
  std::printf("keys and values: %lld bytes per token\n\n",
              static_cast<long long>(model.kv_bytes_per_token));
  std::printf("%7s  %-5s  %-18s  %10s  %s\n", "tensors", "type", "shape", "GB", "such as");
  for (const TensorGroup& group : model.groups) {
    std::printf("%7d  %-5s  %-18s  %10.4f  %s\n", group.count,
                std::string(NameOf(group.dtype)).c_str(), absl::StrJoin(group.shape, " x ").c_str(),
                Gb(group.bytes), group.example.c_str());
  }
  std::printf("\n%6s  %8s  %12s  %10s\n", "worker", "experts", "experts' GB", "GB in all");
  for (std::size_t i = 0; i < model.workers.size(); ++i) {
    const WorkerLoad& load = model.workers[i];
    std::printf("%6zu  %8d  %12.4f  %10.4f\n", i, load.experts, Gb(load.expert_bytes),
                Gb(load.bytes));
  }
}

}  // namespace

int RunModelInspect(int argc, const char* const* argv) {
  CLI::App app("Says what a model directory holds and what each worker of N would load.", argv[0]);
  std::string dir;
  int workers = 1;
  bool json = false;
  app.add_option("model,--model", dir, "model directory")->required()->type_name("DIR");
  app.add_option("--workers", workers, "how many would share the experts")
      ->check(CLI::Range(1, kSlotsMax))
      ->capture_default_str();
  app.add_flag("--json", json, "print one JSON object");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto model = InspectModel(dir, workers);
  if (!model.ok()) return Fail(argv[0], model.status());
  if (json) {
    std::cout << InspectJson(*model) << std::endl;
  } else {
    PrintInspection(*model);
  }
  return kExitDone;
}

int RunModelRandom(int argc, const char* const* argv) {
  CLI::App app("Writes a checkpoint of random weights with sane activations, for benchmarks.",
               argv[0]);
  RandomCheckpoint ask;
  std::string dtype = "bf16";
  std::vector<std::string> shapes;
  for (const absl::string_view name : ShapeNames()) shapes.emplace_back(name);
  AddChoice(app, "--shape", ask.shape, shapes, "of which model")->required();
  app.add_option("--layers", ask.layers, "how many; 0: as many as the shape has")
      ->check(CLI::Range(0, kLayersMax))
      ->capture_default_str();
  app.add_option("--seed", ask.seed, "the same seed gives the same bytes")->capture_default_str();
  AddChoice(app, "--dtype", dtype, {"bf16", "f16", "f32"}, "type of the weights");
  app.add_option("--out", ask.out_dir, "directory to make; refused when it has files")
      ->required()
      ->type_name("DIR");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  ask.dtype = dtype == "f32" ? DType::kF32 : dtype == "f16" ? DType::kF16 : DType::kBf16;
  std::string summary;
  {
    ProgressBar bar("writing");
    const absl::Status status = WriteRandomCheckpoint(ask, bar.AsFunction());
    if (!status.ok()) return Fail(argv[0], status);
    summary = bar.Summary();
  }
  std::fprintf(stderr, "%s: %s\n", ask.out_dir.c_str(), summary.c_str());
  return kExitDone;
}

int RunModelVerify(int argc, const char* const* argv) {
  CLI::App app("Checks a model directory: every tensor there, of the right shape, finite.",
               argv[0]);
  std::string dir;
  app.add_option("model,--model", dir, "model directory")->required()->type_name("DIR");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto checkpoint = OpenCheckpoint(dir);
  if (!checkpoint.ok()) return Fail(argv[0], checkpoint.status());
  std::string summary;
  {
    ProgressBar bar("reading");
    const absl::Status status = VerifyCheckpoint(*checkpoint, bar.AsFunction());
    if (!status.ok()) return Fail(argv[0], status);
    summary = bar.Summary();
  }
  std::printf("%s: good, %s\n", dir.c_str(), summary.c_str());
  return kExitDone;
}

}  // namespace conclave
