// How close the kernels come to this machine: each row of the table is one kernel at the shape of
// Qwen3-30B-A3B, next to readings of bandwidth and multiply-add peak taken around every sample.
//
//   kernels_bench [--kernels auto|ref|avx2|avx512] [--threads N] [--samples N] [--only TEXT]
//
// Weights and KV are several times the last-level cache, and every call uses others than the last.
// The bound is max(bytes / bandwidth, operations / peak), a matrix's weights read once per call.
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/machine/machine.h"
#include "bench/spinning_lanes.h"
#include "kernels/kernel_set.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kHidden = 2048;
constexpr std::int64_t kWidth = 768;
constexpr int kExperts = 128;
constexpr int kTopk = 8;
constexpr int kHeads = 32;
constexpr int kKvHeads = 4;
constexpr int kHeadDim = 128;
constexpr std::int64_t kVocab = 151936;
constexpr std::int64_t kColdBytes = std::int64_t{384} << 20;  // behind every repeated use

// Memory in large pages, as weights are loaded; given back at the end.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CONCLAVE_CHECK(at != MAP_FAILED, "no memory: %zu bytes", bytes);
    madvise(at, bytes, MADV_HUGEPAGE);
    data_ = static_cast<std::byte*>(at);
    std::memset(data_, 0, bytes);
  }
  ~Pages() { munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

// Small values of mixed sign: speed must not depend on them, and sums stay finite.
float ValueAt(std::uint64_t i) {
  return static_cast<float>(static_cast<int>((i * 0x9e3779b97f4a7c15u) >> 56) - 128) * 0x1p-10f;
}

class Rows {
 public:
  Rows(std::int64_t rows, std::int64_t cols, DType dtype)
      : view_{nullptr, dtype, rows, cols, (ActivationRowBytes(cols, dtype) + 63) / 64 * 64 + 64},
        pages_(static_cast<std::size_t>(rows * view_.stride_bytes)) {
    view_.data = pages_.data();
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        const float value = ValueAt(static_cast<std::uint64_t>(r * cols + c));
        const Bf16 narrow = ToBf16(value);
        if (dtype == DType::kF32) std::memcpy(view_.row(r) + c * 4, &value, 4);
        if (dtype == DType::kBf16) std::memcpy(view_.row(r) + c * 2, &narrow, 2);
      }
    }
  }
  const Activations& view() const { return view_; }

 private:
  Activations view_;
  Pages pages_;
};

struct Bench {
  const KernelSet& kernels;
  Lanes& lanes;
  MachineMeter& meter;
  int samples;
  std::string_view only;
};

struct Case {
  std::string name;
  double bytes;  // that must come from memory, per call
  double flops;
  std::function<void(int call)> run;
};

