#include "sim/wires.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"

namespace conclave::sim {
namespace {

std::uint64_t HashOf(std::span<const OutFrame> frames) {
  std::uint64_t hash = 0;
  for (const OutFrame& frame : frames) hash = Mix(hash, HashBytes(frame.bytes));
  return hash;
}

absl::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Wires::EndpointId Wires::NewEndpoint(int node) {
  const EndpointId id = endpoints_.size();
  endpoints_.push_back(std::make_unique<Endpoint>());
  At(id).node = node;
  by_address_[AddressOf(id)] = id;
  if (dead_.size() <= static_cast<std::size_t>(node)) {
    dead_.resize(static_cast<std::size_t>(node) + 1);
  }
  return id;
}

std::string Wires::AddressOf(EndpointId id) const { return absl::StrCat("endpoint-", id); }

absl::Status Wires::Connect(EndpointId id, const EpochView& view) {
  Endpoint& own = At(id);
  own.self = view.self;
  for (const Peer& peer : view.peers) {
    const auto found = by_address_.find(peer.address);
    if (found == by_address_.end()) {
      return absl::UnavailableError(absl::StrCat("nothing listens at ", peer.address));
    }
    if (peer.slot == view.self) {
      if (found->second != id) return absl::FailedPreconditionError("not the standby's address");
      continue;
    }
    own.peers.push_back({peer.slot, found->second});
    const Endpoint& other = At(found->second);
    if (!dead_[static_cast<std::size_t>(other.node)] && !other.closed) continue;
    // A connection to one that dies may still succeed, or not.
    if (args_.dice.Percent(50)) {
      return absl::UnavailableError(absl::StrCat("slot ", peer.slot.value, " is gone"));
    }
    own.inboxes[found->second].broken = true;
  }
  return absl::OkStatus();
}

void Wires::Open(EndpointId id, const EpochView& view, Done done) {
  args_.schedule.After(Delay() + Delay(), [this, id, view, done = std::move(done)] {
    if (At(id).closed) return;
    const absl::Status status = Connect(id, view);
    At(id).failed = !status.ok();
    args_.history.Note(args_.schedule.now(), "opened", static_cast<std::int64_t>(id),
                       status.message());
    done(status);
  });
}

void Wires::Start(EndpointId id, std::span<const OutFrame> sends, FrameSink* sink, Micros computing,
                  Done done) {
  Endpoint& own = At(id);
  if (own.active.has_value()) complaints_.push_back("two exchanges at once at one worker");
  if (sends.size() != own.peers.size() && !own.failed) {
    complaints_.push_back("an exchange does not have one frame for every peer");
  }
  const Micros leaves = args_.schedule.now() + computing;
  own.active = Active{.number = ++exchanges_,
                      .sends = {sends.begin(), sends.end()},
                      .sent_hash = HashOf(sends),
                      .sink = sink,
                      .got = {},
                      .leaves = leaves,
                      .ending = false,
                      .done = std::move(done)};
  if (own.failed) return End(id, absl::AbortedError("the epoch is over for this endpoint"));
  for (const OutFrame& frame : sends) {
    const auto peer = std::ranges::find(own.peers, frame.to, &Member::slot);
    if (peer == own.peers.end()) {
      complaints_.push_back(absl::StrCat("a frame for slot ", frame.to.value, ", not a peer"));
      continue;
    }
    Send(id, peer->endpoint, {frame.bytes.begin(), frame.bytes.end()}, leaves);
  }
  Receive(id);
}

void Wires::Send(EndpointId from, EndpointId to, std::vector<std::byte> frame, Micros leaves) {
  Inbox& inbox = At(to).inboxes[from];
  inbox.last = std::max(inbox.last, leaves + Delay());
  if (args_.tamper != nullptr) args_.tamper->OfFrame(frame);
  args_.schedule.At(inbox.last, [this, from, to, leaves, frame = std::move(frame)]() mutable {
    Endpoint& receiver = At(to);
    Inbox& into = receiver.inboxes[from];
    if (receiver.closed || into.cut) return;
    // Gone before it had left.
    if (dead_[static_cast<std::size_t>(At(from).node)] && leaves >= args_.schedule.now()) return;
    args_.history.Note(args_.schedule.now(), "frame", static_cast<std::int64_t>(to * 1000 + from),
                       TextOf(frame));
    into.frames.push_back(std::move(frame));
    Receive(to);
  });
}

// Takes what has come for the exchange under way: one frame of each peer.
void Wires::Receive(EndpointId id) {
  Endpoint& own = At(id);
  if (own.closed || !own.active.has_value() || own.active->ending) return;
  Active& active = *own.active;
  for (const Member& peer : own.peers) {
    if (std::ranges::find(active.got, peer.slot) != active.got.end()) continue;
    Inbox& inbox = own.inboxes[peer.endpoint];
    if (inbox.frames.empty()) {
      if (inbox.broken) {
        return End(id, absl::UnavailableError(absl::StrCat("slot ", peer.slot.value, " is gone")));
      }
      continue;
    }
    const std::vector<std::byte> frame = std::move(inbox.frames.front());
    inbox.frames.pop_front();
    const std::span<std::byte> room = active.sink->Reserve(peer.slot, frame.size());
    if (room.size() != frame.size()) {
      return End(id, absl::ResourceExhaustedError("a frame does not fit"));
    }
    std::memcpy(room.data(), frame.data(), frame.size());
    active.got.push_back(peer.slot);
  }
  if (active.got.size() == own.peers.size()) End(id, absl::OkStatus());
}

void Wires::End(EndpointId id, absl::Status status) {
  Active& active = *At(id).active;
  active.ending = true;
  if (!status.ok()) At(id).failed = true;
  const Micros when = std::max(active.leaves, args_.schedule.now() + 1);
  args_.schedule.At(when, [this, id, number = active.number, status = std::move(status)] {
    Finish(id, number, status);
  });
}

void Wires::Finish(EndpointId id, std::uint64_t number, const absl::Status& status) {
  Endpoint& own = At(id);
  if (own.closed || !own.active.has_value() || own.active->number != number) return;
  const Active active = *std::exchange(own.active, std::nullopt);
  if (HashOf(active.sends) != active.sent_hash) {
    complaints_.push_back("frames were changed while they were being sent");
  }
  args_.history.Note(args_.schedule.now(), "exchanged", static_cast<std::int64_t>(id),
                     status.message());
  active.done(status);
}

void Wires::Close(EndpointId id) {
  Endpoint& own = At(id);
  own.closed = true;
  own.active.reset();
  own.inboxes.clear();
}

void Wires::Kill(int node) {
  dead_[static_cast<std::size_t>(node)] = true;
  for (EndpointId id = 0; id < endpoints_.size(); ++id) {
    if (At(id).node != node) continue;
    At(id).active.reset();
    for (EndpointId other = 0; other < endpoints_.size(); ++other) {
      const bool knows =
          std::ranges::find(At(other).peers, id, &Member::endpoint) != At(other).peers.end();
      if (!knows || At(other).closed || At(other).node == node) continue;
      // The end of the connection comes after what was on it, or instead.
      Inbox& inbox = At(other).inboxes[id];
      inbox.cut = args_.dice.Percent(50);
      const Micros when = std::max(inbox.last, args_.schedule.now()) + Delay();
      args_.schedule.At(when, [this, id, other] {
        if (At(other).closed) return;
        At(other).inboxes[id].broken = true;
        Receive(other);
      });
    }
    At(id).closed = true;
    At(id).inboxes.clear();
  }
}

}  // namespace conclave::sim
