#include "exchange/frame.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"

namespace conclave {
namespace {

constexpr std::size_t kAlign = 64;
constexpr std::size_t Aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Lays parts one after another, each on the next 64-byte boundary. With a null base it only counts;
// otherwise it places the parts and, with `clear`, zeroes the gaps between them.
class Cursor {
 public:
  explicit Cursor(std::byte* base = nullptr, bool clear = false) : base_(base), clear_(clear) {}
  template <typename T>
  void Take(T*& part, std::size_t count) {
    if (base_ != nullptr) part = reinterpret_cast<T*>(base_ + offset_);
    const std::size_t end = offset_ + count * sizeof(T);
    const std::size_t next = Aligned(end);
    if (clear_) std::memset(base_ + end, 0, next - end);
    offset_ = next;
  }
  std::size_t bytes() const { return offset_; }

 private:
  std::byte* base_;
  bool clear_;
  std::size_t offset_ = 0;
};

struct Extent {
  std::size_t rows = 0;
  std::size_t slots = 0;
  std::size_t experts = 0;
};

// The layouts, each stated once.
void Describe(Cursor& cursor, DispatchFrame& self, const FrameShape& shape, const Extent& extent) {
  cursor.Take(self.header, 1);
  cursor.Take(self.counts, extent.experts);
  cursor.Take(self.slots, extent.slots);
  cursor.Take(self.rows, extent.rows * static_cast<std::size_t>(shape.row_bytes));
}

void Describe(Cursor& cursor, SendBackFrame& self, const FrameShape& shape, const Extent& extent) {
  cursor.Take(self.header, 1);
  cursor.Take(self.answers, extent.slots * static_cast<std::size_t>(shape.answer_bytes));
}

template <typename Frame>
std::size_t SizeOf(const FrameShape& shape, const Extent& extent) {
  Cursor counting;
  Frame frame{};
  Describe(counting, frame, shape, extent);
  return counting.bytes();
}

template <typename Frame>
Frame Bind(const FrameShape& shape, std::span<std::byte> bytes, const Extent& extent) {
  CONCLAVE_CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % kAlign == 0, "frame at %p",
                 static_cast<void*>(bytes.data()));
  const std::size_t needed = SizeOf<Frame>(shape, extent);
  CONCLAVE_CHECK(needed <= bytes.size(), "%zu bytes of %zu", needed, bytes.size());
  Cursor placing(bytes.data());
  Frame frame{};
  Describe(placing, frame, shape, extent);
  return frame;
}

Extent ExtentOf(const FrameShape& shape, std::int64_t rows, std::int64_t slots, int experts) {
  CONCLAVE_CHECK(shape.row_bytes >= 0 && shape.row_bytes % kAlign == 0 && shape.answer_bytes >= 0 &&
                     shape.answer_bytes % kAlign == 0,
                 "row_bytes %lld answer_bytes %lld", static_cast<long long>(shape.row_bytes),
                 static_cast<long long>(shape.answer_bytes));
  CONCLAVE_CHECK(rows >= 0 && slots >= 0 && experts >= 0, "rows %lld slots %lld experts %d",
                 static_cast<long long>(rows), static_cast<long long>(slots), experts);
  return {static_cast<std::size_t>(rows), static_cast<std::size_t>(slots),
          static_cast<std::size_t>(experts)};
}

// Over every byte of the frame but the checksum's own, which are the header's last.
std::uint64_t ChecksumOf(std::span<const std::byte> frame) {
  constexpr std::size_t kField = offsetof(FrameHeader, payload_checksum);
  static_assert(kField + sizeof(std::uint64_t) == sizeof(FrameHeader));
  return HashBytes(frame.subspan(sizeof(FrameHeader)), HashBytes(frame.first(kField)));
}

// Says which field of whose frame is wrong: "frame from slot 3: epoch is 8, expected 7".
class Judge {
 public:
  explicit Judge(Slot source) : source_(source) {}
  absl::Status Equal(const char* field, std::uint64_t came, std::uint64_t expected) const {
    if (came == expected) return absl::OkStatus();
    return Wrong(field, " is ", came, ", expected ", expected);
  }
  absl::Status AtMost(const char* field, std::uint64_t came, std::uint64_t limit) const {
    if (came <= limit) return absl::OkStatus();
    return Wrong(field, " is ", came, ", expected at most ", limit);
  }
  template <typename... Parts>
  absl::Status Wrong(const Parts&... parts) const {
    return absl::DataLossError(absl::StrCat("frame from slot ", source_.value, ": ", parts...));
  }

