// Layout: row-major floats, each row zero-padded to PaddedCols(k). Widening bf16 and f16 to float
// is exact, so the reference computes with the checkpoint's own numbers.
#include "kernels/embed/widen_ref.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

enum class Write { kReplace, kAdd };

void LinearWith(const LinearArgs& args, const Lane& lane, Write write) {
  CheckActivations(args.in);
  const std::int64_t padded = PaddedCols(args.w.k);
  const auto* weights = reinterpret_cast<const float*>(args.w.data);
  const Share share = ShareOf(args.w.n, lane.index, lane.count);
  for (std::int64_t n = share.begin; n < share.end; ++n) {
    const double bias = args.bias.empty() ? 0.0 : Wide(args.bias[static_cast<std::size_t>(n)]);
    for (std::int64_t r = 0; r < args.in.rows; ++r) {
      const double sum = DotRow(args.in.row(r), args.in.dtype, weights + n * padded, padded);
      const auto value = static_cast<float>(sum + bias);
      float& out = args.out.row(r)[n];
      out = write == Write::kAdd ? out + value : value;
    }
  }
}

}  // namespace

std::size_t PackedBytes(std::int64_t n, std::int64_t k) {
  return static_cast<std::size_t>(n * PaddedCols(k)) * sizeof(float);
}

void Pack(const PackArgs& args, const Lane& lane) {
  std::int64_t first = 0;  // of this source, among the stacked rows
  for (const TensorView& source : args.sources) {
    const std::int64_t padded = PaddedCols(source.cols);
    const Share share = ShareOf(source.rows, lane.index, lane.count);
    for (std::int64_t r = share.begin; r < share.end; ++r) {
      float* out = reinterpret_cast<float*>(args.out) + (first + r) * padded;
      WidenRow(source, r, out);
      std::fill(out + source.cols, out + padded, 0.0f);
    }
    first += source.rows;
  }
}

void Linear(const LinearArgs& args, const Lane& lane) { LinearWith(args, lane, Write::kReplace); }
void LinearAdd(const LinearArgs& args, const Lane& lane) { LinearWith(args, lane, Write::kAdd); }

}  // namespace conclave::ref
