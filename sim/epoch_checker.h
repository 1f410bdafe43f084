// What must be true of epochs, whatever happens. Sees what the coordinator sends and what the
// workers' cores really answered.
//
//   epochs rise    no number is used twice, nor one that a member has heard of before
//   terms rise     a coordinator's term is above that of every other whose epochs a member knows
//   all ready      a commit goes to those who were asked to prepare, when each has said it is ready
//   ownership      every expert of every layer has owners; they are members, and hold it
//   addresses      no endpoint is used for two epochs
//   fenced         steps are of the committed epoch; an older result gives no client anything
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/events.h"
#include "sim/checkers.h"
#include "sim/node.h"

namespace conclave::sim {

class EpochChecker {
 public:
  // Who is at the other end of a link, as its Hello truly said.
  struct Listener {
    const Node* node = nullptr;
    std::string uuid;
    Epoch knew;  // the highest epoch it had heard of then
  };

  EpochChecker(const Toy& toy, Complaints& complaints) : toy_(toy), complaints_(complaints) {}

  void CoordinatorBegins();  // one that knows nothing
  void Sent(const Listener& to, const ToWorker& message);
  void Said(const Node& node, const FromWorker& message);
  // All that one event of the coordinator led to.
  void Handled(const CoordinatorEvent& event, Epoch before, const CoordinatorOutbox& outbox);
  Epoch committed() const { return committed_; }

 private:
  struct Use {
    std::optional<Placement> placement;        // of Load and Prepare
    std::map<std::string, const Node*> asked;  // to prepare, by uuid
    std::vector<ViewPeer> peers;               // of Prepare
    bool committed = false;
  };

  void Rise(const Listener& to, Epoch epoch);
  void SentPlacement(Epoch epoch, const Placement& placement, const char* what);
  void CheckCommit(const Listener& to, Epoch epoch);
  void CheckOwners(const Use& use, Epoch epoch);
  void Complain(const std::string& what) { complaints_.Add(what); }

  const Toy& toy_;
  Complaints& complaints_;
  Epoch highest_;                                  // that this coordinator has used
  Epoch committed_;                                // by this coordinator
  std::map<Epoch, Use> uses_;                      // of this coordinator
  std::set<std::string> addresses_;                // of committed epochs
  std::set<std::pair<std::string, Epoch>> ready_;  // uuids that said so
};

}  // namespace conclave::sim