 private:
  Slot source_;
};

// What both directions have in common: everything that can be judged before the counts are trusted.
absl::Status VerifyHeader(const Judge& judge, const FrameExpectation& want,
                          const FrameHeader& header) {
  RETURN_IF_ERROR(judge.Equal("magic", header.magic, kFrameMagic));
  RETURN_IF_ERROR(judge.Equal("term", header.term, want.epoch.term));
  RETURN_IF_ERROR(judge.Equal("epoch", header.epoch, want.epoch.number));
  RETURN_IF_ERROR(
      judge.Equal("source", header.source, static_cast<std::uint64_t>(want.source.value)));
  RETURN_IF_ERROR(judge.Equal("destination", header.destination,
                              static_cast<std::uint64_t>(want.destination.value)));
  RETURN_IF_ERROR(judge.Equal("step", header.step, want.step.value));
  RETURN_IF_ERROR(judge.Equal("plan_digest", header.plan_digest, want.plan_digest));
  RETURN_IF_ERROR(
      judge.Equal("moe_layer", header.moe_layer, static_cast<std::uint64_t>(want.moe_layer)));
  RETURN_IF_ERROR(judge.Equal("round", header.round, static_cast<std::uint64_t>(want.round)));
  return judge.Equal("direction", header.direction, static_cast<std::uint64_t>(want.direction));
}

absl::StatusOr<FrameHeader> ReadHeader(const Judge& judge, const FrameExpectation& want,
                                       std::span<const std::byte> frame) {
  if (frame.size() < Aligned(sizeof(FrameHeader))) {
    return judge.Wrong("size is ", frame.size(), " bytes, expected at least ",
                       Aligned(sizeof(FrameHeader)));
  }
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  RETURN_IF_ERROR(VerifyHeader(judge, want, header));
  RETURN_IF_ERROR(judge.Equal("frame_bytes", header.frame_bytes, frame.size()));
  return header;
}

// Rows 0, 1, 2, … without a gap, each with 1..topk different experts of the receiver; counts agree.
absl::Status VerifySlots(const Judge& judge, const FrameExpectation& want,
                         std::span<const std::uint16_t> owned, const DispatchFrame& frame) {
  const std::span<const FrameSlot> slots(frame.slots, frame.header->slots);
  std::array<std::uint32_t, kExpertsMax> counts{};
  std::size_t row_begin = 0;  // first slot of the row at hand
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const FrameSlot slot = slots[i];
    const std::size_t previous = i == 0 ? 0 : slots[i - 1].row;
    if (slot.row != previous && (i == 0 || slot.row != previous + 1)) {
      return judge.Wrong("slots[", i, "].row is ", slot.row, " after row ", previous);
    }
    if (slot.row != previous) row_begin = i;
    if (i - row_begin >= static_cast<std::size_t>(want.topk)) {
      return judge.Wrong("slots: row ", slot.row, " has more than ", want.topk, " choices");
    }
    for (std::size_t j = row_begin; j < i; ++j) {
      if (slots[j].expert != slot.expert) continue;
      return judge.Wrong("slots: row ", slot.row, " names expert ", slot.expert, " twice");
    }
    const auto found = std::ranges::lower_bound(owned, slot.expert);
    if (found == owned.end() || *found != slot.expert) {
      return judge.Wrong("slots[", i, "].expert is ", slot.expert, ", which is not served here");
    }
    ++counts[static_cast<std::size_t>(found - owned.begin())];
  }
  const std::size_t rows = slots.empty() ? 0 : std::size_t{slots.back().row} + 1;
  RETURN_IF_ERROR(judge.Equal("rows", frame.header->rows, rows));
  for (std::size_t e = 0; e < owned.size(); ++e) {
    if (frame.counts[e] == counts[e]) continue;
    return judge.Wrong("counts of expert ", owned[e], " is ", frame.counts[e], ", its slots are ",
                       counts[e]);
  }
  return absl::OkStatus();
}

absl::Status VerifyChecksum(const Judge& judge, const FrameHeader& header,
                            std::span<const std::byte> frame) {
  return judge.Equal("payload_checksum", header.payload_checksum, ChecksumOf(frame));
}

}  // namespace

std::size_t DispatchFrameBytes(const FrameShape& shape, std::int64_t rows, std::int64_t slots,
                               int experts) {
  return SizeOf<DispatchFrame>(shape, ExtentOf(shape, rows, slots, experts));
}

