#include "tests/kernels/conformance.h"

#include <cstdlib>
#include <numeric>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"

namespace conclave::conformance {
namespace {

// Rows that are also run alone: all of a small case, an even spread of a big one.
constexpr std::int64_t kAloneMax = 24;

struct RunArgs {
  const KernelSet& kernels;
  const Case& subject;
  std::span<const int> rows;
  int shift = 0;
  int lanes = 1;
};

struct Ran {
  Result result;
  std::string wrong;
};

Ran Run(const RunArgs& args) {
  Memory memory(args.shift);
  const Prepared prepared = args.subject.Prepare(args.kernels, args.rows, memory);
  memory.Seal();
  RunLanes(args.lanes, prepared.call);
  Ran ran{{}, memory.Check()};
  if (!ran.wrong.empty()) return ran;
  ran.result = prepared.collect();
  ran.wrong = ran.result.complaint;
  return ran;
}

// Row i of `got` against row rows[i] of `whole`, bit for bit.
std::string CompareBits(const Result& whole, const Result& got, std::span<const int> rows,
                        bool opaque_too) {
  for (std::size_t o = 0; o < whole.outputs.size(); ++o) {
    const Output& want = whole.outputs[o];
    if (want.opaque && !opaque_too) continue;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::span<const double> a = want.row(rows[i]);
      const std::span<const double> b = got.outputs[o].row(static_cast<std::int64_t>(i));
      for (std::size_t c = 0; c < a.size(); ++c) {
        if (SameBits(a[c], b[c])) continue;
        return absl::StrCat(want.name, " row ", rows[i], " column ", c, ": ", a[c], " and ", b[c]);
      }
    }
  }
  return "";
}

std::vector<std::vector<int>> OtherBatches(std::int64_t rows) {
  std::vector<std::vector<int>> batches;
  const std::int64_t step = std::max<std::int64_t>(1, rows / kAloneMax);
  for (std::int64_t r = 0; r < rows && rows > 1; r += step)
    batches.push_back({static_cast<int>(r)});
  std::vector<int> backwards, odd_first;
  for (std::int64_t r = rows; r-- > 0;) backwards.push_back(static_cast<int>(r));
  for (std::int64_t r = 1; r < rows; r += 2) odd_first.push_back(static_cast<int>(r));
  for (std::int64_t r = 0; r < rows; r += 4) odd_first.push_back(static_cast<int>(r));
  batches.push_back(backwards);
  batches.push_back(odd_first);
  return batches;
}

// Steps 5 to 7: the set against its own first run. Returns the first difference.
std::string CompareOwnRuns(const RunArgs& first, const Result& got) {
  const auto differs = [&](const RunArgs& args, std::string_view how) -> std::string {
    const Ran ran = Run(args);
    std::string wrong =
        !ran.wrong.empty() ? ran.wrong : CompareBits(got, ran.result, args.rows, true);
    return wrong.empty() ? "" : absl::StrCat(std::string(how), ": ", wrong);
  };
  for (const int shift : {0, 1, 3}) {
    RunArgs again{first.kernels, first.subject, first.rows, shift, 1};
    if (std::string wrong = differs(again, "run again elsewhere"); !wrong.empty()) return wrong;
  }
  int shift = 0;
  for (const std::vector<int>& batch : OtherBatches(first.subject.rows())) {
    RunArgs other{first.kernels, first.subject, batch, shift++ % 4, 1};
    const std::string how = batch.size() == 1 ? "row alone" : "another batch";
    if (std::string wrong = differs(other, how); !wrong.empty()) return wrong;
  }
  for (const int lanes : {2, 3}) {
    RunArgs spread{first.kernels, first.subject, first.rows, 0, lanes};
    const std::string how = absl::StrCat(lanes, " lanes");
    if (std::string wrong = differs(spread, how); !wrong.empty()) return wrong;
  }
  return "";
}

std::string JudgeCase(const KernelSet& kernels, const Case& subject, InputClass input) {
  std::vector<int> all(static_cast<std::size_t>(subject.rows()));
  std::iota(all.begin(), all.end(), 0);
  const Ran reference = Run({kRefKernels, subject, all});
  if (!reference.wrong.empty()) return absl::StrCat("reference: ", reference.wrong);
  const RunArgs first{kernels, subject, all};
  const Ran got = Run(first);
  if (!got.wrong.empty()) return got.wrong;
  std::string wrong = input == InputClass::kExact
                          ? CompareBits(reference.result, got.result, all, false)
                          : subject.Compare(kernels, reference.result, got.result);
  if (!wrong.empty()) return absl::StrCat("wrong value: ", wrong);
  return CompareOwnRuns(first, got.result);
}

}  // namespace

std::string_view NameOf(InputClass input) {
  switch (input) {
    case InputClass::kExact:
      return "exact";
    case InputClass::kGaussian:
      return "gaussian";
    case InputClass::kHostile:
      return "hostile";
  }
  return "?";
}

std::string ToString(const Shape& shape) {
  std::string text = absl::StrCat("rows=", shape.rows);
  const auto add = [&](const char* name, std::int64_t value) {
    if (value != 0) absl::StrAppend(&text, " ", name, "=", value);
  };
  add("n", shape.n);
  add("k", shape.k);
  add("heads", shape.heads);
  add("kv_heads", shape.kv_heads);
  add("head_dim", shape.head_dim);
  add("experts", shape.experts);
  add("topk", shape.topk);
  add("flag", shape.flag ? 1 : 0);
  absl::StrAppend(&text, " ", NameOf(shape.stored));
  return text;
}

void RunLanes(int count, const std::function<void(const Lane&)>& call) {
  std::atomic<std::int64_t> ticket{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      SetComputeThreadFloatMode();
      call(Lane{i, count, &ticket});
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<std::string> Judge(const Spec& spec, const KernelSet& kernels) {
  const char* only = std::getenv("CONCLAVE_CASE");
  std::vector<std::string> findings;
  for (const Shape& shape : spec.shapes()) {
    for (const InputClass input :
         {InputClass::kExact, InputClass::kGaussian, InputClass::kHostile}) {
      const std::string line = absl::StrCat(std::string(spec.name), " ", ToString(shape), " ",
                                            std::string(NameOf(input)));
      if (only != nullptr && line.find(only) == std::string::npos) continue;
      const std::uint64_t seed = HashBytes(line);
      const std::unique_ptr<Case> subject = spec.make(shape, input, seed);
      const std::string wrong = JudgeCase(kernels, *subject, input);
      if (!wrong.empty()) {
        findings.push_back(absl::StrCat(line, " seed=", seed, ": ", wrong));
      }
    }
  }
  return findings;
}

const Spec& SpecNamed(std::string_view name) {
  for (const Spec& spec : AllSpecs()) {
    if (spec.name == name) return spec;
  }
  CONCLAVE_CHECK(false, "no spec %s", std::string(name).c_str());
  std::abort();
}

}  // namespace conclave::conformance
