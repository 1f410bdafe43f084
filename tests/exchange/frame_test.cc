#include "exchange/frame.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "exchange/frame_samples.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using testing::HasSubstr;

Sample Typical() {
  return DispatchSample({0, 31, 32, 63, 64, 127, 511},
                        {{0, 127}, {0, 0}, {1, 511}, {2, 64}, {2, 63}, {2, 32}, {2, 31}});
}

TEST(Frame, PartsFollowOneAnotherOnBoundaries) {
  EXPECT_EQ(DispatchFrameBytes(kSampleShape, 0, 0, 0), 64u);
  EXPECT_EQ(DispatchFrameBytes(kSampleShape, 3, 7, 7), 64u + 64 + 64 + 192);
  EXPECT_EQ(DispatchFrameBytes(kSampleShape, 3, 17, 16), 64u + 64 + 128 + 192);
  EXPECT_EQ(SendBackFrameBytes(kSampleShape, 5), 64u + 640);
  AlignedBytes bytes(1024);
  const DispatchFrame frame = BindDispatch(kSampleShape, bytes.span(), 3, 7, 7);
  EXPECT_EQ(static_cast<void*>(frame.header), bytes.span().data());
  EXPECT_EQ(static_cast<void*>(frame.counts), bytes.span().data() + 64);
  EXPECT_EQ(static_cast<void*>(frame.slots), bytes.span().data() + 128);
  EXPECT_EQ(static_cast<void*>(frame.rows), bytes.span().data() + 192);
}

// The wire, byte by byte: a change here is a new kFrameMagic, or old and new workers misread each
// other.
TEST(Frame, GoldenBytes) {
  Sample sample = DispatchSample({2, 258}, {{0, 258}, {1, 2}});
  std::span<std::byte> bytes = sample.bytes.span();
  ASSERT_EQ(bytes.size(), 320u);
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  const std::string zeros(320 * 2, '0');
  EXPECT_EQ(hex.substr(0, 128),
            "43457833"            // magic "CEx3"
            "057f0000"            // source, destination, direction
            "0100000007000000"    // term, epoch
            "e803000000000000"    // step
            "8877665544332211"    // digest
            "03000201"            // layer, round
            "02000000"            // rows
            "02000000"            // slots
            "02000000"            // experts
            "4001000000000000"    // frame bytes
            "0c1348604b345a87");  // checksum
  EXPECT_EQ(hex.substr(128, 16), "0100000001000000") << "counts";
  EXPECT_EQ(hex.substr(144, 112), zeros.substr(0, 112)) << "gap after the counts";
  EXPECT_EQ(hex.substr(256, 16), "0000020101000200") << "slots";
  EXPECT_EQ(hex.substr(272, 112), zeros.substr(0, 112)) << "gap after the slots";
  EXPECT_EQ(hex.substr(384, 8), "00010203") << "rows";
}

TEST(Frame, AGoodFrameIsTaken) {
  Sample typical = Typical();
  EXPECT_EQ(Verify(typical), absl::OkStatus());
  Sample empty = DispatchSample({1, 2, 3}, {});
  EXPECT_EQ(Verify(empty), absl::OkStatus());
  Sample no_experts = DispatchSample({}, {});
  EXPECT_EQ(Verify(no_experts), absl::OkStatus());
  for (const int slots : {0, 1, 33}) {
    Sample back = SendBackSample(slots);
    EXPECT_EQ(Verify(back), absl::OkStatus());
  }
}

struct Damage {
  std::string named;  // what the error must say
  std::function<void(Sample&, DispatchFrame&)> apply;
};

