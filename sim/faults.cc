#include "sim/faults.h"

#include <algorithm>

namespace conclave::sim {

const char* NameOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCrash:
      return "crash";
    case FaultKind::kCrashInExchange:
      return "crash in an exchange";
    case FaultKind::kCrashInPrepare:
      return "crash while an epoch is prepared";
  }
  return "?";
}

std::vector<Fault> PlanFaults(const SimOptions& options, Dice& dice) {
  std::vector<int> alive;
  for (int node = 0; node < static_cast<int>(options.nodes.size()); ++node) alive.push_back(node);
  const auto takes_sequences = [&](int node) {
    return options.nodes[static_cast<std::size_t>(node)].role == Role::kWorker;
  };
  std::vector<Fault> faults;
  for (int i = 0; i < options.faults.crashes; ++i) {
    const int node = dice.Pick(alive);
    const bool last = takes_sequences(node) && std::ranges::count_if(alive, takes_sequences) == 1;
    if (last) continue;
    std::erase(alive, node);
    const int kind = dice.Int(0, 9);
    faults.push_back({.kind = kind < 5   ? FaultKind::kCrash
                              : kind < 9 ? FaultKind::kCrashInExchange
                                         : FaultKind::kCrashInPrepare,
                      .at = dice.Between(0, options.workload.arrivals_within * 3 / 2),
                      .node = node});
  }
  std::ranges::stable_sort(faults, {}, &Fault::at);
  return faults;
}

}  // namespace conclave::sim
