#include "coordinator/reconfig/change_status.h"

#include "coordinator/moves.h"

namespace conclave {
namespace {

using Stage = StagedReconfiguration::Stage;

const char* NameOf(Stage stage) {
  switch (stage) {
    case Stage::kLoading:
      return "loading";
    case Stage::kConnecting:
      return "connecting";
    case Stage::kMoving:
      return "moving";
    case Stage::kStopping:
      return "stopping";
  }
  return "";
}

std::vector<Slot> WaitingFor(const CoordinatorState& state, const StagedReconfiguration& staged) {
  std::vector<Slot> slots;
  switch (staged.stage) {
    case Stage::kLoading:
    case Stage::kConnecting:
      for (const StagedReconfiguration::Member& member : staged.members) {
        if (!member.answered) slots.push_back(member.slot);
      }
      break;
    case Stage::kMoving:
      for (const Slot slot : state.live) {
        if (state.HomeAt(slot).draining && MovesPending(state, slot)) slots.push_back(slot);
      }
      break;
    case Stage::kStopping:
      if (state.in_flight.empty()) break;
      for (const PlannedPart& part : state.in_flight.front().parts) {
        if (!part.answered) slots.push_back(part.slot);
      }
      break;
  }
  return slots;
}

std::vector<Slot> WaitingFor(const Preparing& preparing) {
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < preparing.members.size(); ++i) {
    if (preparing.members[i].answer != Preparing::Answer::kPending) continue;
    slots.push_back(preparing.prepare.peers[i].slot);
  }
  return slots;
}

}  // namespace

ChangeStatus ChangeStatusOf(const CoordinatorState& state, Micros now) {
  const Reconfig& reconfig = state.reconfig;
  ChangeStatus status;
  if (const Preparing* preparing = reconfig.preparing_state()) {
    status = {.stage = "preparing",
              .epoch = preparing->prepare.epoch,
              .kind = reconfig.cause.kind,
              .cause = reconfig.cause.text,
              .waiting_for = WaitingFor(*preparing)};
  } else if (const StagedReconfiguration* staged = reconfig.staged()) {
    status = {.stage = NameOf(staged->stage),
              .epoch = staged->epoch,
              .kind = staged->cause.kind,
              .cause = staged->cause.text,
              .waiting_for = WaitingFor(state, *staged)};
  }
  if (!status.stage.empty()) status.since = now - reconfig.change_since.value_or(now);
  return status;
}

}  // namespace conclave
