// The layout of a frame, described once: writer and reader run the same lines.
//
// A frame is a header and a payload, little endian; every part is 64-byte aligned from its start.
//
//   dispatch   header   FrameHeader
//              counts   [experts]      u32 per expert that the receiver owns, rising expert id
//              slots    [assignments]  {u16 row in this frame, u16 expert}
//              rows     [rows]         activation rows, zero-padded
//   sendback   header   FrameHeader
//              answers  [assignments]  float rows [hidden], in the order of dispatch
//
// Counts travel with the data, so there is no second round trip. A row goes to a worker once, however
// many of its experts are placed there.
//
// "Say it on both sides of the wire": the sender states totals and the plan's digest, the receiver
// recomputes and compares before it uses a byte. The caller maps any error to "this step is
// broken".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

enum class Direction : std::uint8_t { kDispatch = 0, kSendBack = 1 };

struct FrameHeader {
  std::uint32_t magic;       // kFrameMagic: names the layout's version
  std::uint8_t source;       // worker id
  std::uint8_t destination;  // worker id
  std::uint16_t direction;
  std::uint32_t term;   // of the epoch
  std::uint32_t epoch;  // its number
  std::uint64_t step;
  std::uint64_t plan_digest;
  std::uint16_t moe_layer;
  std::uint16_t round;  // of the layer's exchange, from 0: protocol/rounds.h
  std::uint32_t rows;   // 0 in a sendback
  std::uint32_t slots;
  std::uint32_t experts;           // entries of `counts`; 0 in a sendback
  std::uint64_t frame_bytes;       // header included
  std::uint64_t payload_checksum;  // of every other byte of the frame, the header's included
};
static_assert(sizeof(FrameHeader) == 64);
inline constexpr std::uint32_t kFrameMagic = 0x33784543;  // "CEx3"

struct FrameSlot {
  std::uint16_t row;     // index among the rows of this frame
  std::uint16_t expert;  // id in the layer
};

// Sizes that sender and receiver know beforehand. Both are multiples of 64.
struct FrameShape {
  std::int64_t row_bytes;     // ActivationRowBytes(hidden)
  std::int64_t answer_bytes;  // hidden * 4, rounded up to 64
};

// What the receiver expects; any difference is an error that names the field.
struct FrameExpectation {
  Epoch epoch;
  StepId step;
  std::uint64_t plan_digest;
  int moe_layer;
  int round;
  Direction direction;
  Slot source;
  Slot destination;
  int experts_owned;      // dispatch: entries of counts
  std::int64_t slots;     // sendback: how many answers were requested
  std::int64_t rows_max;  // dispatch: more is refused
  int topk;
};

struct DispatchFrame {
  FrameHeader* header;
  std::uint32_t* counts;
  FrameSlot* slots;
  std::byte* rows;
};
struct SendBackFrame {
  FrameHeader* header;
  std::byte* answers;
};

std::size_t DispatchFrameBytes(const FrameShape& shape, std::int64_t rows, std::int64_t slots,
                               int experts);
DispatchFrame BindDispatch(const FrameShape& shape, std::span<std::byte> bytes, std::int64_t rows,
                           std::int64_t slots, int experts);
std::size_t SendBackFrameBytes(const FrameShape& shape, std::int64_t slots);
SendBackFrame BindSendBack(const FrameShape& shape, std::span<std::byte> bytes, std::int64_t slots);

// Fills frame_bytes and the checksum once everything else is written, and zeroes the gaps between
// the parts, so that equal contents are equal bytes. `frame` is exactly the frame.
void SealFrame(std::span<std::byte> frame);

// Checks an arrived frame completely: its sizes, header fields against the expectation, checksum,
// that every assignment's row and expert is in range and in the order in which senders write them,
// and that the counts equal the assignments. `owned` has the receiver's experts of this layer in
// rising order (dispatch only).
absl::Status VerifyDispatch(const FrameShape& shape, const FrameExpectation& want,
                            std::span<const std::uint16_t> owned, std::span<std::byte> frame);
absl::Status VerifySendBack(const FrameShape& shape, const FrameExpectation& want,
                            std::span<std::byte> frame);

}  // namespace conclave
