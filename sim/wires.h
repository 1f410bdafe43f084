// The all-to-all between workers in virtual time, with the contract of exchange/exchange.h: frames
// are bytes and keep their order per pair of endpoints, what was sent to a closed endpoint is lost,
// and after an error an endpoint can only be closed.
//
// The death of a peer is noticed if the path from it is whole. A peer that has given up its step, or
// whose frames are lost, is left to the coordinator, and at worst to the deadline.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/slot_set.h"
#include "exchange/exchange.h"
#include "sim/dice.h"
#include "sim/history.h"
#include "sim/schedule.h"
#include "sim/tamper.h"

namespace conclave::sim {

class Wires {
 public:
  struct Args {
    Schedule& schedule;
    History& history;
    Dice dice;
    Micros delay_max = 0;
    Tamper* tamper = nullptr;
  };
  using Done = std::function<void(absl::Status)>;
  using ProbeDone = std::function<void(absl::Status, SlotSet unreachable)>;
  using EndpointId = std::size_t;
  struct Waiting {
    bool active = false;  // an exchange is under way
    SlotSet missing;      // peers whose frames have not come
  };

  explicit Wires(Args args) : args_(std::move(args)) {}

  // `seat`: the machine, of which there are few; `process`: one that runs there, never used again.
  EndpointId NewEndpoint(int seat, int process);
  std::string AddressOf(EndpointId id) const;

  // `done` is called later, unless the endpoint is closed before.
  void Open(EndpointId id, const EpochView& view, Done done);
  // The frames leave at once; the bytes are copied, and looked at
  // again at the end: they must not have changed.
  void Start(EndpointId id, std::span<const OutFrame> sends, FrameSink* sink, Micros timeout,
             Done done);
  // Opens, then swaps one empty frame with every peer.
  void Probe(EndpointId id, const EpochView& view, Micros timeout, ProbeDone done);
  // Ends what is under way, and all that comes, with Aborted.
  void Abort(EndpointId id);
  void Close(EndpointId id);
  Waiting WaitingAt(EndpointId id) const;
  // The process is gone: what it has sent may or may not arrive.
  void Kill(int process);

  // The way from one seat to another.
  enum class Block : std::uint8_t {
    kHold,  // what is sent meanwhile arrives when the way is whole again
    kLose,  // what is sent meanwhile is lost, and its connection never works again
  };
  void Cut(int from, int to, Block how);
  void Mend(int from, int to);                // whatever was done to it
  void Slow(int from, int to, Micros extra);  // 0: not any more

  std::uint64_t exchanges() const { return exchanges_; }
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct Inbox {
    std::deque<std::vector<std::byte>> frames;
    bool lossy = false;   // a frame of it was lost: none may come after it
    bool broken = false;  // nothing more will come
    bool cut = false;     // and what is on its way does not arrive either
    Micros last = 0;      // arrival: order is kept
  };
  struct Active {
    std::uint64_t number = 0;
    std::vector<OutFrame> sends;
    std::uint64_t sent_hash = 0;
    FrameSink* sink = nullptr;
    std::vector<Slot> got;
    Micros deadline = 0;
    bool ending = false;
    Done done;
  };
  struct Member {
    Slot slot;
    EndpointId endpoint;
  };
  struct Endpoint {
    int seat = 0;
    int process = 0;
    bool closed = false;
    bool watched = false;  // its deadline is looked at
    bool failed = false;
    Slot self;
    std::vector<Member> peers;            // once open, without itself
    std::map<EndpointId, Inbox> inboxes;  // by sender
    SlotSet unheard;                      // in the exchange that ended last
    std::optional<Active> active;
  };

  struct Path {
    int holds = 0, losses = 0;
    Micros extra = 0;
    std::vector<std::function<void()>> held;
  };
  class Room;

  Endpoint& At(EndpointId id) { return *endpoints_[id]; }
  bool Dead(EndpointId id) { return dead_[static_cast<std::size_t>(At(id).process)]; }
  Path& PathOf(EndpointId from, EndpointId to) { return paths_[{At(from).seat, At(to).seat}]; }
  std::vector<Slot> MissingAt(const Endpoint& endpoint) const;
  absl::Status Connect(EndpointId id, const EpochView& view);
  void Send(EndpointId from, EndpointId to, std::vector<std::byte> frame);
  void Arrive(EndpointId from, EndpointId to, std::vector<std::byte> frame);
  void Watch(EndpointId id);
  void Receive(EndpointId id);
  void End(EndpointId id, absl::Status status);
  void Finish(EndpointId id, std::uint64_t number, const absl::Status& status);
  void Hangup(EndpointId id, EndpointId other);
  Micros Delay() { return args_.dice.Between(1, args_.delay_max); }

  Args args_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::map<std::string, EndpointId> by_address_;
  std::vector<bool> dead_;                     // by process
  std::map<std::pair<int, int>, Path> paths_;  // by seats, from and to
  std::uint64_t exchanges_ = 0;
  std::vector<std::string> complaints_;
};

}  // namespace conclave::sim