double SecondsOf(const std::function<void()>& work) {
  const Clock::time_point begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Samples of about 5 ms between readings of 5 ms. The best sample against the best reading of each
// kind: on a busy machine either may be disturbed, and then the fraction errs on the low side.
void Report(const Bench& bench, const Case& c) {
  if (c.name.find(bench.only) == std::string::npos) return;
  int call = 0;
  c.run(call++);
  const double once = SecondsOf([&] { c.run(call++); });
  const int calls = std::max(1, static_cast<int>(0.005 / once));
  double seconds = once;
  double gbps = 0;
  double gflops = 0;
  for (int s = 0; s < bench.samples; ++s) {
    gbps = std::max(gbps, bench.meter.ReadGbps(bench.lanes, 5));
    gflops = std::max(gflops, bench.meter.Bf16Gflops(bench.lanes, 3));
    const auto sample = [&] {
      for (int i = 0; i < calls; ++i) c.run(call++);
    };
    seconds = std::min(seconds, SecondsOf(sample) / calls);
  }
  const double read_s = c.bytes / (gbps * 1e9);
  const double multiply_s = gflops == 0 ? 0 : c.flops / (gflops * 1e9);
  std::printf(
      "%-22s %9.3f ms %6.1f of %5.1f GB/s (%.2f) %6.1f of %6.1f GFLOPS (%.2f)  bound %.2f\n",
      c.name.c_str(), seconds * 1e3, c.bytes / seconds * 1e-9, gbps, read_s / seconds,
      c.flops / seconds * 1e-9, gflops, multiply_s / seconds,
      std::max(read_s, multiply_s) / seconds);
  std::fflush(stdout);
}

// One layer's experts, packed; rows are routed to distinct experts drawn from a counter.
class Experts {
 public:
  explicit Experts(const Bench& bench)
      : bytes_(bench.kernels.packed_ffn_bytes(kHidden, kWidth)), pages_(bytes_ * kExperts) {
    std::vector<std::uint16_t> source(static_cast<std::size_t>(kHidden * kWidth));
    for (std::size_t i = 0; i < source.size(); ++i) source[i] = ToBf16(ValueAt(i)).bits;
    const auto* data = reinterpret_cast<const std::byte*>(source.data());
    const TensorView up{DType::kBf16, kWidth, kHidden, data};
    const TensorView down{DType::kBf16, kHidden, kWidth, data};
    const double seconds = SecondsOf([&] {
      bench.lanes.Run([&](const Lane& lane) {
        for (std::int64_t e = lane.Take(); e < kExperts; e = lane.Take())
          bench.kernels.pack_ffn(
              {up, up, down, pages_.data() + static_cast<std::size_t>(e) * bytes_});
      });
    });
    std::printf("packing experts: %.1f GB/s\n",
                static_cast<double>(bytes_) * kExperts / seconds * 1e-9);
  }
  PackedFfn at(int expert) const {
    return {pages_.data() + static_cast<std::size_t>(expert) * bytes_};
  }
  double bytes() const { return static_cast<double>(bytes_); }

 private:
  std::size_t bytes_;
  Pages pages_;
};

// A routing of `rows` rows: groups in expert order, each slot's row.
struct Routing {
  std::vector<FfnGroup> groups;
  std::vector<const std::byte*> rows;
};

Routing Route(const Experts& experts, const Activations& in, std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> taken(kExperts);
  for (std::int64_t r = 0; r < in.rows; ++r) {
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(r) + 1;
    for (int j = 0; j < kTopk;) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      std::vector<std::int64_t>& expert = taken[(state >> 33) % kExperts];
      if (!expert.empty() && expert.back() == r) continue;
      expert.push_back(r);
      ++j;
    }
  }
  Routing routing;
  for (int e = 0; e < kExperts; ++e) {
    const std::vector<std::int64_t>& rows = taken[static_cast<std::size_t>(e)];
    if (rows.empty()) continue;
    routing.groups.push_back({experts.at(e), static_cast<std::int64_t>(routing.rows.size()),
                              static_cast<std::int64_t>(rows.size())});
    for (const std::int64_t r : rows) routing.rows.push_back(in.row(r));
  }
  return routing;
}

void BenchFfn(const Bench& bench) {
  const Experts experts(bench);
  constexpr std::int64_t kRowCounts[] = {1, 8, 32, 128, 512, 2048};
  for (const std::int64_t rows : kRowCounts) {
    const Rows in(rows, kHidden, bench.kernels.activation);
    const Rows middle(rows * kTopk, kWidth, bench.kernels.activation);
    const Pages out(static_cast<std::size_t>(rows * kTopk * kHidden * 4));
    std::vector<float*> answers;
    for (std::int64_t s = 0; s < rows * kTopk; ++s)
      answers.push_back(reinterpret_cast<float*>(out.data()) + s * kHidden);
    std::vector<Routing> routings;
    double used = 0;
    for (std::uint64_t i = 0; i < 32; ++i) {
      routings.push_back(Route(experts, in.view(), i));
      used += static_cast<double>(routings.back().groups.size()) / 32;
    }
    const double flops = static_cast<double>(rows * kTopk * kHidden * kWidth * 6);
    Report(bench, {"ffn " + std::to_string(rows), used * experts.bytes(), flops, [&](int call) {
                     const Routing& routing = routings[static_cast<std::size_t>(call) % 32];
                     bench.lanes.Run([&](const Lane& lane) {
                       bench.kernels.ffn_up(
                           {routing.groups, routing.rows, kHidden, kWidth, middle.view()}, lane);
                     });
                     bench.lanes.Run([&](const Lane& lane) {
                       bench.kernels.ffn_down(
                           {routing.groups, middle.view(), kHidden, kWidth, answers}, lane);
                     });
                   }});
  }
}

