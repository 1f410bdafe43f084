// The test of the test: each kernel here is wrong in one way that has been seen in the field, and
// the harness must say so. A green conformance run means something only while this passes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/conformance.h"

namespace conclave::conformance {
namespace {

const KernelSet& Good() { return kRefKernels; }

// Expects a finding of this spec that contains the text.
template <typename Fn>
void ExpectFound(std::string_view spec, Fn KernelSet::*member, Fn broken, std::string_view text) {
  KernelSet set = kRefKernels;
  set.name = "broken";
  set.*member = broken;
  const std::vector<std::string> findings = Judge(SpecNamed(spec), set);
  ASSERT_FALSE(findings.empty()) << "the broken kernel passed";
  const bool named = std::any_of(findings.begin(), findings.end(), [&](const std::string& line) {
    return line.find(text) != std::string::npos;
  });
  EXPECT_TRUE(named) << "found, but not as \"" << text << "\": " << findings[0];
}

const float* WeightRow(const LinearArgs& args, std::int64_t n) {
  return reinterpret_cast<const float*>(args.w.data) + n * PaddedCols(args.w.k);
}
const float* InRow(const LinearArgs& args, std::int64_t r) {
  return reinterpret_cast<const float*>(args.in.row(r));
}

TEST(BrokenKernels, LinearThatDropsTheLastElement) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        if (lane.count > 1) return;
        for (std::int64_t r = 0; r < args.in.rows; ++r) {
          for (std::int64_t n = 0; n < args.w.n; ++n) {
            args.out.row(r)[n] -= InRow(args, r)[args.w.k - 1] * WeightRow(args, n)[args.w.k - 1];
          }
        }
      },
      "wrong value");
}

TEST(BrokenKernels, LinearThatWritesOnePastTheEnd) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        if (args.in.rows > 0) args.out.row(args.in.rows - 1)[args.w.n] = 0;
      },
      "written outside");
}

TEST(BrokenKernels, LinearThatLeavesRowZeroUnwritten) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        if (args.in.rows == 0) return;
        LinearArgs rest = args;
        rest.in = args.in.slice(1, args.in.rows - 1);
        rest.out = args.out.slice(1, args.in.rows - 1);
        Good().linear(rest, lane);
      },
      "not written, row 0");
}

TEST(BrokenKernels, LinearThatReturnsNaN) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        if (args.in.rows > 2) args.out.row(2)[0] = std::numeric_limits<float>::quiet_NaN();
      },
      "got nan");
}

TEST(BrokenKernels, LinearThatSumsInAnotherOrderForManyRows) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        if (args.in.rows < 2 || !args.bias.empty()) return;
        for (std::int64_t n = lane.index; n < args.w.n; n += lane.count) {
          for (std::int64_t r = 0; r < args.in.rows; ++r) {
            float sum = 0;  // within the bound, but not the bits of a row alone
            for (std::int64_t k = 0; k < args.w.k; ++k) {
              sum += InRow(args, r)[k] * WeightRow(args, n)[k];
            }
            args.out.row(r)[n] = sum;
          }
        }
      },
      "row alone");
}

TEST(BrokenKernels, LinearThatSplitsTheSumAmongLanes) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        if (lane.count == 1) return Good().linear(args, lane);
        if (lane.index != 0) return;
        for (std::int64_t r = 0; r < args.in.rows; ++r) {
          for (std::int64_t n = 0; n < args.w.n; ++n) {
            float whole = args.bias.empty() ? 0.0f : args.bias[static_cast<std::size_t>(n)];
            for (int part = 0; part < lane.count; ++part) {
              float sum = 0;
              for (std::int64_t k = part; k < args.w.k; k += lane.count) {
                sum += InRow(args, r)[k] * WeightRow(args, n)[k];
              }
              whole += sum;
            }
            args.out.row(r)[n] = whole;
          }
        }
      },
      "lanes");
}

