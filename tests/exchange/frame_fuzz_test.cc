// Damaged frames, thousands of them, from seeds: each is refused, or is the frame it was. Under an
// address sanitizer this also shows that nothing beyond the frame is read.
#include <algorithm>
#include <vector>

#include "base/philox.h"
#include "exchange/frame.h"
#include "exchange/frame_samples.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

constexpr int kRounds = 20000;

Sample Draw(Rng& rng) {
  if (rng.Below(3) == 0) return SendBackSample(static_cast<int>(rng.Below(5)));
  const std::vector<std::uint16_t> owned = {0, 31, 32, 63, 64, 127, 511};
  std::vector<FrameSlot> slots;
  const auto rows = static_cast<std::uint16_t>(rng.Below(5));
  for (std::uint16_t row = 0; row < rows; ++row) {
    const std::uint64_t choices = 1 + rng.Below(4);
    const std::uint64_t first = rng.Below(owned.size());
    for (std::uint64_t k = 0; k < choices; ++k) {
      slots.push_back({row, owned[(first + k * 3) % owned.size()]});
    }
  }
  return DispatchSample(owned, slots);
}

// A few changed bytes, favouring the header and the values that break arithmetic.
void Mutate(Rng& rng, std::span<std::byte> bytes) {
  constexpr std::uint8_t kNasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  const std::uint64_t changes = 1 + rng.Below(4);
  for (std::uint64_t i = 0; i < changes; ++i) {
    const std::size_t reach = rng.Below(2) == 0 ? sizeof(FrameHeader) : bytes.size();
    std::byte& target = bytes[rng.Below(reach)];
    switch (rng.Below(3)) {
      case 0:
        target ^= static_cast<std::byte>(1u << rng.Below(8));
        break;
      case 1:
        target = static_cast<std::byte>(kNasty[rng.Below(5)]);
        break;
      default:
        target = static_cast<std::byte>(rng.Below(256));
    }
  }
}

TEST(FrameFuzz, AMutatedFrameIsRefusedOrUnchanged) {
  Rng rng(2024);
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Sample original = Draw(rng);
    Sample mutated{original.want, original.owned, original.bytes};
    Mutate(rng, mutated.bytes.span());
    const bool same = std::ranges::equal(mutated.bytes.span(), original.bytes.span());
    const absl::Status status = Verify(mutated);
    EXPECT_EQ(status.ok(), same) << "round " << round << ": " << status;
    refused += status.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, kRounds / 2);
}

// The checksum made right again, as a hostile or confused sender would: whatever is taken must be
// within bounds and say of itself what it is.
TEST(FrameFuzz, AResealedMutationIsRefusedOrConsistent) {
  Rng rng(2025);
  int taken = 0;
  for (int round = 0; round < kRounds; ++round) {
    Sample sample = Draw(rng);
    if (sample.want.direction != Direction::kDispatch) continue;
    const FrameHeader before = *reinterpret_cast<const FrameHeader*>(sample.bytes.span().data());
    Mutate(rng, sample.bytes.span());
    auto& header = *reinterpret_cast<FrameHeader*>(sample.bytes.span().data());
    const bool sealable =
        header.direction == 0 && header.slots == before.slots && header.experts == before.experts;
    if (sealable) SealFrame(sample.bytes.span());
    if (!Verify(sample).ok()) continue;
    ++taken;
    const DispatchFrame frame = BindDispatch(kSampleShape, sample.bytes.span(), header.rows,
                                             header.slots, static_cast<int>(header.experts));
    std::uint32_t total = 0;
    for (std::size_t e = 0; e < sample.owned.size(); ++e) total += frame.counts[e];
    EXPECT_EQ(total, header.slots);
    for (std::uint32_t i = 0; i < header.slots; ++i) {
      EXPECT_LT(frame.slots[i].row, header.rows);
      EXPECT_TRUE(std::ranges::binary_search(sample.owned, frame.slots[i].expert));
    }
  }
  EXPECT_GT(taken, 100) << "row bytes may be anything, so some must pass";
}

}  // namespace
}  // namespace conclave
