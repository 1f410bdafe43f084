// How fast each kernel set runs every spec of the conformance test at the shapes of Qwen3-30B-A3B:
// time, GB/s and GFLOP/s of one call, caches cleared. What is timed is what is tested;
// kernels_bench is about the distance from the machine's own limits.
//
//   kernel_specs_bench [--threads N] [--kernels NAME] [--only TEXT] [--seconds S]
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "bench/spinning_lanes.h"
#include "tests/kernels/conformance.h"

namespace conclave::conformance {
namespace {

struct Options {
  int threads = 1;
  std::string kernels;  // empty: all of this machine
  std::string only;
  double seconds = 0.3;
};

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Reads more than the caches hold, so that weights come from memory as they do when serving.
void ClearCaches() {
  static std::vector<std::uint64_t> ballast(std::size_t{12} << 20);  // 96 MiB
  for (std::size_t i = 0; i < ballast.size(); i += 8) ballast[i] += i;
}

// The best of as many calls as fit: noise on a shared machine only ever adds.
double BestSeconds(SpinningLanes& lanes, const Prepared& prepared, double seconds) {
  double best = 1e30;
  const Clock::time_point begin = Clock::now();
  for (int calls = 0; calls < 3 || SecondsSince(begin) < seconds; ++calls) {
    ClearCaches();
    const Clock::time_point at = Clock::now();
    lanes.Run(prepared.call);
    best = std::min(best, SecondsSince(at));
  }
  return best;
}

void Measure(const Options& options, const KernelSet& kernels, const Spec& spec,
             SpinningLanes& lanes) {
  for (const Shape& shape : spec.bench_shapes()) {
    const std::string line = absl::StrCat(std::string(spec.name), " ", ToString(shape));
    if (line.find(options.only) == std::string::npos) continue;
    const std::unique_ptr<Case> subject = spec.make(shape, InputClass::kGaussian, 1);
    std::vector<int> rows(static_cast<std::size_t>(subject->rows()));
    std::iota(rows.begin(), rows.end(), 0);
    Memory memory(0);
    const Prepared prepared = subject->Prepare(kernels, rows, memory);
    const double seconds = BestSeconds(lanes, prepared, options.seconds);
    const Cost cost = spec.cost(shape, kernels);
    std::printf("%-7s %-72s %10.1f us %8.2f GB/s %9.2f GFLOP/s\n",
                std::string(kernels.name).c_str(), line.c_str(), seconds * 1e6,
                cost.bytes / seconds * 1e-9, cost.flops / seconds * 1e-9);
    std::fflush(stdout);
  }
}

template <typename Number>
bool ParseNumber(const char* text, Number& out) {
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, out);
  return error == std::errc() && at == end && out > 0;
}

bool ParseOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    bool good = true;
    if (key == "--threads") {
      good = ParseNumber(argv[i + 1], options.threads);
    } else if (key == "--kernels") {
      options.kernels = argv[i + 1];
    } else if (key == "--only") {
      options.only = argv[i + 1];
    } else if (key == "--seconds") {
      good = ParseNumber(argv[i + 1], options.seconds);
    } else {
      good = false;
    }
    if (!good) return false;
  }
  return argc % 2 == 1;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fprintf(stderr, "usage: %s [--threads N] [--kernels NAME] [--only TEXT] [--seconds S]\n",
                 argv[0]);
    return 2;
  }
  std::vector<std::string> names = KernelSetsHere();
  if (!options.kernels.empty()) names = {options.kernels};
  for (const std::string& name : names) {
    std::vector<std::string> filled;
    const absl::StatusOr<KernelChoice> choice = ParseKernelChoice(name);
    const absl::StatusOr<KernelSet> kernels =
        choice.ok() ? SelectKernels(*choice, filled) : choice.status();
    if (!kernels.ok()) {
      std::fprintf(stderr, "%s\n", kernels.status().ToString().c_str());
      return 1;
    }
    for (const std::string& hole : filled) {
      std::printf("%s: %s is the reference's\n", name.c_str(), hole.c_str());
    }
    SpinningLanes lanes(options.threads);
    for (const Spec& spec : AllSpecs()) Measure(options, *kernels, spec, lanes);
  }
  return 0;
}

}  // namespace
}  // namespace conclave::conformance

int main(int argc, char** argv) { return conclave::conformance::Main(argc, argv); }
