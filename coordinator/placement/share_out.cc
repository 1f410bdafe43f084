#include "coordinator/placement/share_out.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace conclave {
namespace {

// Times that differ by no more than this part of the layer's mean are equal enough.
constexpr float kEven = 0.02f;

using Times = std::array<float, kSlotsMax>;

struct Split {
  ExpertOwners& owners;
  std::size_t count;
  float unit;  // the weight of one home's rows for this expert
  int homes;   // that own no copy
};

Split SplitOf(ExpertOwners& owners, float weight, std::span<const HomeWorker> workers, int homes) {
  Split split{.owners = owners,
              .count = owners.size(),
              .unit = weight / static_cast<float>(homes),
              .homes = homes};
  for (std::size_t o = 0; o < split.count; ++o) split.homes -= workers[owners.slots[o]].home ? 1 : 0;
  return split;
}

// Each serves as many homes as another, itself included. What is left over goes to those whose turn
// it is.
void SplitEvenly(const Split& split, std::span<const HomeWorker> workers, int homes_all,
                 std::size_t turn) {
  const int count = static_cast<int>(split.count);
  const int each = homes_all / count;
  int left = split.homes;
  for (const int target : {each, each + 1}) {
    for (std::size_t i = 0; i < split.count && left > 0; ++i) {
      const std::size_t o = (i + turn) % split.count;
      const int own = workers[split.owners.slots[o]].home ? 1 : 0;
      const int more = std::clamp(target - own - split.owners.shares[o], 0, left);
      split.owners.shares[o] = static_cast<std::uint8_t>(split.owners.shares[o] + more);
      left -= more;
    }
  }
}

void AddTimes(const Split& split, std::span<const HomeWorker> workers, float sign, Times& times) {
  for (std::size_t o = 0; o < split.count; ++o) {
    const std::uint8_t w = split.owners.slots[o];
    times[w] += sign * split.unit * split.owners.shares[o] * workers[w].slowness;
  }
}

// Fills the owners up to one level, as water does, in whole homes. `times` are without this
// expert's shares.
void Level(const Split& split, std::span<const HomeWorker> workers, const Times& times) {
  std::array<std::size_t, kReplicasMax> order{};
  for (std::size_t o = 0; o < split.count; ++o) order[o] = o;
  const auto time = [&](std::size_t o) { return times[split.owners.slots[o]]; };
  const auto speed = [&](std::size_t o) { return 1 / workers[split.owners.slots[o]].slowness; };
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(split.count),
            [&](std::size_t a, std::size_t b) { return time(a) < time(b); });
  float level = 0, filled = 0, speeds = 0;  // filled: speed * time of the owners below the level
  for (std::size_t i = 0; i < split.count; ++i) {
    if (i > 0 && level <= time(order[i])) break;
    filled += speed(order[i]) * time(order[i]);
    speeds += speed(order[i]);
    level = (filled + split.unit * static_cast<float>(split.homes)) / speeds;
  }
  int left = split.homes;
  for (std::size_t o = 0; o < split.count; ++o) {
    const float wanted = std::max(0.0f, level - time(o)) * speed(o) / split.unit;
    const int whole = std::min(left, static_cast<int>(wanted));
    split.owners.shares[o] = static_cast<std::uint8_t>(whole);
    left -= whole;
  }
  for (; left > 0; --left) {
    std::size_t best = 0;
    const auto end = [&](std::size_t o) {
      return time(o) + split.unit * static_cast<float>(split.owners.shares[o] + 1) / speed(o);
    };
    for (std::size_t o = 1; o < split.count; ++o) best = end(o) < end(best) ? o : best;
    ++split.owners.shares[best];
  }
}

bool Uneven(const Split& split, const Times& times, float slack) {
  float least = times[split.owners.slots[0]], most = least;
  for (std::size_t o = 1; o < split.count; ++o) {
    least = std::min(least, times[split.owners.slots[o]]);
    most = std::max(most, times[split.owners.slots[o]]);
  }
  return most - least > split.unit + slack;
}

}  // namespace

void ShareOut(std::span<ExpertOwners> experts, std::span<const float> weights,
              std::span<const HomeWorker> workers, int layer) {
  int homes = 0;
  float speeds = 0, weight_all = 0;
  for (const HomeWorker& worker : workers) {
    homes += worker.home ? 1 : 0;
    speeds += 1 / worker.slowness;
  }
  Times times{};
  bool several = false;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    ExpertOwners& owners = experts[e];
    owners.shares = {};
    weight_all += weights[e];
    if (owners.slots[1] == kNoOwner) {
      times[owners.slots[0]] += weights[e] * workers[owners.slots[0]].slowness;
      continue;
    }
    several = true;
    if (homes == 0) continue;
    const Split split = SplitOf(owners, weights[e], workers, homes);
    SplitEvenly(split, workers, homes, e + static_cast<std::size_t>(layer));
    for (std::size_t o = 0; o < split.count; ++o) {
      const HomeWorker& worker = workers[owners.slots[o]];
      const int served = owners.shares[o] + (worker.home ? 1 : 0);
      times[owners.slots[o]] += split.unit * static_cast<float>(served) * worker.slowness;
    }
  }
  if (!several || homes == 0) return;
  const float slack = kEven * weight_all / speeds;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (experts[e].slots[1] == kNoOwner) continue;
    const Split split = SplitOf(experts[e], weights[e], workers, homes);
    if (split.homes == 0 || !Uneven(split, times, slack)) continue;
    AddTimes(split, workers, -1, times);
    Level(split, workers, times);
    AddTimes(split, workers, 1, times);
  }
}

}  // namespace conclave