TEST(BrokenKernels, LinearThatDependsOnWhereItsRowsLie) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        const bool aligned = reinterpret_cast<std::uintptr_t>(args.out.data) % 64 == 0;
        if (aligned || args.in.rows == 0 || lane.index != 0) return;
        float& first = args.out.row(0)[0];
        first = std::nextafter(first, 1e30f);
      },
      "run again elsewhere");
}

TEST(BrokenKernels, LinearAddThatForgetsWhatWasThere) {
  ExpectFound<LinearFn>(
      "linear_add", &KernelSet::linear_add,
      [](const LinearArgs& args, const Lane& lane) { Good().linear(args, lane); }, "wrong value");
}

TEST(BrokenKernels, LinearThatSpoilsItsInput) {
  ExpectFound<LinearFn>(
      "linear", &KernelSet::linear,
      [](const LinearArgs& args, const Lane& lane) {
        Good().linear(args, lane);
        if (args.in.rows > 0 && lane.index == 0) reinterpret_cast<float*>(args.in.row(0))[0] = 7;
      },
      "input changed");
}

TEST(BrokenKernels, PackThatWritesPastItsBytes) {
  ExpectFound<PackFn>(
      "linear", &KernelSet::pack,
      [](const PackArgs& args, const Lane& lane) {
        Good().pack(args, lane);
        std::int64_t n = 0;
        for (const TensorView& source : args.sources) n += source.rows;
        args.out[Good().packed_bytes(n, args.sources[0].cols)] = std::byte{0};
      },
      "written outside before the call");
}

TEST(BrokenKernels, RouterThatIgnoresExpert127) {
  ExpectFound<RouterTopkFn>(
      "router_topk", &KernelSet::router_topk,
      [](const RouterTopkArgs& args, const Lane& lane) {
        RouterTopkArgs fewer = args;
        fewer.logits.cols = std::min<std::int64_t>(args.logits.cols, 127);
        Good().router_topk(fewer, lane);
      },
      "experts=128");
}

TEST(BrokenKernels, RouterThatGivesTiesToTheHigherId) {
  ExpectFound<RouterTopkFn>(
      "router_topk", &KernelSet::router_topk,
      [](const RouterTopkArgs& args, const Lane& lane) {
        Good().router_topk(args, lane);
        if (lane.count > 1) return;
        for (std::int64_t r = 0; r < args.logits.rows; ++r) {
          const auto last = static_cast<std::uint16_t>(args.logits.cols - 1);
          std::uint16_t& best = args.ids.row(r)[0];
          if (args.logits.row(r)[last] == args.logits.row(r)[best]) best = last;
        }
      },
      "ids row");
}

TEST(BrokenKernels, RouterThatDoesNotCountBadRows) {
  ExpectFound<RouterTopkFn>(
      "router_topk", &KernelSet::router_topk,
      [](const RouterTopkArgs& args, const Lane& lane) {
        RouterTopkArgs quiet = args;
        std::atomic<std::uint32_t> nobody{0};
        quiet.bad_rows = &nobody;
        Good().router_topk(quiet, lane);
      },
      "bad_rows");
}

TEST(BrokenKernels, AttentionThatSeesTheFuture) {
  ExpectFound<AttentionFn>(
      "attention", &KernelSet::attention,
      [](const AttentionArgs& args, const Lane& lane) {
        std::vector<AttentionSpan> spans(args.spans.begin(), args.spans.end());
        for (AttentionSpan& span : spans) {
          const std::int64_t last = span.position_begin + span.rows;
          if (last % kKvBlockTokens != 0) ++span.position_begin;
        }
        AttentionArgs ahead = args;
        ahead.spans = spans;
        Good().attention(ahead, lane);
      },
      "exact");
}

