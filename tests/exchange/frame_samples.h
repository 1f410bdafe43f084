// Sealed frames to look at and to damage.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "exchange/frame.h"

namespace conclave {

// Bytes on a 64-byte boundary, exactly as many as asked for: a sanitizer sees a read beyond.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t bytes)
      : bytes_(bytes), begin_(static_cast<std::byte*>(::operator new(bytes, kAlignment))) {}
  AlignedBytes(const AlignedBytes& other) : AlignedBytes(other.bytes_) {
    if (bytes_ != 0) std::memcpy(begin_.get(), other.begin_.get(), bytes_);
  }
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  std::span<std::byte> span() { return {begin_.get(), bytes_}; }
  std::span<const std::byte> span() const { return {begin_.get(), bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlignment); }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> begin_;
};

inline constexpr FrameShape kSampleShape{.row_bytes = 64, .answer_bytes = 128};

struct Sample {
  FrameExpectation want;
  std::vector<std::uint16_t> owned;
  AlignedBytes bytes;
};

inline FrameExpectation SampleExpectation(Direction direction) {
  return {.epoch = Epoch(1, 7),
          .step = StepId{1000},
          .plan_digest = 0x1122334455667788u,
          .moe_layer = 3,
          .round = 258,
          .direction = direction,
          .source = Slot{5},
          .destination = Slot{127},
          .experts_owned = 0,
          .slots = 0,
          .rows_max = 16,
          .topk = 4};
}

inline FrameHeader HeaderFor(const FrameExpectation& want) {
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.source = static_cast<std::uint8_t>(want.source.value);
  header.destination = static_cast<std::uint8_t>(want.destination.value);
  header.direction = static_cast<std::uint16_t>(want.direction);
  header.term = want.epoch.term;
  header.epoch = want.epoch.number;
  header.step = want.step.value;
  header.plan_digest = want.plan_digest;
  header.moe_layer = static_cast<std::uint16_t>(want.moe_layer);
  header.round = static_cast<std::uint16_t>(want.round);
  return header;
}

// `slots` lists (row, expert); rows as in the contract.
inline Sample DispatchSample(std::vector<std::uint16_t> owned, std::vector<FrameSlot> slots) {
  Sample sample{SampleExpectation(Direction::kDispatch), std::move(owned), AlignedBytes(0)};
  const auto experts = static_cast<int>(sample.owned.size());
  const int rows = slots.empty() ? 0 : slots.back().row + 1;
  sample.want.experts_owned = experts;
  const auto count = static_cast<std::int64_t>(slots.size());
  AlignedBytes bytes(DispatchFrameBytes(kSampleShape, rows, count, experts));
  std::memset(bytes.span().data(), 0xcd,
              bytes.span().size());  // as an earlier frame might leave it
  const DispatchFrame frame = BindDispatch(kSampleShape, bytes.span(), rows, count, experts);
  *frame.header = HeaderFor(sample.want);
  frame.header->rows = static_cast<std::uint32_t>(rows);
  frame.header->slots = static_cast<std::uint32_t>(slots.size());
  frame.header->experts = static_cast<std::uint32_t>(experts);
  for (std::size_t e = 0; e < sample.owned.size(); ++e) {
    frame.counts[e] = 0;
    for (const FrameSlot& slot : slots) frame.counts[e] += slot.expert == sample.owned[e] ? 1 : 0;
  }
  for (std::size_t i = 0; i < slots.size(); ++i) frame.slots[i] = slots[i];
  for (int i = 0; i < rows * 64; ++i) frame.rows[i] = static_cast<std::byte>(i);
  SealFrame(bytes.span());
  return {sample.want, sample.owned, bytes};
}

inline Sample SendBackSample(int slots) {
  FrameExpectation want = SampleExpectation(Direction::kSendBack);
  want.slots = slots;
  AlignedBytes bytes(SendBackFrameBytes(kSampleShape, slots));
  std::memset(bytes.span().data(), 0xcd, bytes.span().size());
  const SendBackFrame frame = BindSendBack(kSampleShape, bytes.span(), slots);
  *frame.header = HeaderFor(want);
  frame.header->slots = static_cast<std::uint32_t>(slots);
  for (int i = 0; i < slots * 128; ++i) frame.answers[i] = static_cast<std::byte>(255 - i);
  SealFrame(bytes.span());
  return {want, {}, bytes};
}

inline absl::Status Verify(Sample& sample) {
  return sample.want.direction == Direction::kDispatch
             ? VerifyDispatch(kSampleShape, sample.want, sample.owned, sample.bytes.span())
             : VerifySendBack(kSampleShape, sample.want, sample.bytes.span());
}

}  // namespace conclave
