// One worker process of the simulated world: the real core and shard, and what an edge does around
// them, in virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

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

class Node {
 public:
  // Everything here outlives the node.
  struct Args {
    int number = 0;
    NodeShape shape;
    const Toy& toy;
    Schedule& schedule;
    History& history;
    Wires& wires;
    Dice dice;
    Tamper* tamper = nullptr;
    // To the coordinator: leaves this process after `computing`.
    std::function<void(FromWorker message, Micros computing)> say;
    std::function<void()> exchange_begun;
    std::function<void(std::string complaint)> complain;
  };
  explicit Node(Args args);

  Hello SayHello();
  void Hear(ToWorker message);
  void Beat();  // one heartbeat
  void Kill();  // nothing happens here any more

  bool alive() const { return alive_; }
  int number() const { return args_.number; }
  std::uint64_t steps_broken() const { return steps_broken_; }

 private:
  class Clock final : public Trace {
   public:
    explicit Clock(const Schedule& schedule) : schedule_(schedule) {}
    std::uint64_t NowMicros() override { return static_cast<std::uint64_t>(schedule_.now()); }

   private:
    const Schedule& schedule_;
  };

  void Feed(const WorkerEvent& event);
  void Carry(const Tell& effect);
  void Carry(const LoadExperts& effect);
  void Carry(const OpenExchange& effect);
  void Carry(const LoadAside&) {}
  void Carry(const ConnectAside&) {}
  void Carry(const ChangeOver&) {}
  void Carry(const DropAside&) {}
  void Carry(const TrimExperts&) {}
  void Carry(const StartExchange& effect);
  void Carry(const CloseExchange& effect);
  void Carry(const Exit& effect);

  Args args_;
  SoloLanes lanes_;
  Clock clock_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<WorkerCore> core_;
  bool alive_ = true;
  bool open_ = false;
  Wires::EndpointId current_ = 0, standby_ = 0;
  Micros loads_until_ = 0;  // one after another
  Micros computing_ = 0;    // what the event being fed takes
  std::uint64_t steps_broken_ = 0;
};

}  // namespace conclave::sim
