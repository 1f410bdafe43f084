#include "coordinator/suspects.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace conclave {
namespace {

// Why its compute thread stands still, as far as one can tell; empty when it does not.
std::string Wedged(const Pulse& pulse, const SuspectLimits& limits, Micros now) {
  const Heartbeat& heart = pulse.heartbeat;
  if (!heart.busy) return "";
  if (limits.serving && heart.exchange > 0) {
    const Micros still = now - pulse.looked;
    if (still <= limits.link) return "";
    return absl::StrCat("it is in an exchange and has not looked for frames for ", still / 1000,
                        " ms");
  }
  const Micros still = now - pulse.changed;
  if (still <= limits.wedge) return "";
  return absl::StrCat("it has a step to run and made no progress for ", still / 1000, " ms");
}

// Whether `peer` must have sent its frame of the exchange that `waiter` is in.
bool HasSent(const Pulse& peer, const Pulse& waiter) {
  if (peer.heartbeat.exchange > 0) return peer.heartbeat.exchange >= waiter.heartbeat.exchange;
  return peer.answered && !waiter.answered;
}

std::vector<BrokenLink> BrokenLinks(std::span<const Pulse> pulses, const SuspectLimits& limits,
                                    Micros now) {
  std::vector<BrokenLink> links;
  for (const Pulse& waiter : pulses) {
    if (waiter.heartbeat.epoch != limits.epoch || waiter.heartbeat.exchange == 0) continue;
    if (now - waiter.looked > limits.link / 2) continue;  // it would not see a frame that is there
    for (const Pulse& peer : pulses) {
      if (peer.slot == waiter.slot || !waiter.heartbeat.waits_for.Has(peer.slot)) continue;
      if (peer.heartbeat.epoch != limits.epoch || !HasSent(peer, waiter)) continue;
      links.push_back({.from = peer.slot, .to = waiter.slot});
    }
  }
  return links;
}

bool Touches(const BrokenLink& link, Slot slot) { return link.from == slot || link.to == slot; }

std::string Describe(std::span<const BrokenLink> links, Slot slot) {
  std::string text;
  int named = 0;
  for (const BrokenLink& link : links) {
    if (!Touches(link, slot)) continue;
    if (++named > 4) return absl::StrCat(text, ", ...");
    absl::StrAppend(&text, text.empty() ? "" : ", ", link.from.value, " to ", link.to.value);
  }
  return text;
}

}  // namespace

const Pulse* MostBroken(std::span<const BrokenLink> links, std::span<const Pulse> candidates) {
  const Pulse* worst = nullptr;
  std::ptrdiff_t most = 0;
  for (const Pulse& pulse : candidates) {
    const auto count = std::ranges::count_if(
        links, [&](const BrokenLink& link) { return Touches(link, pulse.slot); });
    if (count == 0) continue;
    if (worst == nullptr ||
        std::tuple(count, pulse.link, pulse.slot) > std::tuple(most, worst->link, worst->slot)) {
      worst = &pulse;
      most = count;
    }
  }
  return worst;
}

void ForgetLinksOf(Slot slot, std::vector<BrokenLink>& links) {
  std::erase_if(links, [&](const BrokenLink& link) { return Touches(link, slot); });
}

std::vector<Suspect> JudgePulses(std::span<const Pulse> pulses, const SuspectLimits& limits,
                                 Micros now) {
  std::vector<Suspect> suspects;
  for (const Pulse& pulse : pulses) {
    std::string why = Wedged(pulse, limits, now);
    if (!why.empty()) suspects.push_back({pulse.slot, std::move(why)});
  }
  // Whoever waits for a wedged one has no reason to blame anyone else.
  if (!suspects.empty() || !limits.serving) return suspects;
  if (std::ranges::any_of(pulses,
                          [&](const Pulse& pulse) { return now - pulse.changed <= limits.link; })) {
    return suspects;
  }
  std::vector<BrokenLink> links = BrokenLinks(pulses, limits, now);
  while (const Pulse* worst = MostBroken(links, pulses)) {
    suspects.push_back(
        {worst->slot, absl::StrCat("frames do not arrive: ", Describe(links, worst->slot))});
    ForgetLinksOf(worst->slot, links);
  }
  return suspects;
}

}  // namespace conclave
