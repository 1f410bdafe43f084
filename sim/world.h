// One simulated cluster: the coordinator's core, the workers' cores, the clients, and everything
// between them, in one thread of virtual time. A seed and options decide all that happens.
//
// Two phases: until `faults.heals_at` things go wrong; then everything is made whole again, and
// within `faults.bound` every request has ended and the cluster is ready.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/core.h"
#include "coordinator/streams/text_stage.h"
#include "sim/checkers.h"
#include "sim/client.h"
#include "sim/dice.h"
#include "sim/epoch_checker.h"
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
  std::uint64_t steps_in_rounds = 0;  // whose exchanges took more than one round
  std::uint64_t events = 0;
  std::uint64_t faults = 0;
  std::uint64_t epochs = 0;  // committed
  std::uint64_t tokens = 0;
  std::uint64_t resumes = 0;  // streams that began again where another was cut
  std::uint64_t late_stops = 0;  // stop strings found when the core had gone on beyond them
  std::uint64_t rebalances = 0;  // that an operator asked for and that were begun
  std::uint64_t preemptions = 0;
  std::uint64_t cached_tokens = 0;
  std::vector<std::uint64_t> endings;  // by End
  Micros virtual_time = 0;
};

class World : private TextSink {
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
  ~World() override;

  // Until every request has ended and the cluster is at rest, something is wrong, or time is up.
  Report Run();

 private:
  // A control stream: its two ends, each of which may be gone. Each direction keeps its order.
  struct Link {
    LinkId id;
    int seat = 0;
    Node* node = nullptr;
    bool worker_end = true, coordinator_end = true;
    Micros to_worker = 0, to_coordinator = 0;             // the last arrivals
    std::deque<std::function<void()>> held_in, held_out;  // as the worker sees it
    bool lost = false;  // what was on its way to the coordinator at a crash is lost
    EpochChecker::Listener listener;
  };
  // A machine: one process after another.
  struct Seat {
    std::vector<std::unique_ptr<Node>> processes;
    Node* node = nullptr;      // the last of them; null before the first
    Link* link = nullptr;      // as that process has it
    bool over = false;         // no process will run here again
    bool leaving = false;      // it was asked to drain
    int starting = 0;          // processes that will begin
    Micros trouble_until = 0;  // until then the others may have reason to give it up
    int stalled_in = 0, stalled_out = 0;
    Micros extra_delay = 0;
    std::set<Moment> strikes;  // it dies at the next of these
    Micros restarts_after = 0;
  };
  // What the core has said of one request to its text stage.
  struct Text {
    struct Proposed {
      Micros at = 0;
      Micros ready_last = 0;  // when the cluster could serve last, then
    };
    RequestId stream;      // reads it, as the core knows
    Micros worked_last = 0;  // when its last order is done
    std::int32_t tokens = 0;
    std::optional<Proposed> proposed;
  };
  // What the coordinator knows as one request.
  struct Stream {
    Client* client = nullptr;
    bool over = false;  // nobody reads it any more, or it has ended
  };

  // Nodes and their control streams.
  void StartNodes();
  void StartOperator();
  void StartLater(int seat, Micros delay);
  void StartProcess(int seat);
  void DeafenTo(int seat);
  Node::Args NodeArgs(int seat);
  void Dial(int seat, const Node* node);
  void FromNode(int seat, const Node* node, const FromWorker& message);
  void Arrive(Link& link, const std::string& bytes, bool greeted);
  void ToNode(LinkId link, const ToWorker& message);
  void Up(Link& link, std::function<void()> deed);
  void Down(Link& link, std::function<void()> deed);
  void CloseAtWorker(Link& link, bool says_so);
  void CloseAtCoordinator(Link& link, bool says_so);
  void DropNode(LinkId link, const std::string& reason);
  void Exited(int seat, bool failed, const std::string& reason);
  Link* Find(LinkId id);
  Seat& SeatOf(int number) { return seats_[static_cast<std::size_t>(number)]; }

  // Clients.
  void StartClients();
  void Ask(const ClientPlan& plan);
  void OpenStream(Client& client);
  void LoseStream(Client& client, bool told);
  void Leave(Client& client);
  void ToClient(RequestId request, StreamPart part);
  void Read(Client& client, RequestId request, const StreamPart& part);
  void EndOf(Client& client, const Ending& ending);

  // Text.
  static Micros TextDelayMax(Dice& dice);
  void ToText(TellText order);
  void NoteDecided(const TellText& order);
  void WorkText(TellText& order);
  void SendParts();
  void Deliver(RequestId stream, StreamPart& part) override;
  void Judge(RequestId request, std::optional<StopFound> stop) override;
  // So much later than the core decides it, a client is sent something, at most.
  Micros TextSlack() const { return 3 * text_delay_max_; }  // proposal, verdict, ending

  // The coordinator.
  void StartCoordinator();
  void StopCoordinator(Micros down);
  void Tell(CoordinatorEvent event);
  void Carry(CoordinatorEffect& effect);
  void Tick();

  // Faults.
  void Arm(const Fault& fault);
  void Strike(const Fault& fault);
  void StrikeProcess(const Fault& fault);
  void StrikeLink(const Fault& fault);
  void StrikeFrames(const Fault& fault);
  void Crash(int seat);
  void Drain(int seat);
  void AskToRebalance();
  void Heal();
  void Trouble(int seat, Micros until);
  void Unhealthy(const std::string& what);
  Micros EndOf(const Fault& fault) const;

  // The whole.
  void CheckNow();
  void CheckStuck();
  void CheckTheEnd();
  void CheckReadiness(const Ending& ending, const Client& client, const Text::Proposed& decided);
  bool Over() const;
  bool Settled() const;
  std::size_t Alive() const;
  Report Conclude();
  Micros Delay(Micros most) { return dice_.Between(1, most); }

  const Args args_;
  Dice dice_, text_dice_;
  const Micros text_delay_max_;
  Schedule schedule_;
  History history_;
  Complaints complaints_;
  PlanChecker plans_;
  StreamChecker streams_;
  EpochChecker epochs_;
  Wires wires_;
  std::unique_ptr<CoordinatorCore> core_;  // null while it is down
  std::unique_ptr<TextStages> stages_;     // of the same process
  int coordinators_ = 0;                   // begun so far
  std::map<RequestId, Text> texts_;        // of this coordinator
  std::vector<TellClient> parts_;          // made by the order that is being done
  std::vector<Seat> seats_;
  std::vector<std::unique_ptr<Link>> links_;  // by id - 1
  std::vector<ClientPlan> client_plans_;
  std::deque<Client> clients_;
  std::map<RequestId, Stream> requests_;
  std::map<RequestId, std::string> live_;  // streams whose requests this core has not ended: names
  std::set<RequestId> unended_;            // streams of this coordinator without an ending
  std::uint64_t endings_ = 0;              // that this coordinator has said
  std::vector<Fault> fault_plans_;
  Report report_;
  std::set<std::uint64_t> rebalance_tickets_;
  std::set<std::uint64_t> admin_tickets_;  // tickets without an answer
  std::uint64_t next_ticket_ = 1;
  std::uint64_t next_request_ = 1;
  std::uint64_t ticks_ = 0;
  int processes_ = 0;
  std::size_t asks_left_ = 0;
  std::size_t streams_open_ = 0;
  Micros last_event_ = 0;  // of joins, drains, and healing
  Micros ready_last_ = 0;  // when the cluster could serve, last
  Micros token_last_ = 0;  // when anybody got one, last
  Micros rest_until_ = 0;
  bool healed_ = false;
  bool done_ = false;
};

}  // namespace conclave::sim
