// Steps that starts, changes, repairs and rebalances share: giving experts the copies they lack.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "coordinator/placement/draft.h"

namespace conclave {

// Differences of time below this are none: weights have a mean of 1.
inline constexpr double kTimeEpsilon = 1e-4;

// How many copies each expert should have at least: of what is asked for, as many as there are
// workers.
int CopiesWanted(const PlacementAsk& ask);

// Which experts of a layer each worker owns, in a form that follows moves.
class CopiesByWorker {
 public:
  explicit CopiesByWorker(std::span<const ExpertOwners> experts);
  // For (int at = First(w); at >= 0; at = Next(at)) expert ExpertAt(at), in no order.
  int First(int worker) const { return first_[static_cast<std::size_t>(worker)]; }
  int Next(int at) const { return next_[static_cast<std::size_t>(at)]; }
  static int ExpertAt(int at) { return at / kReplicasMax; }
  void Move(int at, int from, int to);
  void Add(int expert, int copy, int worker);  // the expert's copy-th, from 0

 private:
  std::array<std::int16_t, kSlotsMax> first_;
  std::array<std::int16_t, std::size_t{kExpertsMax} * kReplicasMax> next_;
};

// Where memory is short, copies beyond the first make room for experts that have none.
void MakeRoom(PlacementDraft& draft);

// Gives every expert that has fewer copies than `copies` one more, the heaviest of a layer first,
// where it ends soonest. A worker with little memory gets as many in one layer as in another. An
// expert stays without when nobody else has room; not if it has no copy at all and CheckRoom is OK.
void AddMissingCopies(PlacementDraft& draft, int copies);

}  // namespace conclave
