#include "coordinator/resume.h"

#include <algorithm>
#include <vector>

#include "coordinator/schedule/migrate.h"

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

// Back to the positions that results speak of. False when there are none: it was never opened, and
// what it shares may never have been written.
bool StepBack(CoordinatorState& state, Stay& stay) {
  if (stay.done == 0) return false;
  if (!stay.confirmed) {
    Reopen(state, stay, stay.done / kKvBlockTokens * kKvBlockTokens);
    return true;
  }
  Home& home = state.HomeAt(stay.home);
  const auto keep = static_cast<std::size_t>((stay.done + kKvBlockTokens - 1) / kKvBlockTokens);
  while (stay.blocks.size() > keep) {
    home.blocks.Release(stay.blocks.back());
    stay.blocks.pop_back();
  }
  stay.blocks_known = static_cast<std::int32_t>(stay.blocks.size());
  stay.planned = stay.done;
  stay.chain.resize(
      std::min(stay.chain.size(), static_cast<std::size_t>(stay.done / kKvBlockTokens)));
  return true;
}

// What it computed on its next home is not lost with the old one.
void LoseHome(CoordinatorState& state, Request& request) {
  const Understudy* understudy = request.understudy.get();
  const std::int32_t keep =
      understudy == nullptr ? 0 : understudy->done / kKvBlockTokens * kKvBlockTokens;
  if (keep > 0) {
    TakeOver(state, request, keep);
  } else {
    Requeue(state, request);
  }
}

std::vector<Request*> UnderstudiesAt(CoordinatorState& state, Slot slot) {
  std::vector<Request*> found;
  for (Request* request : state.requests.running()) {
    if (request->understudy != nullptr && request->understudy->home == slot) {
      found.push_back(request);
    }
  }
  return found;
}

}  // namespace

void Evict(CoordinatorState& state, Slot slot) {
  ForgetInFlight(state, slot);
  state.homes[static_cast<std::size_t>(slot.value)].reset();
  std::erase(state.live, slot);
  for (Request* request : UnderstudiesAt(state, slot)) PutDownUnderstudy(state, *request);
  for (Request* request : RunningAt(state, slot)) LoseHome(state, *request);
}

void RollBack(CoordinatorState& state, Slot slot) {
  Home& home = state.HomeAt(slot);
  ForgetInFlight(state, slot);
  for (Request* request : UnderstudiesAt(state, slot)) {
    if (!StepBack(state, *request->understudy)) PutDownUnderstudy(state, *request);
  }
  for (Request* request : RunningAt(state, slot)) {
    if (!StepBack(state, *request)) Requeue(state, *request);
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
