#include "coordinator/audit.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace conclave {
namespace {

// Every held block of every pool belongs to running sequences, and the other way round.
void AuditBlocks(const CoordinatorState& state) {
  std::map<Slot, std::map<BlockId, int>> holders;
  const auto add = [&](const Request& request, const Stay& stay) {
    CONCLAVE_CHECK(std::ranges::find(state.live, stay.home) != state.live.end(),
                   "request %llu lives nowhere",
                   static_cast<unsigned long long>(request.order.id.value));
    for (const BlockId block : stay.blocks) ++holders[stay.home][block];
  };
  for (const Request* request : state.requests.running()) {
    add(*request, *request);
    if (request->understudy != nullptr) add(*request, *request->understudy);
  }
  for (const Slot slot : state.live) {
    const KvBlocks& blocks = state.homes[static_cast<std::size_t>(slot.value)]->blocks;
    blocks.CheckInvariants();
    CONCLAVE_CHECK(blocks.held() == static_cast<int>(holders[slot].size()),
                   "slot %d: %d blocks held, %zu by sequences", slot.value, blocks.held(),
                   holders[slot].size());
    for (const auto& [block, count] : holders[slot]) {
      CONCLAVE_CHECK(blocks.Holders(block) == count, "block %d", block.value);
    }
  }
}

void AuditInFlight(const CoordinatorState& state) {
  CONCLAVE_CHECK(state.in_flight.size() <= static_cast<std::size_t>(kPlansAheadMax));
  std::map<SeqId, std::int32_t> sampling;
  for (const PlannedStep& step : state.in_flight) {
    for (const PlannedPart& part : step.parts) {
      if (part.answered) continue;
      for (const PlannedRow& row : part.rows) sampling[row.seq] += row.sample ? 1 : 0;
    }
  }
  for (const Request* request : state.requests.running()) {
    CONCLAVE_CHECK(sampling[request->seq] == request->in_flight, "request %llu: %d in flight",
                   static_cast<unsigned long long>(request->order.id.value), request->in_flight);
  }
}

}  // namespace

void Audit(const CoordinatorState& state) {
  state.requests.CheckInvariants();
  AuditBlocks(state);
  AuditInFlight(state);
}

}  // namespace conclave
