// What must be true of every run, whatever happens in it.
//
//   tokens      a stream is the oracle's, bit for bit, log-probabilities too; a cut one its
//   beginning endings     every request ends once, with a reason that there was text        decodes
//   its ids up to the stop digests     one plan per step, all over the cluster bounds      rows,
//   plans under way and queues stay within what was configured health      without a fault nobody
//   is dropped and no step breaks the rest    conservation and liveness: see World::CheckTheEnd
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core.h"
#include "protocol/plan.h"
#include "sim/client.h"
#include "sim/options.h"
#include "sim/oracle.h"
#include "sim/toy.h"

namespace conclave::sim {

class Complaints {
 public:
  void Add(std::string what) {
    ++count_;
    if (list_.size() < kListMax) list_.push_back(std::move(what));
  }
  bool any() const { return count_ > 0; }
  const std::vector<std::string>& list() const { return list_; }

 private:
  static constexpr std::size_t kListMax = 8;
  std::size_t count_ = 0;
  std::vector<std::string> list_;
};

// Looks at plans as they are sent and at results as they arrive.
class PlanChecker {
 public:
  PlanChecker(const SimOptions& options, Complaints& complaints)
      : options_(options), complaints_(complaints) {}
  void Sent(const StepAsk& ask, const NodeShape& shape);
  void Answered(const StepResult& result);

 private:
  struct Plan {
    Epoch epoch;
    std::uint64_t digest = 0;
    std::map<Slot, bool> answered;  // of every slot that was asked
  };
  const SimOptions& options_;
  Complaints& complaints_;
  std::map<StepId, Plan> plans_;
};

// Looks at each part that a client reads, and at the whole when it has ended.
class StreamChecker {
 public:
  struct Args {
    const SimOptions& options;
    const Toy& toy;
    Oracle& oracle;
    Complaints& complaints;
  };
  explicit StreamChecker(const Args& args) : args_(args) {}
  void Part(const Client& client, const StreamPart& part);  // before it is added
  void Whole(const Client& client);

 private:
  void CheckReason(const Client& client);
  void CheckPromptness(const Client& client);
  void CheckTokens(const Client& client);
  void CheckDetails(const Client& client, const Oracle::Answer& answer);
  void CheckUsage(const Client& client);
  int LengthMax(const ClientAsk& ask) const;
  void Complain(const Client& client, const std::string& what);

  const Args args_;
};

}  // namespace conclave::sim