// Each of these is sealed again, so that the checksum is right and the check itself must speak.
TEST(Frame, EveryDifferenceIsNamed) {
  const std::vector<Damage> damages = {
      {"magic", [](Sample&, DispatchFrame& f) { ++f.header->magic; }},
      {"epoch is 8, expected 7", [](Sample&, DispatchFrame& f) { ++f.header->epoch; }},
      {"term is 2, expected 1", [](Sample&, DispatchFrame& f) { ++f.header->term; }},
      {"source is 6, expected 5", [](Sample&, DispatchFrame& f) { ++f.header->source; }},
      {"destination", [](Sample&, DispatchFrame& f) { --f.header->destination; }},
      {"step", [](Sample&, DispatchFrame& f) { --f.header->step; }},
      {"plan_digest", [](Sample&, DispatchFrame& f) { ++f.header->plan_digest; }},
      {"moe_layer is 4, expected 3", [](Sample&, DispatchFrame& f) { ++f.header->moe_layer; }},
      {"round is 259, expected 258", [](Sample&, DispatchFrame& f) { ++f.header->round; }},
      {"rows is 17, expected at most 16", [](Sample&, DispatchFrame& f) { f.header->rows = 17; }},
      {"size", [](Sample&, DispatchFrame& f) { f.header->rows = 4; }},
      {"rows is 3, expected 2",
       [](Sample& sample, DispatchFrame& f) {
         for (const int slot : {3, 4, 5, 6}) f.slots[slot].row = 1;
         sample.want.topk = 8;
       }},
      {"slots is", [](Sample& s, DispatchFrame&) { s.want.topk = 2; }},
      {"more than 3 choices", [](Sample& s, DispatchFrame&) { s.want.topk = 3; }},
      {"slots[0].row is 1", [](Sample&, DispatchFrame& f) { f.slots[0].row = 1; }},
      {"slots[2].row is 2 after row 0", [](Sample&, DispatchFrame& f) { f.slots[2].row = 2; }},
      {"slots[4].row is 1 after row 2", [](Sample&, DispatchFrame& f) { f.slots[4].row = 1; }},
      {"slots[1].expert is 1", [](Sample&, DispatchFrame& f) { f.slots[1].expert = 1; }},
      {"slots[1].expert is 600", [](Sample&, DispatchFrame& f) { f.slots[1].expert = 600; }},
      {"names expert 127 twice", [](Sample&, DispatchFrame& f) { f.slots[1].expert = 127; }},
      {"counts of expert 511 is 2", [](Sample&, DispatchFrame& f) { ++f.counts[6]; }},
      {"counts of expert 0 is 1, its slots are 2",
       [](Sample&, DispatchFrame& f) { f.slots[6].expert = 0; }},
  };
  for (const Damage& damage : damages) {
    Sample sample = Typical();
    DispatchFrame frame = BindDispatch(kSampleShape, sample.bytes.span(), 3, 7, 7);
    damage.apply(sample, frame);
    if (frame.header->magic == kFrameMagic) SealFrame(sample.bytes.span());
    const absl::Status status = Verify(sample);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << damage.named;
    EXPECT_THAT(std::string(status.message()), HasSubstr(damage.named));
    EXPECT_THAT(std::string(status.message()), HasSubstr("frame from slot 5: "));
  }
}

TEST(Frame, ADirectionIsNotTakenForTheOther) {
  Sample back = SendBackSample(0);
  back.want.direction = Direction::kDispatch;
  EXPECT_THAT(std::string(Verify(back).message()), HasSubstr("direction is 1, expected 0"));
  Sample there = DispatchSample({}, {});
  there.want.direction = Direction::kSendBack;
  EXPECT_THAT(std::string(Verify(there).message()), HasSubstr("direction is 0, expected 1"));
}

TEST(Frame, ASendBackMustAnswerWhatWasAsked) {
  Sample back = SendBackSample(4);
  back.want.slots = 5;
  EXPECT_THAT(std::string(Verify(back).message()), HasSubstr("slots is 4, expected 5"));
}

TEST(Frame, ACutFrameIsRefusedBeforeItIsRead) {
  Sample whole = Typical();
  for (std::size_t bytes = 0; bytes < whole.bytes.span().size(); ++bytes) {
    AlignedBytes cut(bytes);
    if (bytes != 0) std::memcpy(cut.span().data(), whole.bytes.span().data(), bytes);
    Sample sample{whole.want, whole.owned, cut};
    EXPECT_EQ(Verify(sample).code(), absl::StatusCode::kDataLoss) << bytes;
  }
}

}  // namespace
}  // namespace conclave
