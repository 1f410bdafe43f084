#include "sim/epoch_checker.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace conclave::sim {
namespace {

bool HasToken(const TellText& order) {
  if (const auto* proposal = std::get_if<TextProposal>(&order.what)) {
    return proposal->last.has_value();
  }
  if (const auto* ending = std::get_if<TextEnding>(&order.what)) return ending->last.has_value();
  return std::holds_alternative<TextToken>(order.what);
}

}  // namespace

void EpochChecker::CoordinatorBegins() {
  highest_ = {};
  committed_ = {};
  uses_.clear();
  ready_.clear();
}

void EpochChecker::Rise(const Listener& to, Epoch epoch) {
  if (epoch < highest_) {
    Complain(absl::StrCat("[epochs rise] ", epoch.number, " after ", highest_.number));
  }
  highest_ = std::max(highest_, epoch);
  if (epoch <= to.knew) {
    Complain(absl::StrCat("[epochs rise] ", epoch.number, " is said to ", to.uuid,
                          ", which knew of ", to.knew.number));
  }
  const bool of_another = to.knew.number > 0 && !uses_.contains(to.knew);
  if (of_another && epoch.term <= to.knew.term) {
    Complain(absl::StrCat("[terms rise] epoch ", epoch.number, " of term ", epoch.term,
                          " is said to ", to.uuid, ", which knew of another coordinator's term ",
                          to.knew.term));
  }
}

void EpochChecker::SentPlacement(Epoch epoch, const Placement& placement, const char* what) {
  Use& use = uses_[epoch];
  if (use.placement.has_value() && *use.placement != placement) {
    Complain(absl::StrCat("[epochs rise] two placements in ", what, " of epoch ", epoch.number));
  }
  use.placement = placement;
}

void EpochChecker::Sent(const Listener& to, const ToWorker& message) {
  if (const auto* load = std::get_if<Load>(&message)) {
    Rise(to, load->epoch);
    SentPlacement(load->epoch, load->placement, "Load");
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    Rise(to, prepare->epoch);
    SentPlacement(prepare->epoch, prepare->placement, "Prepare");
    Use& use = uses_[prepare->epoch];
    use.peers = prepare->peers;
    use.asked[to.uuid] = to.node;
  } else if (const auto* commit = std::get_if<Commit>(&message)) {
    CheckCommit(to, commit->epoch);
  } else if (const auto* ask = std::get_if<StepAsk>(&message)) {
    if (ask->epoch != committed_) {
      Complain(absl::StrCat("[fenced] a step of epoch ", ask->epoch.number, "; committed is ",
                            committed_.number));
    }
  }
}

void EpochChecker::CheckCommit(const Listener& to, Epoch epoch) {
  Use& use = uses_[epoch];
  if (epoch < committed_ || !use.asked.contains(to.uuid)) {
    return Complain(absl::StrCat("[epochs rise] commit of ", epoch.number, " to ", to.uuid,
                                 " after ", committed_.number));
  }
  committed_ = epoch;
  if (std::exchange(use.committed, true)) return;
  for (const ViewPeer& peer : use.peers) {
    if (!ready_.contains({peer.uuid, epoch})) {
      Complain(absl::StrCat("[all ready] commit of ", epoch.number, ", but ", peer.uuid,
                            " has not said that it is ready"));
    }
    if (!addresses_.insert(peer.address).second) {
      Complain(absl::StrCat("[addresses] epoch ", epoch.number, " uses ", peer.address, " again"));
    }
  }
  CheckOwners(use, epoch);
}

void EpochChecker::CheckOwners(const Use& use, Epoch epoch) {
  std::map<int, const Node*> members;
  for (const ViewPeer& peer : use.peers) {
    const auto asked = use.asked.find(peer.uuid);
    if (asked != use.asked.end()) members[peer.slot.value] = asked->second;
  }
  for (int layer = 0; layer < toy_.config.moe_layers; ++layer) {
    for (int expert = 0; expert < toy_.config.experts; ++expert) {
      const auto owners = use.placement->Owners(layer, expert);
      const auto where = [&] {
        return absl::StrCat("[ownership] epoch ", epoch.number, " layer ", layer, " expert ",
                            expert);
      };
      if (owners.empty()) Complain(where() + " has no owner");
      for (const std::uint8_t owner : owners) {
        const auto member = members.find(owner);
        if (member == members.end()) {
          Complain(where() + " is owned by one who is no member");
        } else if (!member->second->Holds(layer, expert)) {
          Complain(absl::StrCat(where(), " is not held by slot ", owner));
        }
      }
    }
  }
}

void EpochChecker::Said(const Node& node, const FromWorker& message) {
  const auto* ready = std::get_if<Ready>(&message);
  if (ready != nullptr && ready->ok) ready_.insert({node.uuid(), ready->epoch});
}

void EpochChecker::Handled(const CoordinatorEvent& event, Epoch before,
                           const CoordinatorOutbox& outbox) {
  const auto* said = std::get_if<WorkerSaid>(&event);
  const auto* result = said == nullptr ? nullptr : std::get_if<StepResult>(&said->message);
  if (result == nullptr || result->epoch == before) return;
  for (const CoordinatorEffect& effect : outbox) {
    const auto* order = std::get_if<TellText>(&effect);
    if (order == nullptr || !HasToken(*order)) continue;
    Complain(absl::StrCat("[fenced] a result of epoch ", result->epoch.number,
                          " reached a client in epoch ", before.number));
  }
}

}  // namespace conclave::sim
