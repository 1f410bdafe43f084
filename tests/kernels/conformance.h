// One program for all kernel sets: backends x specs x shapes x classes of input. A spec says how to
// make a case of one kernel, how to call it on any choice of the case's rows, and how to judge what
// came out; the driver does the same things with every one of them (see Judge).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_set.h"
#include "tests/kernels/memory.h"
#include "tests/kernels/values.h"

namespace conclave::conformance {

enum class InputClass : std::uint8_t {
  kExact,     // every sum fits the type: equal bits in every set, whatever the order
  kGaussian,  // realistic values against a double oracle, within a computed bound
  kHostile,   // ties, NaN, infinities, zeros, denormals, empty groups
};
std::string_view NameOf(InputClass input);

// What a case is about; a spec uses the fields it needs.
struct Shape {
  std::int64_t rows = 1;
  std::int64_t n = 0;  // output channels
  std::int64_t k = 0;  // summed over, or columns of a row
  int heads = 0, kv_heads = 0, head_dim = 0;
  int experts = 0, topk = 0;
  bool flag = false;            // normalise, bias, norms: the spec says
  DType stored = DType::kBf16;  // of weights in the file, or of the cache
};
std::string ToString(const Shape& shape);

// Values that came out, one line per row asked for, widened exactly to double.
struct Output {
  std::string name;
  std::int64_t cols = 0;
  std::vector<double> values;
  bool opaque = false;  // in a set's own layout: compared with the set's own runs only

  std::span<const double> row(std::int64_t r) const {
    return std::span(values).subspan(static_cast<std::size_t>(r * cols),
                                     static_cast<std::size_t>(cols));
  }
};
struct Result {
  std::vector<Output> outputs;
  std::string complaint;  // something wrong that is not a row's value
};

// One call, laid out and packed for one set.
struct Prepared {
  std::function<void(const Lane&)> call;
  std::function<Result()> collect;
};

class Case {
 public:
  virtual ~Case() = default;
  virtual std::int64_t rows() const = 0;
  // rows: which rows of the case, in which order; each at most once.
  virtual Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                           Memory& memory) const = 0;
  // Empty, or what is wrong with `got`. `reference` is what kRefKernels gave for the same case. For
  // classes that are not exact; all rows, in order.
  virtual std::string Compare(const KernelSet& kernels, const Result& reference,
                              const Result& got) const = 0;
};

// What one call moves and computes, at least.
struct Cost {
  double bytes = 0;
  double flops = 0;
};

struct Spec {
  std::string_view name;
  std::vector<Shape> (*shapes)();
  std::vector<Shape> (*bench_shapes)();  // as in Qwen3-30B-A3B
  std::unique_ptr<Case> (*make)(const Shape&, InputClass, std::uint64_t seed);
  Cost (*cost)(const Shape&, const KernelSet&);
};
std::span<const Spec> AllSpecs();
const Spec& SpecNamed(std::string_view name);

// Runs every case of the spec on the set; each finding is one line that begins with the case.
//   1. inputs from a seed that is a hash of (name, shape, class)
//   2. outputs poisoned between guard bands, at several misalignments
//   3. reference, then the set; memory checked after each
//   4. compared by class
//   5. the set again, elsewhere in memory: equal bits
//   6. every row alone and in two other batches: equal bits
//   7. with two and three lanes on threads of their own: equal bits
// CONCLAVE_CASE=text runs only cases whose line contains the text.
std::vector<std::string> Judge(const Spec& spec, const KernelSet& kernels);

// One call on real threads, each in the compute float mode.
void RunLanes(int count, const std::function<void(const Lane&)>& call);

}  // namespace conclave::conformance
