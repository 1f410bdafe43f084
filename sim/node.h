// One worker process of the simulated world: the real core and shard, and in virtual time what the
// edge does around them: a strand that takes one event after another, a loader, heartbeats, and a
// reader of the control stream. The process can die, stop as a whole, or get stuck in its strand
// only. When its control stream is lost it starts again as worker/edge does: with a fresh core and a
// fresh uuid, and the weights kept.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "kernels/lane.h"
#include "sim/dice.h"
#include "sim/history.h"
#include "sim/options.h"
#include "sim/schedule.h"
#include "sim/tamper.h"
#include "sim/toy.h"
#include "sim/wires.h"
#include "worker/core.h"
#include "worker/shard.h"

namespace conclave::sim {

// Where a process may be struck.
enum class Moment : std::uint8_t {
  kBeforeExchange,
  kInExchange,  // its frames are on their way
  kAfterExchange,
  kPrepare,  // it has been told of an epoch
  kLoading,  // experts, while nothing runs
  kLoadAside,
  kConnectAside,
};

class Node {
 public:
  // Everything here outlives the node.
  struct Args {
    int number = 0;   // of the machine
    int process = 0;  // of the process, counted over all machines
    NodeShape shape;
    const SimOptions& options;
    const Toy& toy;
    Schedule& schedule;
    History& history;
    Wires& wires;
    Dice dice;
    Tamper* tamper = nullptr;
    std::function<void(Moment)> at;  // may kill
    std::function<void(bool failed, const std::string& reason)> exited;
    std::function<void(std::string complaint)> complain;
  };
  explicit Node(Args args);

  // `say`: leaves this process now. `truth`: what the core said, unbent.
  using Words = std::function<void(const FromWorker& message)>;
  void Wire(Words say, Words truth);

  // The control stream. Hearing is the reader's: what it hears waits for the strand.
  void LinkUp();
  void LinkLost();
  void Hear(ToWorker message);
  void WantToLeave();

  void Kill();  // nothing happens here any more
  void Hang();  // the whole process stands still
  void Wedge();
  void GoOn();          // after Hang or Wedge
  void FailNextLoad();  // ResourceExhausted, once
  // Unless it is dead; while it hangs, at the hang's end.
  void Do(std::function<void()> deed);
  void Later(Micros delay, std::function<void()> deed);

  bool alive() const { return alive_; }
  bool hung() const { return hung_; }
  bool wedged() const { return wedged_; }
  int number() const { return args_.number; }
  int process() const { return args_.process; }
  const NodeShape& shape() const { return args_.shape; }
  const std::string& uuid() const { return uuid_; }
  Epoch last_epoch() const { return last_epoch_; }  // the highest this process ever heard of
  bool Holds(int layer, int expert) const { return shard_->Holds(layer, expert); }

 private:
  struct Up {};
  struct Lost {};
  using StrandEvent = std::variant<WorkerEvent, Up, Lost>;
  class Clock final : public Trace {
   public:
    explicit Clock(const Schedule& schedule) : schedule_(schedule) {}
    std::uint64_t NowMicros() override { return static_cast<std::uint64_t>(schedule_.now()); }

   private:
    const Schedule& schedule_;
  };

  void BeginLife();
  Hello SayHello();
  void Beat();
  void Post(StrandEvent event);
  void RunStrand();
  void Feed(const WorkerEvent& event);
  void EndOfWork();
  Wires::Waiting Waiting() const;
  Micros LoadUntil(Micros most);
  void PackAside(Epoch epoch, std::deque<std::size_t> left, absl::Status status);

  void Preload(conclave::Preload preload);
  void PackSilently(std::uint64_t number, std::deque<std::size_t> left);

  void Carry(const Tell& effect);
  void Carry(const LoadExperts& effect);
  void Carry(const OpenExchange& effect);
  void Carry(const LoadAside& effect);
  void Carry(const ConnectAside& effect);
  void Carry(const SwitchToStagedExchange& effect);
  void Carry(const DropAside& effect);
  void Carry(const TrimExperts& effect);
  void Carry(const StartExchange& effect);
  void Carry(const CloseExchange& effect);
  void Carry(const Exit& effect);

  Args args_;
  Words say_, truth_;
  SoloLanes lanes_;
  Clock clock_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<WorkerCore> core_;
  std::string uuid_;
  int lives_ = 0;
  bool used_ = false;  // this life has heard something

  bool alive_ = true, hung_ = false, wedged_ = false;
  bool welcomed_ = false;
  bool fail_next_load_ = false;
  std::deque<std::function<void()>> frozen_;  // what was due while it hung

  // The strand.
  std::deque<StrandEvent> queue_;
  bool busy_ = false;   // with the effects below, or with what they take
  bool stuck_ = false;  // done with its work, but wedged
  WorkerOutbox effects_;

  bool open_ = false;
  Wires::EndpointId current_ = 0, standby_ = 0;
  std::optional<Wires::EndpointId> aside_;
  std::optional<std::pair<Placement, Slot>> aside_share_;  // what is loaded for it
  std::uint64_t exchange_ = 0;     // of this epoch, the one under way or last done
  Wires::Waiting wedged_waiting_;  // a wedged thread does not see what comes
  Micros looked_ = 0;              // nor looks
  Micros loads_until_ = 0;         // one after another
  Epoch loads_for_;                // the newest of them
  std::uint64_t asides_ = 0;       // a load aside that was dropped says nothing
  std::uint64_t preloads_ = 0;     // likewise
  bool must_load_ = false;         // experts of an epoch that is being prepared
  Epoch last_epoch_;
  int last_slot_ = -1;
};

}  // namespace conclave::sim
