#include "sim/wires.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hash.h"

namespace conclave::sim {
namespace {

constexpr std::size_t kProbeBytes = 8;  // no frame of a step is so small

std::uint64_t HashOf(std::span<const OutFrame> frames) {
  std::uint64_t hash = 0;
  for (const OutFrame& frame : frames) hash = Mix(hash, HashBytes(frame.bytes));
  return hash;
}

absl::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string NamesOf(const std::vector<Slot>& slots) {
  std::string names;
  for (const Slot slot : slots) absl::StrAppend(&names, " ", slot.value);
  return names;
}

}  // namespace

// Where the empty frames of a probe go.
class Wires::Room final : public FrameSink {
 public:
  std::span<std::byte> Reserve(Slot, std::size_t bytes) override {
    return std::span(bytes_).first(std::min(bytes, bytes_.size()));
  }
  std::span<const std::byte> empty() const { return empty_; }

 private:
  std::array<std::byte, kProbeBytes> bytes_{}, empty_{};
};

Wires::EndpointId Wires::NewEndpoint(int seat, int process) {
  const EndpointId id = endpoints_.size();
  endpoints_.push_back(std::make_unique<Endpoint>());
  At(id).seat = seat;
  At(id).process = process;
  by_address_[AddressOf(id)] = id;
  if (dead_.size() <= static_cast<std::size_t>(process)) {
    dead_.resize(static_cast<std::size_t>(process) + 1);
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
    if (!Dead(found->second) && !At(found->second).closed) continue;
    // A connection to one that dies may still succeed, or not.
    if (args_.dice.Percent(50)) {
      return PeerError(peer.slot, "is gone");
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

void Wires::Probe(EndpointId id, const EpochView& view, Micros timeout, ProbeDone done) {
  Open(id, view, [this, id, timeout, done = std::move(done)](const absl::Status& opened) {
    if (!opened.ok()) return done(opened, {});
    const auto room = std::make_shared<Room>();
    std::vector<OutFrame> sends;
    for (const Member& peer : At(id).peers) sends.push_back({peer.slot, room->empty()});
    Start(id, sends, room.get(), timeout, [this, id, room, done](const absl::Status& status) {
      SlotSet unreachable;
      if (!status.ok()) unreachable = At(id).unheard;
      done(status, unreachable);
    });
  });
}

void Wires::Start(EndpointId id, std::span<const OutFrame> sends, FrameSink* sink, Micros timeout,
                  Done done) {
  Endpoint& own = At(id);
  if (own.active.has_value()) complaints_.push_back("[exchange] two at once at one worker");
  if (sends.size() != own.peers.size() && !own.failed) {
    complaints_.push_back("[exchange] does not have one frame for every peer");
  }
  own.active = Active{.number = ++exchanges_,
                      .sends = {sends.begin(), sends.end()},
                      .sent_hash = HashOf(sends),
                      .sink = sink,
                      .got = {},
                      .deadline = args_.schedule.now() + timeout,
                      .ending = false,
                      .done = std::move(done)};
  if (own.failed) return End(id, absl::AbortedError("the epoch is over for this endpoint"));
  for (const OutFrame& frame : sends) {
    const auto peer = std::ranges::find(own.peers, frame.to, &Member::slot);
    if (peer == own.peers.end()) {
      complaints_.push_back(
          absl::StrCat("[exchange] a frame for slot ", frame.to.value, ", not a peer"));
      continue;
    }
    Send(id, peer->endpoint, {frame.bytes.begin(), frame.bytes.end()});
  }
  if (!std::exchange(own.watched, true)) Watch(id);
  Receive(id);
}

// One look at a time: the deadline of whatever is under way then.
void Wires::Watch(EndpointId id) {
  args_.schedule.At(At(id).active->deadline, [this, id] {
    Endpoint& own = At(id);
    own.watched = false;
    if (own.closed || !own.active.has_value() || own.active->ending) return;
    if (own.active->deadline > args_.schedule.now()) {
      own.watched = true;
      return Watch(id);
    }
    End(id, absl::DeadlineExceededError(
                absl::StrCat("nothing came from slots", NamesOf(MissingAt(own)))));
  });
}

void Wires::Send(EndpointId from, EndpointId to, std::vector<std::byte> frame) {
  Inbox& inbox = At(to).inboxes[from];
  Path& path = PathOf(from, to);
  if (inbox.lossy) return;
  if (path.losses > 0) {
    inbox.lossy = true;
    return;
  }
  if (args_.tamper != nullptr && frame.size() > kProbeBytes) args_.tamper->OfFrame(frame);
  if (path.holds > 0) {
    path.held.push_back([this, from, to, held = std::move(frame)] { Arrive(from, to, held); });
  } else {
    Arrive(from, to, std::move(frame));
  }
}

// Under way, on a path that is whole.
void Wires::Arrive(EndpointId from, EndpointId to, std::vector<std::byte> frame) {
  Inbox& inbox = At(to).inboxes[from];
  inbox.last = std::max(inbox.last, args_.schedule.now() + Delay() + PathOf(from, to).extra);
  args_.schedule.At(inbox.last, [this, from, to, frame = std::move(frame)]() mutable {
    Endpoint& receiver = At(to);
    if (receiver.closed) return;
    Inbox& into = receiver.inboxes[from];
    if (into.cut || into.lossy) return;
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
        return End(id, PeerError(peer.slot, "is gone"));
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

std::vector<Slot> Wires::MissingAt(const Endpoint& endpoint) const {
  std::vector<Slot> missing;
  for (const Member& peer : endpoint.peers) {
    const std::vector<Slot>& got = endpoint.active->got;
    if (std::ranges::find(got, peer.slot) == got.end()) missing.push_back(peer.slot);
  }
  return missing;
}

Wires::Waiting Wires::WaitingAt(EndpointId id) const {
  const Endpoint& own = *endpoints_[id];
  Waiting waiting;
  waiting.active = !own.closed && own.active.has_value();
  if (!waiting.active) return waiting;
  for (const Slot slot : MissingAt(own)) waiting.missing.Add(slot);
  return waiting;
}

void Wires::End(EndpointId id, absl::Status status) {
  Endpoint& own = At(id);
  Active& active = *own.active;
  active.ending = true;
  own.unheard = {};
  for (const Slot slot : MissingAt(own)) own.unheard.Add(slot);
  if (!status.ok()) own.failed = true;
  args_.schedule.After(1, [this, id, number = active.number, status = std::move(status)] {
    Finish(id, number, status);
  });
}

void Wires::Finish(EndpointId id, std::uint64_t number, const absl::Status& status) {
  Endpoint& own = At(id);
  if (own.closed || !own.active.has_value() || own.active->number != number) return;
  const Active active = *std::exchange(own.active, std::nullopt);
  if (HashOf(active.sends) != active.sent_hash) {
    complaints_.push_back("[exchange] frames were changed while they were being sent");
  }
  args_.history.Note(args_.schedule.now(), "exchanged", static_cast<std::int64_t>(id),
                     status.message());
  active.done(status);
}

void Wires::Abort(EndpointId id) {
  Endpoint& own = At(id);
  if (own.closed) return;
  own.failed = true;
  if (own.active.has_value() && !own.active->ending) End(id, absl::AbortedError("aborted"));
}

void Wires::Close(EndpointId id) {
  Endpoint& own = At(id);
  own.closed = true;
  own.active.reset();
  own.inboxes.clear();
}

void Wires::Kill(int process) {
  dead_[static_cast<std::size_t>(process)] = true;
  for (EndpointId id = 0; id < endpoints_.size(); ++id) {
    if (At(id).process != process || At(id).closed) continue;
    At(id).active.reset();
    for (EndpointId other = 0; other < endpoints_.size(); ++other) Hangup(id, other);
    At(id).closed = true;
    At(id).inboxes.clear();
  }
}

// The end of the connection comes after what was on it, or instead, or not at all.
void Wires::Hangup(EndpointId id, EndpointId other) {
  Endpoint& peer = At(other);
  const bool knows = std::ranges::find(peer.peers, id, &Member::endpoint) != peer.peers.end();
  const Path& path = PathOf(id, other);
  if (!knows || peer.closed || peer.process == At(id).process) return;
  if (path.holds > 0 || path.losses > 0) return;
  Inbox& inbox = peer.inboxes[id];
  inbox.cut = args_.dice.Percent(50);
  const Micros when = std::max(inbox.last, args_.schedule.now()) + Delay();
  args_.schedule.At(when, [this, id, other] {
    if (At(other).closed) return;
    At(other).inboxes[id].broken = true;
    Receive(other);
  });
}

// ---- faults

void Wires::Cut(int from, int to, Block how) {
  Path& path = paths_[{from, to}];
  ++(how == Block::kHold ? path.holds : path.losses);
}

void Wires::Mend(int from, int to) {
  Path& path = paths_[{from, to}];
  path.holds = 0;
  path.losses = 0;
  for (const std::function<void()>& deed : std::exchange(path.held, {})) deed();
}

void Wires::Slow(int from, int to, Micros extra) { paths_[{from, to}].extra = extra; }

}  // namespace conclave::sim
