// The plan: a walk through time with what is known of each place at that time.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/philox.h"
#include "torture/deed.h"

namespace conclave::torture {
namespace {

constexpr Micros kMs = 1000;

struct Place {
  bool running = false;
  Micros busy_until = 0;  // before that, neither whole nor free
};

class Planner {
 public:
  explicit Planner(const PlanArgs& args)
      : args_(args), rng_(args.seed, /*stream=*/1), places_(Count(args.workers_max)) {
    for (std::size_t i = 0; i < Count(args.workers); ++i) places_[i].running = true;
  }

  std::vector<Deed> Run() {
    std::vector<Deed> deeds;
    for (now_ = args_.first + Pause(); now_ < args_.last; now_ += Pause()) {
      if (std::optional<Deed> deed = Next()) deeds.push_back(*deed);
    }
    return deeds;
  }

 private:
  static std::size_t Count(int n) { return static_cast<std::size_t>(n); }
  Micros Between(Micros low, Micros high) {
    return low + static_cast<Micros>(rng_.Below(static_cast<std::uint64_t>(high - low + 1)));
  }
  Micros Pause() {
    const double drawn = -std::log(1.0 - rng_.Uniform()) * static_cast<double>(args_.pause);
    return static_cast<Micros>(drawn) + 1;
  }
  bool Whole(const Place& place) const { return place.running && place.busy_until <= now_; }
  bool Empty(const Place& place) const { return !place.running && place.busy_until <= now_; }
  int CountWhole() const {
    return static_cast<int>(std::ranges::count_if(places_, [&](auto& p) { return Whole(p); }));
  }
  int CountRunning() const {
    return static_cast<int>(std::ranges::count_if(places_, [](auto& p) { return p.running; }));
  }
  bool Wanted(DeedKind kind) const {
    return std::ranges::find(args_.kinds, kind) != args_.kinds.end();
  }
  bool Possible(DeedKind kind) const {
    if (!Wanted(kind)) return false;
    switch (kind) {
      case DeedKind::kCoordinator:
        return now_ >= coordinator_until_ && now_ >= drains_until_;
      case DeedKind::kDrain:
        return now_ >= coordinator_until_ && CountWhole() > 1;
      case DeedKind::kPartition:
      case DeedKind::kWedge:
      case DeedKind::kHang:
      case DeedKind::kKill:
        return CountWhole() > 1;
      case DeedKind::kJoin:
        return std::ranges::any_of(places_, [&](auto& p) { return Empty(p); });
      case DeedKind::kBadJoin:
        return true;
    }
    return false;
  }

  std::optional<Deed> Next() {
    std::vector<DeedKind> possible;
    for (const DeedKind kind : args_.kinds) {
      if (Possible(kind)) possible.push_back(kind);
    }
    if (possible.empty()) return std::nullopt;
    DeedKind kind = possible[rng_.Below(possible.size())];
    // Every second time the size of the cluster is pulled back to where it began.
    const bool pull = rng_.Below(2) == 0;
    const int excess = CountRunning() - args_.workers;
    if (pull && kind == DeedKind::kDrain && excess < 0 && Possible(DeedKind::kJoin)) {
      kind = DeedKind::kJoin;
    } else if (pull && kind == DeedKind::kJoin && excess > 0 && Possible(DeedKind::kDrain)) {
      kind = DeedKind::kDrain;
    }
    return Do(kind);
  }

  // As many short ones, which a member survives, as long ones, which make it a newcomer: what
  // computes for long may only be slow, so a wedge is given more time.
  Micros DrawStandstill(DeedKind kind) {
    if (rng_.Below(2) == 0) return Between(200 * kMs, 600 * kMs);
    return Between(600 * kMs, kind == DeedKind::kWedge ? 8000 * kMs : 3000 * kMs);
  }

  std::size_t DrawPlace(bool running) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (running ? Whole(places_[i]) : Empty(places_[i])) found.push_back(i);
    }
    return found[rng_.Below(found.size())];
  }

  Deed Do(DeedKind kind) {
    Deed deed{.kind = kind, .at = now_};
    if (kind == DeedKind::kCoordinator) {
      deed.length = Between(0, 500 * kMs);
      coordinator_until_ = now_ + deed.length + 2 * kSettle;
      return deed;
    }
    if (kind == DeedKind::kBadJoin) {
      deed.variant = static_cast<int>(rng_.Below(kBadVariants));
      deed.length = Between(20 * kMs, 800 * kMs);
      return deed;
    }
    const std::size_t chosen = DrawPlace(kind != DeedKind::kJoin);
    Place& place = places_[chosen];
    deed.place = static_cast<int>(chosen);
    if (kind == DeedKind::kJoin) {
      place.running = true;
    } else if (kind == DeedKind::kKill) {
      deed.length = Between(50 * kMs, 2000 * kMs);
    } else if (kind == DeedKind::kDrain) {
      drains_until_ = now_ + kSettle;
      place.running = !Wanted(DeedKind::kJoin);
      if (place.running) deed.length = Between(50 * kMs, 2000 * kMs);
    } else {
      deed.length = DrawStandstill(kind);
      if (kind == DeedKind::kPartition)
        deed.variant = static_cast<int>(rng_.Below(kPartitionVariants));
    }
    place.busy_until = now_ + deed.length + kSettle;
    return deed;
  }

  const PlanArgs& args_;
  Rng rng_;
  std::vector<Place> places_;
  Micros now_ = 0;
  Micros coordinator_until_ = 0;  // it is down, or its workers are coming back
  Micros drains_until_ = 0;       // somebody is leaving
};

}  // namespace

std::vector<Deed> PlanDeeds(const PlanArgs& args) { return Planner(args).Run(); }

}  // namespace conclave::torture
