// A committed epoch without membership: homes put in place by hand, fake workers that run what is
// planned, clients that compare what they read with the oracle.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/state.h"
#include "sim/fake_worker.h"
#include "world.h"

namespace conclave {

class PlanBench {
 public:
  PlanBench(const CoordinatorConfig& config, const std::vector<WorkerShape>& shapes);

  RequestId Ask(ClientAsk ask);
  Request* Find(RequestId id) { return state_.requests.Find(id); }
  void Cancel(RequestId id);
  void Drain(int slot, bool draining = true);

  bool Plan();             // sends the next plan, if there is one and room for it
  void RunStep(int slot);  // its oldest, if it has one
  void Deliver(int slot);  // its oldest result, if it has one
  // Plans, runs and delivers: `rounds` times, or until nothing is left to do.
  void Go(int rounds = 1'000'000);

  void Lose(int slot);     // with all it held; a new epoch must follow
  void Restart(int slot);  // a new process takes the slot of one that was lost
  void Reform();           // the next epoch, of all who are there

  CoordinatorState& state() { return state_; }
  Home& HomeAt(int slot) { return state_.HomeAt(Slot{slot}); }
  FakeWorker& WorkerAt(int slot) { return *workers_.at(slot); }
  int workers() const { return static_cast<int>(shapes_.size()); }
  const std::vector<StepPlan>& plans() const { return plans_; }
  const Client& At(RequestId id) const { return clients_.at(id); }
  // The steps whose results brought the client its tokens.
  const std::vector<StepId>& StepsOf(RequestId id) const { return steps_.at(id); }
  // Nobody complained; every client has what the oracle says, or a beginning of it if it left.
  void ExpectExact();

 private:
  void OpenEpoch();
  void Read(CoordinatorOutbox& outbox, StepId step);

  const std::vector<WorkerShape> shapes_;
  CoordinatorState state_;
  std::map<int, std::unique_ptr<FakeWorker>> workers_;
  std::map<int, std::string> standby_;  // addresses for the next epoch
  std::map<RequestId, Client> clients_;
  std::map<RequestId, std::vector<StepId>> steps_;
  std::vector<StepPlan> plans_;
  std::uint64_t next_request_ = 1, next_uuid_ = 1;
  Micros now_ = 1;
};

}  // namespace conclave