struct Shape {
  std::string_view name;
  std::int64_t n;
  std::int64_t k;
};

void BenchLinear(const Bench& bench) {
  constexpr Shape kShapes[] = {{"qkv", (kHeads + 2 * kKvHeads) * kHeadDim, kHidden},
                               {"o", kHidden, kHeads * kHeadDim},
                               {"router", kExperts, kHidden},
                               {"lm_head", kVocab, kHidden}};
  for (const Shape& shape : kShapes) {
    const auto bytes = static_cast<std::int64_t>(bench.kernels.packed_bytes(shape.n, shape.k));
    const std::int64_t copies = std::max<std::int64_t>(1, kColdBytes / bytes);
    const Pages weights(static_cast<std::size_t>(bytes * copies));
    for (const std::int64_t rows : {1, 8, 32, 512}) {
      if (shape.n == kVocab && rows > 32) continue;  // only rows that are sampled reach the head
      const Rows in(rows, shape.k, bench.kernels.activation);
      const Pages out(static_cast<std::size_t>(rows * shape.n * 4));
      const MatrixView<float> y{reinterpret_cast<float*>(out.data()), rows, shape.n, shape.n};
      Report(bench,
             {std::string(shape.name) + " " + std::to_string(rows), static_cast<double>(bytes),
              static_cast<double>(2 * rows * shape.n * shape.k), [&](int call) {
                const PackedMatrix w{weights.data() + call % copies * bytes, shape.n, shape.k};
                bench.lanes.Run([&](const Lane& lane) {
                  bench.kernels.linear({in.view(), w, {}, y}, lane);
                });
              }});
    }
  }
}

struct AttentionCase {
  std::int64_t sequences;
  std::int64_t rows;   // of each
  std::int64_t depth;  // positions before them
};

void BenchAttention(const Bench& bench) {
  constexpr AttentionCase kCases[] = {
      {1, 1, 2048}, {8, 1, 2048}, {32, 1, 512}, {1, 512, 0}, {1, 512, 2048}};
  const KvShape kv{kKvHeads, kHeadDim, DType::kBf16};
  const auto block_bytes = static_cast<std::int64_t>(bench.kernels.kv_block_bytes(kv));
  const std::int64_t blocks_total = kColdBytes / block_bytes;
  const Pages cache(static_cast<std::size_t>(kColdBytes));
  std::vector<BlockId> ring;  // every sequence and call reads the next blocks of it
  for (std::int64_t i = 0; i < 2 * blocks_total; ++i)
    ring.push_back({static_cast<std::int32_t>(i * 37 % blocks_total)});
  for (const AttentionCase& c : kCases) {
    const Rows q(c.sequences * c.rows, kHeads * kHeadDim, bench.kernels.activation);
    const Rows out(c.sequences * c.rows, kHeads * kHeadDim, bench.kernels.activation);
    const std::int64_t blocks = (c.depth + c.rows + kKvBlockTokens - 1) / kKvBlockTokens;
    const std::int64_t pairs = c.rows * c.depth + c.rows * (c.rows + 1) / 2;
    std::vector<AttentionSpan> spans(static_cast<std::size_t>(c.sequences));
    std::int64_t next = 0;
    Report(
        bench,
        {"attention " + std::to_string(c.sequences) + "x" + std::to_string(c.rows) + " at " +
             std::to_string(c.depth),
         static_cast<double>(c.sequences * blocks * block_bytes),
         static_cast<double>(c.sequences * pairs * kHeads * kHeadDim * 4), [&](int) {
           for (std::int64_t s = 0; s < c.sequences; ++s) {
             const auto at = static_cast<std::size_t>(next);
             spans[static_cast<std::size_t>(s)] = {
                 s * c.rows, c.rows, c.depth,
                 std::span(ring).subspan(at, static_cast<std::size_t>(blocks))};
             next = (next + blocks) % blocks_total;
           }
           bench.lanes.Run([&](const Lane& lane) {
             bench.kernels.attention({q.view(), spans, kHeads, kv, cache.data(), out.view()}, lane);
           });
         }});
  }
}

