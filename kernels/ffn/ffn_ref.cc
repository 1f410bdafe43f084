// Layout: gate, then up, each [width, PaddedCols(hidden)], then down [hidden, PaddedCols(width)];
// row-major floats, zero-padded.
#include "base/numeric.h"
#include "kernels/embed/widen_ref.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

constexpr std::int64_t kPanel = 32;  // output channels in one piece of work

std::int64_t PanelsOf(std::int64_t channels) { return (channels + kPanel - 1) / kPanel; }

void PackRows(const TensorView& tensor, float* out) {
  const std::int64_t padded = PaddedCols(tensor.cols);
  for (std::int64_t r = 0; r < tensor.rows; ++r, out += padded) {
    WidenRow(tensor, r, out);
    std::fill(out + tensor.cols, out + padded, 0.0f);
  }
}

// Channels [begin, end) of silu(gate x) * (up x) for every slot of one group.
void UpPanel(const FfnUpArgs& args, const FfnGroup& group, std::int64_t begin, std::int64_t end) {
  const std::int64_t padded = PaddedCols(args.hidden);
  const auto* gate = reinterpret_cast<const float*>(group.weights.data);
  const float* up = gate + args.width * padded;
  for (std::int64_t s = group.slot_begin; s < group.slot_begin + group.slots; ++s) {
    const std::byte* x = args.rows[static_cast<std::size_t>(s)];
    std::byte* out = args.middle.row(s);
    const DType dtype = args.middle.dtype;
    for (std::int64_t c = begin; c < end; ++c) {
      const auto g = static_cast<float>(DotRow(x, dtype, gate + c * padded, padded));
      const auto u = static_cast<float>(DotRow(x, dtype, up + c * padded, padded));
      StoreActivation(out, dtype, c, Silu(g) * u);
    }
    if (end == args.width) ZeroPadding(out, dtype, args.width);
  }
}

// Channels [begin, end) of down(middle) for every slot of one group.
void DownPanel(const FfnDownArgs& args, const FfnGroup& group, std::int64_t begin,
               std::int64_t end) {
  const std::int64_t padded = PaddedCols(args.width);
  const float* down =
      reinterpret_cast<const float*>(group.weights.data) + 2 * args.width * PaddedCols(args.hidden);
  for (std::int64_t s = group.slot_begin; s < group.slot_begin + group.slots; ++s) {
    const std::byte* middle = args.middle.row(s);
    float* out = args.answers[static_cast<std::size_t>(s)];
    for (std::int64_t c = begin; c < end; ++c) {
      out[c] = static_cast<float>(DotRow(middle, args.middle.dtype, down + c * padded, padded));
    }
  }
}

}  // namespace

std::size_t PackedFfnBytes(std::int64_t hidden, std::int64_t width) {
  return static_cast<std::size_t>(2 * width * PaddedCols(hidden) + hidden * PaddedCols(width)) *
         sizeof(float);
}

void PackFfn(const PackFfnArgs& args) {
  const std::int64_t hidden = args.gate.cols;
  const std::int64_t width = args.gate.rows;
  auto* out = reinterpret_cast<float*>(args.out);
  PackRows(args.gate, out);
  PackRows(args.up, out + width * PaddedCols(hidden));
  PackRows(args.down, out + 2 * width * PaddedCols(hidden));
}

void FfnUp(const FfnUpArgs& args, const Lane& lane) {
  CheckActivations(args.middle);
  const std::int64_t panels = PanelsOf(args.width);
  const auto pieces = static_cast<std::int64_t>(args.groups.size()) * panels;
  for (std::int64_t piece = lane.Take(); piece < pieces; piece = lane.Take()) {
    const FfnGroup& group = args.groups[static_cast<std::size_t>(piece / panels)];
    const std::int64_t begin = piece % panels * kPanel;
    UpPanel(args, group, begin, std::min(args.width, begin + kPanel));
  }
}

void FfnDown(const FfnDownArgs& args, const Lane& lane) {
  CheckActivations(args.middle);
  const std::int64_t panels = PanelsOf(args.hidden);
  const auto pieces = static_cast<std::int64_t>(args.groups.size()) * panels;
  for (std::int64_t piece = lane.Take(); piece < pieces; piece = lane.Take()) {
    const FfnGroup& group = args.groups[static_cast<std::size_t>(piece / panels)];
    const std::int64_t begin = piece % panels * kPanel;
    DownPanel(args, group, begin, std::min(args.hidden, begin + kPanel));
  }
}

}  // namespace conclave::ref
