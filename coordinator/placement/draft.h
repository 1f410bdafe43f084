// A placement in the making: who owns what so far, who has room, and, for the layer at hand, how
// long each worker will take. Workers are counted 0..workers-1 here, in the order of the ask.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/placement/objective.h"

namespace conclave {

// The lowest of up to kSlotsMax keys; a change costs seven comparisons.
class LowestKey {
 public:
  static constexpr std::uint64_t kOut = ~std::uint64_t{0};
  void Reset(std::span<const std::uint64_t> keys);
  void Set(int at, std::uint64_t key);
  std::uint64_t lowest() const { return tree_[1]; }

 private:
  std::size_t leaves_ = 1;
  std::array<std::uint64_t, 2 * kSlotsMax> tree_;
};

// Floats that are not negative order as their bits do.
inline std::uint64_t TimeKey(float time) {
  return std::bit_cast<std::uint32_t>(std::max(time, 0.0f));
}

class PlacementDraft {
 public:
  // Takes over from ask.before every owner that is among the workers and has room.
  explicit PlacementDraft(const PlacementAsk& ask);

  const PlacementAsk& ask() const { return ask_; }
  int workers() const { return static_cast<int>(ask_.workers.size()); }
  // Owners of a layer's experts; slots are indices of workers, in no order.
  std::span<ExpertOwners> layer(int layer);
  std::span<const float> weights(int layer) const;
  std::span<const float> weights() const { return weights_; }  // of all layers
  float slowness(int worker) const { return slowness_[static_cast<std::size_t>(worker)]; }
  int held(int worker) const { return held_[static_cast<std::size_t>(worker)]; }
  // Copies that it can take besides those it holds.
  int room(int worker) const {
    return capacity_[static_cast<std::size_t>(worker)] - held(worker);
  }
  bool limited(int worker) const {  // by memory
    return capacity_[static_cast<std::size_t>(worker)] < ask_.moe_layers * ask_.experts;
  }
  // Adding and taking away keeps count of room; neither may double nor miss.
  void Add(ExpertOwners& owners, int worker);
  void Remove(ExpertOwners& owners, int worker);

  // Divides the rows of homes among the owners of each expert and returns what was made.
  Placement Finish();

 private:
  const PlacementAsk& ask_;
  std::vector<float> weights_;
  std::vector<ExpertOwners> all_;
  std::array<float, kSlotsMax> slowness_{};
  std::array<std::int32_t, kSlotsMax> held_{};
  std::array<std::int32_t, kSlotsMax> capacity_{};
};

// How long each worker takes in one layer, each copy of an expert counting an equal part of it.
class LayerTimes {
 public:
  enum class Ranks : std::uint8_t { kNone, kLeast, kLeastAndMost };  // what is asked for
  // `copies_min`: an expert with fewer copies will have so many.
  LayerTimes(PlacementDraft& draft, int layer, int copies_min, Ranks ranks);
  LayerTimes(const LayerTimes&) = delete;

  double time(int worker) const { return time_[static_cast<std::size_t>(worker)]; }
  double mean() const { return mean_; }
  double slowest() const { return *std::ranges::max_element(time_); }
  void Add(int worker, float weight);  // weight may be negative
  // Of those that may take more: the one with the least time, then fewest copies, then the lowest
  // index. Nothing: nobody may.
  std::optional<int> Least() const {
    if (least_.lowest() == LowestKey::kOut) return std::nullopt;
    return static_cast<int>(least_.lowest() & (kSlotsMax - 1));
  }
  void Bar(int worker);    // it may take no more
  void Admit(int worker);  // it may again
  // Of those that are not settled: the one with the most time, then the lowest index.
  std::optional<int> Most() const;
  void Settle(int worker);  // nothing more can be taken from it
  // `takers` take from the others, and nobody from them. kLeastAndMost only.
  void OnlyInto(std::span<const int> takers);

 private:
  std::uint64_t LeastKey(std::size_t at) const;
  std::uint64_t MostKey(std::size_t at) const;
  void Rank();

  const PlacementDraft& draft_;
  const Ranks ranks_;
  std::array<float, kSlotsMax> time_{};
  std::array<bool, kSlotsMax> barred_{};
  std::array<bool, kSlotsMax> settled_{};
  double mean_ = 0;
  LowestKey least_, most_;
};

// Room for every expert once? FailedPrecondition has both sizes. Costs a look at each worker.
absl::Status CheckRoom(const PlacementAsk& ask);

}  // namespace conclave
