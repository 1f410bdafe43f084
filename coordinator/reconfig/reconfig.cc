#include "coordinator/reconfig/reconfig.h"

#include <algorithm>

namespace conclave {

void StagedReconfiguration::Enter(Stage next, Micros now) {
  stage = next;
  stage_since = now;
  for (Member& member : members) member.answered = false;
}

StagedReconfiguration::Member* StagedReconfiguration::MemberOf(LinkId link) {
  const auto found = std::ranges::find(members, link, &Member::link);
  return found == members.end() ? nullptr : &*found;
}

bool StagedReconfiguration::Includes(Slot slot) const {
  return std::ranges::find(members, slot, &Member::slot) != members.end();
}

bool Reconfig::MayPlan() const {
  const Serving* serving = serving_state();
  if (serving == nullptr || serving->broken.has_value()) return false;
  return !serving->staged.has_value() ||
         serving->staged->stage != StagedReconfiguration::Stage::kStopping;
}

StagedReconfiguration* Reconfig::staged() {
  Serving* serving = serving_state();
  return serving != nullptr && serving->staged.has_value() ? &*serving->staged : nullptr;
}

const StagedReconfiguration* Reconfig::staged() const {
  const Serving* serving = serving_state();
  return serving != nullptr && serving->staged.has_value() ? &*serving->staged : nullptr;
}

void Reconfig::NoteMembersChanged(Micros now) {
  change_due = true;
  if (!change_since.has_value()) change_since = now;
  ++drain_inputs_version;
}

void Reconfig::ForceChange(ChangeCause why) {
  if (forced.has_value() && why.kind != ChangeKind::kLoss) return;
  forced = std::move(why);
}

void Reconfig::DiscardStaged() {
  Serving* serving = serving_state();
  if (serving == nullptr || !serving->staged.has_value()) return;
  serving->staged.reset();
  change_due = true;
  if (!serving->broken.has_value()) stopped_since.reset();
}

Epoch Reconfig::NextEpoch(Epoch committed) {
  highest_proposed = Epoch{std::max(highest_proposed, committed).value + 1};
  return highest_proposed;
}

}  // namespace conclave