TEST(BrokenKernels, AttentionThatMapsHeadsRoundRobin) {
  ExpectFound<AttentionFn>(
      "attention", &KernelSet::attention,
      [](const AttentionArgs& args, const Lane& lane) {
        // Query head j reads kv head j % kv_heads: move every head to where that is its group.
        if (lane.index != 0) return;
        const int group = args.heads / args.kv.kv_heads;
        const auto head_bytes = static_cast<std::size_t>(args.kv.head_dim) * BytesOf(args.q.dtype);
        const auto place = [&](int j) {
          return static_cast<std::size_t>(j % args.kv.kv_heads * group + j / args.kv.kv_heads);
        };
        AlignedBytes moved(static_cast<std::size_t>(args.q.rows * args.q.stride_bytes) + 64);
        AttentionArgs other = args;
        other.q.data = moved.data();
        for (std::int64_t r = 0; r < args.q.rows; ++r) {
          for (int j = 0; j < args.heads; ++j) {
            std::copy_n(args.q.row(r) + static_cast<std::size_t>(j) * head_bytes, head_bytes,
                        other.q.row(r) + place(j) * head_bytes);
          }
        }
        std::atomic<std::int64_t> ticket{0};
        Good().attention(other, {0, 1, &ticket});
        for (std::int64_t r = 0; r < args.q.rows; ++r) {
          for (int j = 0; j < args.heads; ++j) {
            std::copy_n(args.out.row(r) + place(j) * head_bytes, head_bytes,
                        moved.data() + static_cast<std::size_t>(j) * head_bytes);
          }
          std::copy_n(moved.data(), head_bytes * static_cast<std::size_t>(args.heads),
                      args.out.row(r));
        }
      },
      "exact");
}

TEST(BrokenKernels, QkvFinishThatTurnsTheOtherWay) {
  ExpectFound<QkvFinishFn>(
      "qkv_finish", &KernelSet::qkv_finish,
      [](const QkvFinishArgs& args, const Lane& lane) {
        std::vector<float> minus(static_cast<std::size_t>(args.sin.rows * args.sin.cols));
        for (std::int64_t r = 0; r < args.sin.rows; ++r) {
          for (std::int64_t i = 0; i < args.sin.cols; ++i) {
            minus[static_cast<std::size_t>(r * args.sin.cols + i)] = -args.sin.row(r)[i];
          }
        }
        QkvFinishArgs other = args;
        other.sin = {minus.data(), args.sin.rows, args.sin.cols, args.sin.cols};
        Good().qkv_finish(other, lane);
      },
      "q row");
}

TEST(BrokenKernels, QkvFinishThatDoesNotNormKeys) {
  ExpectFound<QkvFinishFn>(
      "qkv_finish", &KernelSet::qkv_finish,
      [](const QkvFinishArgs& args, const Lane& lane) {
        QkvFinishArgs other = args;
        other.k_norm = {};
        Good().qkv_finish(other, lane);
      },
      "k and v row");
}

TEST(BrokenKernels, RmsNormThatLeavesPaddingDirty) {
  ExpectFound<RmsNormFn>(
      "rms_norm", &KernelSet::rms_norm,
      [](const RmsNormArgs& args, const Lane& lane) {
        Good().rms_norm(args, lane);
        const bool padded = PaddedCols(args.in.cols) > args.in.cols;
        if (padded && args.in.rows > 0) {
          reinterpret_cast<float*>(args.out.row(0))[args.in.cols] = 1;
        }
      },
      "padding not zero");
}

TEST(BrokenKernels, RmsNormWithoutEps) {
  ExpectFound<RmsNormFn>(
      "rms_norm", &KernelSet::rms_norm,
      [](const RmsNormArgs& args, const Lane& lane) {
        RmsNormArgs other = args;
        other.eps = 0;
        Good().rms_norm(other, lane);
      },
      "hostile");
}