DispatchFrame BindDispatch(const FrameShape& shape, std::span<std::byte> bytes, std::int64_t rows,
                           std::int64_t slots, int experts) {
  return Bind<DispatchFrame>(shape, bytes, ExtentOf(shape, rows, slots, experts));
}

std::size_t SendBackFrameBytes(const FrameShape& shape, std::int64_t slots) {
  return SizeOf<SendBackFrame>(shape, ExtentOf(shape, 0, slots, 0));
}

SendBackFrame BindSendBack(const FrameShape& shape, std::span<std::byte> bytes,
                           std::int64_t slots) {
  return Bind<SendBackFrame>(shape, bytes, ExtentOf(shape, 0, slots, 0));
}

void SealFrame(std::span<std::byte> frame) {
  CONCLAVE_CHECK(frame.size() >= Aligned(sizeof(FrameHeader)), "%zu bytes", frame.size());
  auto& header = *reinterpret_cast<FrameHeader*>(frame.data());
  // The gaps in front of the rows: what an earlier frame left there must not travel. Row and answer
  // bytes are whole multiples of the alignment, so they can be left out (shape of no bytes).
  Cursor clearing(frame.data(), /*clear=*/true);
  if (header.direction == static_cast<std::uint8_t>(Direction::kDispatch)) {
    const Extent extent{.rows = 0, .slots = header.slots, .experts = header.experts};
    CONCLAVE_CHECK(SizeOf<DispatchFrame>({}, extent) <= frame.size(), "%zu bytes", frame.size());
    DispatchFrame parts{};
    Describe(clearing, parts, {}, extent);
  } else {
    SendBackFrame parts{};
    Describe(clearing, parts, {}, {});
  }
  header.frame_bytes = frame.size();
  header.payload_checksum = ChecksumOf(frame);
}

absl::Status VerifyDispatch(const FrameShape& shape, const FrameExpectation& want,
                            std::span<const std::uint16_t> owned, std::span<std::byte> frame) {
  CONCLAVE_CHECK(owned.size() <= static_cast<std::size_t>(kExpertsMax) &&
                     owned.size() == static_cast<std::size_t>(want.experts_owned),
                 "%zu experts owned, %d expected", owned.size(), want.experts_owned);
  CONCLAVE_CHECK(want.rows_max >= 0 && want.rows_max <= kWorkerRowsMax, "rows_max %lld",
                 static_cast<long long>(want.rows_max));
  const Judge judge(want.source);
  ASSIGN_OR_RETURN(const FrameHeader header, ReadHeader(judge, want, frame));
  RETURN_IF_ERROR(judge.Equal("experts", header.experts, owned.size()));
  RETURN_IF_ERROR(judge.AtMost("rows", header.rows, static_cast<std::uint64_t>(want.rows_max)));
  RETURN_IF_ERROR(judge.AtMost("slots", header.slots,
                               std::uint64_t{header.rows} * static_cast<std::uint64_t>(want.topk)));
  RETURN_IF_ERROR(judge.Equal(
      "size", frame.size(),
      DispatchFrameBytes(shape, header.rows, header.slots, static_cast<int>(header.experts))));
  RETURN_IF_ERROR(VerifyChecksum(judge, header, frame));
  return VerifySlots(judge, want, owned,
                     BindDispatch(shape, frame, header.rows, header.slots, want.experts_owned));
}

absl::Status VerifySendBack(const FrameShape& shape, const FrameExpectation& want,
                            std::span<std::byte> frame) {
  CONCLAVE_CHECK(want.slots >= 0 && want.slots <= std::int64_t{kWorkerRowsMax} * kTopkMax,
                 "slots %lld", static_cast<long long>(want.slots));
  const Judge judge(want.source);
  ASSIGN_OR_RETURN(const FrameHeader header, ReadHeader(judge, want, frame));
  RETURN_IF_ERROR(judge.Equal("rows", header.rows, 0));
  RETURN_IF_ERROR(judge.Equal("experts", header.experts, 0));
  RETURN_IF_ERROR(judge.Equal("slots", header.slots, static_cast<std::uint64_t>(want.slots)));
  RETURN_IF_ERROR(judge.Equal("size", frame.size(), SendBackFrameBytes(shape, want.slots)));
  return VerifyChecksum(judge, header, frame);
}

}  // namespace conclave
