// What must be true of every run, whatever happens in it.
//
//   tokens        a stream is bit for bit the oracle's, or the beginning of it if it was cut; the
//                 streams of one request join without a gap and without a repeat
//   logprobs      they and routed experts are the oracle's, too
//   text          it is what the ids decode to, up to the stop
//   endings       every request ends once, with a reason that applies
//   unavailable   no request is sent away while the cluster can serve, or before the time set
//   prompt        a request whose client left, or whose deadline passed, ends at once
//   digests       there is one plan per step in the whole cluster
//   bounds        rows, plans under way and queues stay within what was configured
//   health        no worker is dropped, and no step breaks, without a reason
//
// epoch_checker.h checks epochs; world_end.cc checks the whole:
//
//   conservation  of blocks, requests and owners of experts
//   stuck         no request waits while others go on
//   liveness      after healing, every request ends and the cluster is ready
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "coordinator/events.h"
#include "protocol/plan.h"
#include "sim/client.h"
#include "sim/expected.h"
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
  void CoordinatorBegins() { plans_.clear(); }  // steps are counted anew
  void Sent(const StepAsk& ask, const NodeShape& shape);
  void Answered(const StepResult& result);
  std::uint64_t steps_in_rounds() const { return steps_in_rounds_; }  // in more than one

 private:
  struct Plan {
    Epoch epoch;
    std::uint64_t digest = 0;
    std::map<Slot, bool> answered;  // of every slot that was asked
  };
  const SimOptions& options_;
  Complaints& complaints_;
  std::map<StepId, Plan> plans_;
  std::uint64_t steps_in_rounds_ = 0;
};

// Looks at each part that a client reads, and at the whole when it has ended.
class StreamChecker {
 public:
  struct Args {
    const SimOptions& options;
    const Toy& toy;
    Oracle& oracle;
    Complaints& complaints;
    Micros text_slack = 0;  // between what the core decides and what a client is sent
  };
  explicit StreamChecker(const Args& args) : args_(args) {}
  void Part(const Client& client, const StreamPart& part);  // before it is added
  void Whole(const Client& client);

 private:
  void CheckReason(const Client& client);
  void CheckPromptness(const Client& client);
  void CheckTokens(const Client& client);
  void CheckEnding(const Client& client, const Expected& expected);
  void CheckText(const Client& client, const Expected& expected);
  void CheckDetails(const Client& client, const Oracle::Answer& answer);
  void CheckUsage(const Client& client);
  int LengthMax(const ClientAsk& ask) const;
  bool Outgrew(const Client& client) const;
  void Complain(const Client& client, const char* checker, const std::string& what);

  const Args args_;
};

}  // namespace conclave::sim
