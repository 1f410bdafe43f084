// Between the coordinator and the workers: processes, and the control streams that they dial.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "protocol/codec.h"
#include "sim/world.h"

namespace conclave::sim {
namespace {

constexpr std::uint64_t kNodeRolls = 100;
constexpr Micros kStartsWithin = 2'000;  // of two, either may be the first

}  // namespace

Node::Args World::NodeArgs(int seat) {
  const int process = processes_++;
  return {.number = seat,
          .process = process,
          .shape = args_.options.nodes[static_cast<std::size_t>(seat)],
          .options = args_.options,
          .toy = args_.toy,
          .schedule = schedule_,
          .history = history_,
          .wires = wires_,
          .dice = Dice(args_.seed, kNodeRolls + static_cast<std::uint64_t>(process)),
          .tamper = args_.tamper,
          .at =
              [this, seat](Moment moment) {
                if (SeatOf(seat).strikes.contains(moment)) Crash(seat);
              },
          .exited = [this, seat](bool failed,
                                 const std::string& reason) { Exited(seat, failed, reason); },
          .complain = [this](std::string what) { complaints_.Add(std::move(what)); }};
}

void World::StartNodes() {
  seats_.resize(args_.options.nodes.size());
  for (int seat = 0; seat < static_cast<int>(seats_.size()); ++seat) {
    const NodeShape& shape = args_.options.nodes[static_cast<std::size_t>(seat)];
    const Micros when = shape.joins_at + Delay(kStartsWithin);
    last_event_ = std::max(last_event_, when);
    StartLater(seat, when);
    if (!shape.leaves_at.has_value()) continue;
    last_event_ = std::max(last_event_, *shape.leaves_at);
    schedule_.At(*shape.leaves_at, [this, seat] { Drain(seat); });
  }
}

void World::StartOperator() {
  for (const Micros when : args_.options.rebalances_at) {
    last_event_ = std::max(last_event_, when);
    schedule_.At(when, [this] { AskToRebalance(); });
  }
}

void World::StartLater(int number, Micros delay) {
  ++SeatOf(number).starting;
  schedule_.After(delay, [this, number] {
    --SeatOf(number).starting;
    StartProcess(number);
  });
}

void World::StartProcess(int number) {
  Seat& seat = SeatOf(number);
  if (seat.over || (seat.node != nullptr && seat.node->alive())) return;
  auto node = std::make_unique<Node>(NodeArgs(number));
  Node* const raw = node.get();
  raw->Wire([this, number, raw](const FromWorker& message) { FromNode(number, raw, message); },
            [this, raw](const FromWorker& message) { epochs_.Said(*raw, message); });
  seat.processes.push_back(std::move(node));
  seat.node = raw;
  history_.Trace(schedule_.now(),
                 absl::StrCat("node ", number, " runs as process ", raw->process()));
  if (raw->shape().flaw == Flaw::kDeaf && !healed_) DeafenTo(number);
  Dial(number, raw);
}

// Frames of its neighbour never come. If that one joins later, it is the newcomer that is refused.
void World::DeafenTo(int number) {
  const int peer = (number + 1) % static_cast<int>(seats_.size());
  wires_.Cut(peer, number, Wires::Block::kLose);
  const auto joins_at = [this](int each) {
    return args_.options.nodes[static_cast<std::size_t>(each)].joins_at;
  };
  if (joins_at(peer) + kStartsWithin > joins_at(number)) {
    Trouble(peer, args_.options.faults.heals_at);
  }
}

void World::Dial(int number, const Node* node) {
  Seat& seat = SeatOf(number);
  if (seat.node != node || !node->alive() || seat.link != nullptr) return;
  if (core_ == nullptr) {
    return seat.node->Later(dice_.Between(20'000, 200'000),
                            [this, number, node] { Dial(number, node); });
  }
  links_.push_back(std::make_unique<Link>());
  Link& link = *links_.back();
  link.id = LinkId{links_.size()};
  link.seat = number;
  link.node = seat.node;
  seat.link = &link;
  Up(link, [this, &link] {
    if (link.coordinator_end) Tell(WorkerArrived{schedule_.now(), link.id});
  });
  seat.node->LinkUp();
}

World::Link* World::Find(LinkId id) {
  const auto index = static_cast<std::size_t>(id.value - 1);
  return index < links_.size() ? links_[index].get() : nullptr;
}

// ---- two directions, each in order

void World::Up(Link& link, std::function<void()> deed) {
  const Seat& seat = SeatOf(link.seat);
  if (seat.stalled_out > 0) return link.held_out.push_back(std::move(deed));
  link.to_coordinator =
      std::max(link.to_coordinator,
               schedule_.now() + Delay(args_.options.link_delay_max) + seat.extra_delay);
  schedule_.At(link.to_coordinator, std::move(deed));
}

void World::Down(Link& link, std::function<void()> deed) {
  const Seat& seat = SeatOf(link.seat);
  if (seat.stalled_in > 0) return link.held_in.push_back(std::move(deed));
  link.to_worker = std::max(
      link.to_worker, schedule_.now() + Delay(args_.options.link_delay_max) + seat.extra_delay);
  schedule_.At(link.to_worker, std::move(deed));
}

void World::FromNode(int number, const Node* node, const FromWorker& message) {
  Seat& seat = SeatOf(number);
  if (seat.node != node || seat.link == nullptr) return;  // nobody hears it
  Link& link = *seat.link;
  if (const auto* hello = std::get_if<Hello>(&message)) {
    link.listener = {.node = node, .uuid = hello->uuid, .knew = hello->last_epoch};
  }
  const bool greeted = !link.listener.uuid.empty();
  Up(link, [this, &link, greeted, bytes = Encode(message)] { Arrive(link, bytes, greeted); });
}

void World::Arrive(Link& link, const std::string& bytes, bool greeted) {
  if (!link.coordinator_end || link.lost) return;
  absl::StatusOr<FromWorker> decoded = DecodeFromWorker(bytes);
  if (!decoded.ok()) return complaints_.Add(std::string(decoded.status().message()));
  history_.Note(schedule_.now(), "to coordinator", link.seat, bytes);
  // A strand that was slow to notice may say its last words of an old stream on the new one.
  const auto* result = std::get_if<StepResult>(&*decoded);
  if (result != nullptr && greeted) plans_.Answered(*result);
  if (const auto* broken = std::get_if<StepBroken>(&*decoded)) {
    Unhealthy(absl::StrCat("step ", broken->step.value, " broke: ", broken->error));
  }
  if (const auto* ready = std::get_if<Ready>(&*decoded); ready != nullptr && !ready->ok) {
    Unhealthy(absl::StrCat("not ready: ", ready->error));
  }
  if (const auto* loaded = std::get_if<Loaded>(&*decoded); loaded != nullptr && !loaded->ok) {
    Unhealthy(absl::StrCat("not loaded: ", loaded->error));
  }
  if (const auto* reached = std::get_if<Connected>(&*decoded); reached != nullptr && !reached->ok) {
    Unhealthy(absl::StrCat("not connected: ", reached->error));
  }
  Tell(WorkerSaid{schedule_.now(), link.id, *std::move(decoded)});
}

void World::ToNode(LinkId id, const ToWorker& message) {
  Link* link = Find(id);
  if (link == nullptr) return complaints_.Add("[links] a message for one that never was");
  if (const auto* ask = std::get_if<StepAsk>(&message)) plans_.Sent(*ask, link->node->shape());
  epochs_.Sent(link->listener, message);
  Down(*link, [this, link, bytes = Encode(message)] {
    if (!link->worker_end) return;
    absl::StatusOr<ToWorker> decoded = DecodeToWorker(bytes);
    if (!decoded.ok()) return complaints_.Add(std::string(decoded.status().message()));
    history_.Note(schedule_.now(), "to worker", link->seat, bytes);
    if (args_.tamper != nullptr) args_.tamper->OfArrival(link->seat, *decoded);
    link->node->Do([link, said = *std::move(decoded)] {
      if (link->worker_end) link->node->Hear(said);
    });
  });
}

// ---- ends of streams

// The worker's end is gone: it has noticed, or is gone itself. `says_so`: the other end will hear.
void World::CloseAtWorker(Link& link, bool says_so) {
  if (!std::exchange(link.worker_end, false)) return;
  Seat& seat = SeatOf(link.seat);
  if (seat.link == &link) seat.link = nullptr;
  if (says_so) Up(link, [this, &link] { CloseAtCoordinator(link, false); });
  Node* const node = link.node;
  node->LinkLost();
  node->Later(dice_.Between(20'000, 200'000),
              [this, number = link.seat, node] { Dial(number, node); });
}

void World::CloseAtCoordinator(Link& link, bool says_so) {
  if (!std::exchange(link.coordinator_end, false)) return;
  if (says_so) {
    // A process that stands still does not notice before it goes on.
    Down(link, [this, &link] { link.node->Do([this, &link] { CloseAtWorker(link, false); }); });
  }
  Tell(WorkerGone{schedule_.now(), link.id, "the stream ended"});
}

void World::DropNode(LinkId id, const std::string& reason) {
  Link* link = Find(id);
  if (link == nullptr) return complaints_.Add("[links] one is dropped that never was");
  const Seat& seat = SeatOf(link->seat);
  const std::string what =
      absl::StrCat("link ", id.value, " of node ", link->seat, " is dropped: ", reason);
  history_.Trace(schedule_.now(), what);
  // Nobody may be dropped for another's trouble.
  const bool healthy = link->node->alive() && seat.trouble_until < schedule_.now() &&
                       link->node->shape().flaw == Flaw::kNone;
  if (healthy && link->worker_end) complaints_.Add("[health] " + what);
  // What is on its way is still heard for a moment.
  schedule_.After(Delay(args_.options.link_delay_max),
                  [this, link] { CloseAtCoordinator(*link, true); });
}

void World::Exited(int number, bool failed, const std::string& reason) {
  Seat& seat = SeatOf(number);
  Node& node = *seat.node;
  if (!node.alive()) return;
  history_.Trace(schedule_.now(), absl::StrCat("node ", number, " exits: ", reason));
  const Flaw flaw = node.shape().flaw;
  if (!failed && !seat.leaving) complaints_.Add("[drain] one who did not ask is sent away");
  if (failed && flaw == Flaw::kNone && seat.trouble_until < schedule_.now()) {
    complaints_.Add("[health] node exits: " + reason);
  }
  node.Kill();
  // One that was to end anyway is not started again.
  seat.over = !failed || flaw != Flaw::kNone || seat.leaving;
  if (seat.link != nullptr) CloseAtWorker(*seat.link, true);
  if (!seat.over) {
    StartLater(number, dice_.Between(10'000, 500'000));
  }
}

}  // namespace conclave::sim
