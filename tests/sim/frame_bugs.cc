#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "exchange/frame.h"
#include "kernels/activations.h"
#include "kernels/aligned_bytes.h"
#include "kernels/ref_set.h"
#include "tests/sim/bugs.h"

namespace conclave::sim {
namespace {

constexpr std::size_t kAnswerBytes = 64;  // of the toy's 16 floats

// Frames are sealed again: no checksum shows what was done to them.
class FrameBug : public Tamper {
 public:
  void OfFrame(std::span<std::byte> frame) override {
    FrameHeader header;
    std::memcpy(&header, frame.data(), sizeof header);
    AlignedBytes aligned(frame.size());
    const std::span<std::byte> copy(aligned.data(), frame.size());
    std::ranges::copy(frame, copy.begin());
    if (!Bend(header, copy)) return;
    std::memcpy(copy.data(), &header, sizeof header);
    SealFrame(copy);
    std::ranges::copy(copy, frame.begin());
  }

 protected:
  virtual bool Bend(FrameHeader& header, std::span<std::byte> frame) = 0;
};

bool IsSendBack(const FrameHeader& header) {
  return header.direction == static_cast<std::uint16_t>(Direction::kSendBack);
}

// The payload that the same two workers exchanged a step ago, under today's header.
class OldFrame final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    std::vector<std::byte>& old = old_[{header.source * 256 + header.destination,
                                        header.direction * 256 + header.moe_layer, frame.size()}];
    std::vector<std::byte> fresh(frame.begin(), frame.end());
    const bool use = header.step % 5 == 0 && IsSendBack(header) && old.size() == frame.size();
    if (use) std::copy(old.begin() + sizeof(FrameHeader), old.end(), frame.begin() + sizeof header);
    old = std::move(fresh);
    return use;
  }
  std::map<std::tuple<int, std::uint32_t, std::size_t>, std::vector<std::byte>> old_;
};

// Two answers change places: each row gets what another expert said.
class WrongExpert final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    if (!IsSendBack(header) || header.slots < 2) return false;
    std::byte* first = frame.data() + sizeof header;
    std::swap_ranges(first, first + kAnswerBytes, first + kAnswerBytes);
    return true;
  }
};

class LostAnswer final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    if (!IsSendBack(header) || header.slots == 0) return false;
    std::memset(frame.data() + frame.size() - kAnswerBytes, 0, kAnswerBytes);
    return true;
  }
};

class SwappedRows final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    if (IsSendBack(header) || header.rows < 2) return false;
    const FrameShape shape{.row_bytes = ActivationRowBytes(16, kRefKernels.activation),
                           .answer_bytes = kAnswerBytes};
    const DispatchFrame bound =
        BindDispatch(shape, frame, header.rows, header.slots, static_cast<int>(header.experts));
    std::swap_ranges(bound.rows, bound.rows + shape.row_bytes, bound.rows + shape.row_bytes);
    return true;
  }
};

// What another round of the same layer was answered, under this round's header: as if a worker had
// combined one round twice and lost another.
class OtherRoundsAnswers final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    if (!IsSendBack(header)) return false;
    std::vector<std::byte>& last = last_[{header.source * 256 + header.destination, header.step,
                                          header.moe_layer}];
    std::vector<std::byte> fresh(frame.begin() + sizeof header, frame.end());
    const bool use = header.round > 0 && last.size() == fresh.size() && last != fresh;
    if (use) std::ranges::copy(last, frame.begin() + sizeof header);
    last = std::move(fresh);
    return use;
  }
  std::map<std::tuple<int, std::uint64_t, int>, std::vector<std::byte>> last_;
};

// A round after the first is never answered: its rows keep what they had.
class LostRound final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte> frame) override {
    if (!IsSendBack(header) || header.round == 0 || header.slots == 0) return false;
    std::ranges::fill(frame.subspan(sizeof header), std::byte{0});
    return true;
  }
};

class OtherRound final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte>) override {
    return header.round > 0 && (--header.round, true);
  }
};

class FlippedBit final : public Tamper {
  void OfFrame(std::span<std::byte> frame) override {
    if (++frames_ % 50 == 0) frame.back() ^= std::byte{1};
  }
  int frames_ = 0;
};

class OtherStep final : public FrameBug {
  bool Bend(FrameHeader& header, std::span<std::byte>) override {
    return header.step % 5 == 0 && (--header.step, true);
  }
};

template <typename Bug>
PlantedBug Plant(std::string name, std::string scenario, int seeds) {
  return {std::move(name), std::move(scenario), seeds,
          []() -> std::unique_ptr<Tamper> { return std::make_unique<Bug>(); }};
}

}  // namespace

std::vector<PlantedBug> FrameBugs() {
  std::vector<PlantedBug> bugs;
  bugs.push_back(Plant<OldFrame>("a frame of an earlier step", "wide", 10));
  bugs.push_back(Plant<WrongExpert>("answers of the wrong expert", "wide", 5));
  bugs.push_back(Plant<LostAnswer>("an answer is lost", "wide", 5));
  bugs.push_back(Plant<SwappedRows>("two rows change places", "wide", 5));
  bugs.push_back(Plant<OtherRoundsAnswers>("a round is combined twice", "wide", 20));
  bugs.push_back(Plant<LostRound>("a round is lost", "wide", 20));
  bugs.push_back(Plant<OtherRound>("a frame says another round", "wide", 20));
  bugs.push_back(Plant<FlippedBit>("a bit of a frame flips", "wide", 5));
  bugs.push_back(Plant<OtherStep>("a frame says another step", "wide", 5));
  return bugs;
}

}  // namespace conclave::sim
