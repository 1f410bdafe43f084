// The all-to-all between workers in virtual time, with the manners of exchange/exchange.h: frames
// are bytes, per pair of endpoints they keep their order, what was sent to an endpoint that has
// gone is gone, and after any error an endpoint is good for nothing but Close.
//
// There is no deadline of an exchange here: a peer that is dead is noticed, and one that has given
// up its step is the coordinator's business.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
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
  using EndpointId = std::size_t;

  explicit Wires(Args args) : args_(std::move(args)) {}

  EndpointId NewEndpoint(int node);
  std::string AddressOf(EndpointId id) const;

  // `done` is called later, unless the endpoint is closed before.
  void Open(EndpointId id, const EpochView& view, Done done);
  // `computing`: the frames leave only after so long. The bytes are copied at once, and looked at
  // again at the end: they must not have changed.
  void Start(EndpointId id, std::span<const OutFrame> sends, FrameSink* sink, Micros computing,
             Done done);
  void Close(EndpointId id);
  // The process is gone: what it has sent may or may not arrive.
  void Kill(int node);

  std::uint64_t exchanges() const { return exchanges_; }
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct Inbox {
    std::deque<std::vector<std::byte>> frames;
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
    Micros leaves = 0;
    bool ending = false;
    Done done;
  };
  struct Member {
    Slot slot;
    EndpointId endpoint;
  };
  struct Endpoint {
    int node = 0;
    bool closed = false;
    bool failed = false;
    Slot self;
    std::vector<Member> peers;            // once open, without itself
    std::map<EndpointId, Inbox> inboxes;  // by sender
    std::optional<Active> active;
  };

  Endpoint& At(EndpointId id) { return *endpoints_[id]; }
  absl::Status Connect(EndpointId id, const EpochView& view);
  void Send(EndpointId from, EndpointId to, std::vector<std::byte> frame, Micros leaves);
  void Receive(EndpointId id);
  void End(EndpointId id, absl::Status status);
  void Finish(EndpointId id, std::uint64_t number, const absl::Status& status);
  Micros Delay() { return args_.dice.Between(1, args_.delay_max); }

  Args args_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::map<std::string, EndpointId> by_address_;
  std::vector<bool> dead_;  // by node
  std::uint64_t exchanges_ = 0;
  std::vector<std::string> complaints_;
};

}  // namespace conclave::sim