// What is between the products: bytes are those read and written once.
void BenchBetween(const Bench& bench) {
  const KvShape kv{kKvHeads, kHeadDim, DType::kBf16};
  constexpr std::int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
  for (const std::int64_t rows : {1, 512}) {
    const Pages floats(static_cast<std::size_t>(rows * kTopk * kHidden * 4));
    auto* const data = reinterpret_cast<float*>(floats.data());
    const Pages more(static_cast<std::size_t>(rows * kQkv * 4));
    const MatrixView<float> hidden{reinterpret_cast<float*>(more.data()), rows, kHidden, kHidden};
    const std::vector<float> ones(static_cast<std::size_t>(rows * kHidden), 1.0f);
    const std::string count = " " + std::to_string(rows);
    const Rows out(rows, kHeads * kHeadDim, bench.kernels.activation);
    Activations normed = out.view();
    normed.cols = kHidden;
    Report(
        bench,
        {"rms_norm" + count, static_cast<double>(rows * kHidden * 6), 0, [&](int) {
           bench.lanes.Run([&](const Lane& lane) {
             bench.kernels.rms_norm({hidden, std::span(ones).first(kHidden), 1e-6f, normed}, lane);
           });
         }});
    std::vector<const float*> answers;
    for (std::int64_t i = 0; i < rows * kTopk; ++i) answers.push_back(data + i * kHidden);
    const MatrixView<const float> weights{ones.data(), rows, kTopk, kTopk};
    Report(bench,
           {"combine" + count, static_cast<double>(rows * kHidden * 4 * (kTopk + 2)), 0, [&](int) {
              bench.lanes.Run([&](const Lane& lane) {
                bench.kernels.combine({answers, weights, hidden}, lane);
              });
            }});
    const auto blocks = (rows + kKvBlockTokens - 1) / kKvBlockTokens;
    const Pages cache(static_cast<std::size_t>(blocks) * bench.kernels.kv_block_bytes(kv));
    std::vector<KvPlace> places;
    for (std::int32_t r = 0; r < rows; ++r)
      places.push_back({{r / kKvBlockTokens}, r % kKvBlockTokens});
    const MatrixView<const float> angles{ones.data(), rows, kHeadDim / 2, kHeadDim / 2};
    const MatrixView<const float> qkv{hidden.data, rows, kQkv, kQkv};
    const std::span<const float> norm = std::span(ones).first(kHeadDim);
    Report(bench, {"qkv_finish" + count, static_cast<double>(rows * kQkv * 6), 0, [&](int) {
                     bench.lanes.Run([&](const Lane& lane) {
                       bench.kernels.qkv_finish({qkv, norm, norm, 1e-6f, angles, angles, kHeads, kv,
                                                 cache.data(), places, out.view()},
                                                lane);
                     });
                   }});
  }
}

int NumberOf(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

int Main(int argc, char** argv) {
  std::string_view kernels_name = "auto", only;
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  int samples = 21;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--kernels") kernels_name = argv[i + 1];
    if (flag == "--threads") threads = NumberOf(argv[i + 1]);
    if (flag == "--samples") samples = NumberOf(argv[i + 1]);
    if (flag == "--only") only = argv[i + 1];
  }
  const auto choice = ParseKernelChoice(kernels_name);
  std::vector<std::string> filled;
  const auto kernels = choice.ok() ? SelectKernels(*choice, filled) : choice.status();
  if (!kernels.ok() || threads < 1 || samples < 1 || argc % 2 == 0) {
    std::fprintf(stderr, "kernels_bench: bad arguments\n");
    return 2;
  }
  SpinningLanes lanes(threads);
  MachineMeter meter;
  std::printf("%s, %d threads: %.1f GB/s, int8 %.0f GOPS, bf16 %.0f, fp32 %.0f GFLOPS\n",
              std::string(kernels->name).c_str(), threads, meter.ReadGbps(lanes, 100),
              meter.Int8Gops(lanes, 50), meter.Bf16Gflops(lanes, 50), meter.Fp32Gflops(lanes, 50));
  const Bench bench{*kernels, lanes, meter, samples, only};
  if (only.empty() || only.starts_with("ffn")) BenchFfn(bench);
  BenchLinear(bench);
  BenchAttention(bench);
  BenchBetween(bench);
  return 0;
}

}  // namespace
}  // namespace conclave

int main(int argc, char** argv) { return conclave::Main(argc, argv); }
