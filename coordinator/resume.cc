#include "coordinator/resume.h"

#include <algorithm>

namespace conclave {
namespace {

// The tokens of plans without a result will never come.
void ForgetInFlight(CoordinatorState& state, Slot slot) {
  for (const auto& [order, request] : state.requests.waiting()) {
    if (request->home == slot) request->in_flight = 0;
  }
  for (Request* request : state.requests.running()) {
    if (request->home == slot) request->in_flight = 0;
  }
}

std::vector<Request*> RunningAt(CoordinatorState& state, Slot slot) {
  std::vector<Request*> found;
  for (Request* request : state.requests.running()) {
    if (request->home == slot) found.push_back(request);
  }
  return found;
}

void Requeue(CoordinatorState& state, Request& request) {
  PutDown(state, request);
  state.requests.Wait(request);
}

// Back to the positions that results speak of.
void StepBack(Home& home, Request& request) {
  const auto keep = static_cast<std::size_t>((request.done + kKvBlockTokens - 1) / kKvBlockTokens);
  while (request.blocks.size() > keep) {
    home.blocks.Release(request.blocks.back());
    request.blocks.pop_back();
  }
  request.blocks_known = static_cast<std::int32_t>(request.blocks.size());
  request.planned = request.done;
  request.chain.resize(
      std::min(request.chain.size(), static_cast<std::size_t>(request.done / kKvBlockTokens)));
}

}  // namespace

void Evict(CoordinatorState& state, Slot slot) {
  ForgetInFlight(state, slot);
  state.homes[static_cast<std::size_t>(slot.value)].reset();
  std::erase(state.live, slot);
  for (Request* request : RunningAt(state, slot)) Requeue(state, *request);
}

void RollBack(CoordinatorState& state, Slot slot) {
  Home& home = state.HomeAt(slot);
  ForgetInFlight(state, slot);
  for (Request* request : RunningAt(state, slot)) {
    if (request->confirmed) {
      StepBack(home, *request);
    } else {
      Requeue(state, *request);  // it was never opened; what it shares may never have been written
    }
  }
  home.blocks.ForgetFilledAfter(home.answered);
  std::vector<SeqId> never_opened;
  std::vector<SeqId> closes;
  for (const PlannedStep& step : state.in_flight) {
    for (const PlannedPart& part : step.parts) {
      if (part.slot != slot || part.answered) continue;
      never_opened.insert(never_opened.end(), part.opens.begin(), part.opens.end());
      closes.insert(closes.end(), part.closes.begin(), part.closes.end());
    }
  }
  closes.insert(closes.end(), home.closes_due.begin(), home.closes_due.end());
  std::erase_if(closes, [&](SeqId seq) {
    return std::ranges::find(never_opened, seq) != never_opened.end();
  });
  home.closes_due = std::move(closes);
}

}  // namespace conclave
