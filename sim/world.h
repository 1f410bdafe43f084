// One simulated cluster: the coordinator's core, the workers' cores, the clients, and everything
// between them, in one thread of virtual time. A seed and options decide all that happens.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core.h"
#include "sim/checkers.h"
#include "sim/client.h"
#include "sim/dice.h"
#include "sim/faults.h"
#include "sim/history.h"
#include "sim/node.h"
#include "sim/options.h"
#include "sim/oracle.h"
#include "sim/schedule.h"
#include "sim/tamper.h"
#include "sim/toy.h"
#include "sim/wires.h"

namespace conclave::sim {

struct Report {
  std::vector<std::string> failures;  // empty: all is well
  std::uint64_t digest = 0;           // of the whole history
  std::uint64_t steps = 0;
  std::uint64_t events = 0;
  std::uint64_t faults = 0;
  std::uint64_t tokens = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t cached_tokens = 0;
  std::vector<std::uint64_t> endings;  // by End
  Micros virtual_time = 0;
};

class World {
 public:
  // Everything here outlives the world.
  struct Args {
    const Toy& toy;
    Oracle& oracle;
    const SimOptions& options;
    std::uint64_t seed = 0;
    Tamper* tamper = nullptr;
    TraceFn trace;  // may be empty
  };
  explicit World(const Args& args);
  ~World();

  // Until every request has ended and the cluster is at rest, something is wrong, or time is up.
  Report Run();

 private:
  // A control stream. Each direction keeps its order.
  struct Link {
    LinkId id;
    std::unique_ptr<Node> node;
    Micros to_worker = 0, to_coordinator = 0;  // the last arrivals
    bool lost = false;                         // what is on its way at a crash is lost
    std::optional<Micros> died;
    bool strike_in_exchange = false, strike_in_prepare = false;
  };

  void StartNodes();
  void StartClients();
  void StartFaults();
  void Tick();
  void Beat(int node);
  Node::Args NodeArgs(int number);

  // Between coordinator and workers.
  void FromNode(int number, FromWorker message, Micros computing);
  void ToNode(LinkId link, const ToWorker& message);
  void DropNode(LinkId link, const std::string& reason);
  Link* Find(LinkId id);

  // Between coordinator and clients.
  void Ask(const ClientPlan& plan);
  void Leave(Client& client);
  void ToClient(RequestId request, StreamPart part);
  void Read(Client& client, const StreamPart& part);

  void Tell(CoordinatorEvent event);
  void Carry(const CoordinatorEffect& effect);
  void Arm(const Fault& fault);
  void Crash(int number);
  void Unhealthy(const std::string& what);

  void CheckNow();
  void CheckTheEnd();
  bool Settled() const;
  Report Conclude();
  Micros Delay(Micros most) { return dice_.Between(1, most); }

  const Args args_;
  Dice dice_;
  Schedule schedule_;
  History history_;
  Complaints complaints_;
  PlanChecker plans_;
  StreamChecker streams_;
  Wires wires_;
  std::unique_ptr<CoordinatorCore> core_;
  std::vector<std::unique_ptr<Link>> links_;  // by node
  std::vector<ClientPlan> client_plans_;
  std::map<RequestId, Client> clients_;
  std::map<RequestId, std::string> live_;  // requests that the coordinator has not ended
  std::vector<Fault> fault_plans_;
  std::uint64_t faults_ = 0;
  std::uint64_t ticks_ = 0;
  std::size_t asks_left_ = 0;
  Micros last_join_ = 0;
  std::size_t streams_open_ = 0;
  std::uint64_t next_request_ = 1;
};

}  // namespace conclave::sim