TEST(BrokenKernels, FfnUpThatSwapsGateAndUp) {
  ExpectFound<PackFfnFn>(
      "ffn_up", &KernelSet::pack_ffn,
      [](const PackFfnArgs& args) {
        Good().pack_ffn({.gate = args.up, .up = args.gate, .down = args.down, .out = args.out});
      },
      "gaussian");
}

TEST(BrokenKernels, FfnDownThatSkipsTheLastSlotOfAGroup) {
  ExpectFound<FfnDownFn>(
      "ffn_down", &KernelSet::ffn_down,
      [](const FfnDownArgs& args, const Lane& lane) {
        std::vector<FfnGroup> groups(args.groups.begin(), args.groups.end());
        for (FfnGroup& group : groups) group.slots -= group.slots > 1 ? 1 : 0;
        FfnDownArgs fewer = args;
        fewer.groups = groups;
        Good().ffn_down(fewer, lane);
      },
      "not written");
}

TEST(BrokenKernels, FfnDownThatStopsAtAnEmptyGroup) {
  ExpectFound<FfnDownFn>(
      "ffn_down", &KernelSet::ffn_down,
      [](const FfnDownArgs& args, const Lane& lane) {
        const auto empty = std::find_if(args.groups.begin(), args.groups.end(),
                                        [](const FfnGroup& g) { return g.slots == 0; });
        FfnDownArgs fewer = args;
        fewer.groups = args.groups.first(static_cast<std::size_t>(empty - args.groups.begin()));
        Good().ffn_down(fewer, lane);
      },
      "not written");
}

TEST(BrokenKernels, CombineThatAddsInAnotherOrder) {
  ExpectFound<CombineFn>(
      "combine", &KernelSet::combine,
      [](const CombineArgs& args, const Lane& lane) {
        if (lane.index != 0) return;
        for (std::int64_t r = 0; r < args.hidden.rows; ++r) {
          for (std::int64_t c = 0; c < args.hidden.cols; ++c) {
            float sum = args.hidden.row(r)[c];  // the residual first instead of last
            for (std::int64_t j = 0; j < args.weights.cols; ++j) {
              sum += args.weights.row(r)[j] *
                     args.answers[static_cast<std::size_t>(r * args.weights.cols + j)][c];
            }
            args.hidden.row(r)[c] = sum;
          }
        }
      },
      "gaussian");
}

TEST(BrokenKernels, EmbedThatForgetsTheLastRowOfThreeLanes) {
  ExpectFound<EmbedFn>(
      "embed", &KernelSet::embed,
      [](const EmbedArgs& args, const Lane& lane) {
        if (lane.count == 3 && lane.index == 2) return;
        Good().embed(args, lane);
      },
      "3 lanes");
}

TEST(BrokenKernels, LogitStatsThatPrefersTheHigherId) {
  ExpectFound<LogitStatsFn>(
      "logit_stats", &KernelSet::logit_stats,
      [](const LogitStatsArgs& args, const Lane& lane) {
        Good().logit_stats(args, lane);
        if (lane.count > 1) return;
        for (std::int64_t r = 0; r < args.logits.rows; ++r) {
          LogitSliceStats& last = args.slices.row(r)[args.slices.cols - 1];
          const auto end = static_cast<TokenId>(args.logits.cols - 1);
          if (last.best >= 0 && args.logits.row(r)[end] == last.max) last.best = end;
        }
      },
      "best");
}

TEST(BrokenKernels, LogitStatsThatCountsNaN) {
  ExpectFound<LogitStatsFn>(
      "logit_stats", &KernelSet::logit_stats,
      [](const LogitStatsArgs& args, const Lane& lane) {
        Good().logit_stats(args, lane);
        if (lane.count > 1) return;
        for (std::int64_t r = 0; r < args.logits.rows; ++r) {
          if (std::isnan(args.logits.row(r)[0])) args.slices.row(r)[0].sum += 1;
        }
      },
      "sum row");
}

}  // namespace
}  // namespace conclave::conformance
