// What goes wrong, and how it is made whole again.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "sim/world.h"

namespace conclave::sim {
namespace {

constexpr Micros kAfterwards = 3'000'000;  // after it went on, a worker may still be given up
constexpr Micros kForEver = 1'000'000'000'000;

}  // namespace

void World::Arm(const Fault& fault) {
  // Before the first epoch a cluster waits for all its workers, and so does a fault.
  if (report_.epochs == 0) {
    schedule_.After(args_.options.tick_every, [this, &fault] { Arm(fault); });
    return;
  }
  if (healed_ || SeatOf(fault.node).over || SeatOf(fault.node).node == nullptr) return;
  Strike(fault);
}

Micros World::EndOf(const Fault& fault) const {
  const Micros heals_at = args_.options.faults.heals_at;
  const Micros end = schedule_.now() + fault.lasts;
  return heals_at > 0 ? std::max(std::min(end, heals_at), schedule_.now()) : end;
}

void World::Strike(const Fault& fault) {
  history_.Trace(schedule_.now(), absl::StrCat("fault: ", NameOf(fault.kind), " at node ",
                                               fault.node, ", until ", EndOf(fault)));
  switch (fault.kind) {
    case FaultKind::kCrash:
    case FaultKind::kCrashAt:
    case FaultKind::kHang:
    case FaultKind::kWedge:
    case FaultKind::kLoadFails:
      return StrikeProcess(fault);
    case FaultKind::kControlBreaks:
    case FaultKind::kControlStalls:
    case FaultKind::kControlIsSlow:
      return StrikeLink(fault);
    case FaultKind::kFramesStop:
    case FaultKind::kFramesAreSlow:
      return StrikeFrames(fault);
    case FaultKind::kCoordinatorRestarts:
      ++report_.faults;
      return StopCoordinator(fault.extra);
  }
}

// From now on the others may have reason to give it up.
void World::Trouble(int seat, Micros until) {
  SeatOf(seat).trouble_until = std::max(SeatOf(seat).trouble_until, until + kAfterwards);
}

void World::StrikeProcess(const Fault& fault) {
  Seat& seat = SeatOf(fault.node);
  Node* const node = seat.node;
  if (!node->alive()) return;
  const Micros end = EndOf(fault);
  seat.restarts_after = fault.lasts;
  if (fault.kind == FaultKind::kCrash) return Crash(fault.node);
  if (fault.kind == FaultKind::kCrashAt) {
    seat.strikes.insert(fault.moment);
    return;
  }
  ++report_.faults;
  if (fault.kind == FaultKind::kLoadFails) {
    node->FailNextLoad();
    return Trouble(fault.node, kForEver);
  }
  if (fault.kind == FaultKind::kHang) {
    node->Hang();
  } else {
    node->Wedge();
  }
  Trouble(fault.node, end);
  schedule_.At(end, [this, node] {
    history_.Trace(schedule_.now(), absl::StrCat("node ", node->number(), " goes on"));
    node->GoOn();
  });
}

void World::StrikeLink(const Fault& fault) {
  Seat& seat = SeatOf(fault.node);
  ++report_.faults;
  const Micros end = EndOf(fault);
  Trouble(fault.node, end);
  if (fault.kind == FaultKind::kControlBreaks) {
    if (seat.link != nullptr) {
      Link& link = *seat.link;
      link.node->Do([this, &link] { CloseAtWorker(link, true); });
    }
    return;
  }
  const bool stalls = fault.kind == FaultKind::kControlStalls;
  // One whose words are never acknowledged soon says nothing more: inwards alone does not happen.
  const bool in = stalls && fault.inwards;
  const bool out = stalls;
  seat.stalled_in += in ? 1 : 0;
  seat.stalled_out += out ? 1 : 0;
  if (!stalls) seat.extra_delay = fault.extra;
  schedule_.At(end, [this, &seat, in, out] {
    seat.stalled_in -= in ? 1 : 0;
    seat.stalled_out -= out ? 1 : 0;
    seat.extra_delay = 0;
    for (const auto& link : links_) {
      if (&SeatOf(link->seat) != &seat) continue;
      if (seat.stalled_in == 0) {
        for (auto& deed : std::exchange(link->held_in, {})) Down(*link, std::move(deed));
      }
      if (seat.stalled_out == 0) {
        for (auto& deed : std::exchange(link->held_out, {})) Up(*link, std::move(deed));
      }
    }
  });
}

void World::StrikeFrames(const Fault& fault) {
  if (fault.peer == fault.node) return;
  ++report_.faults;
  const int node = fault.node;
  const int peer = fault.peer;
  const Micros end = EndOf(fault);
  if (fault.kind == FaultKind::kFramesAreSlow) {
    wires_.Slow(node, peer, fault.extra);
    if (fault.inwards) wires_.Slow(peer, node, fault.extra);
  } else {
    // Which of the two is given up is the coordinator's choice.
    Trouble(node, end);
    Trouble(peer, end);
    const auto how = fault.loses ? Wires::Block::kLose : Wires::Block::kHold;
    if (fault.outwards) wires_.Cut(node, peer, how);
    if (fault.inwards) wires_.Cut(peer, node, how);
  }
  schedule_.At(end, [this, node, peer] {
    for (const auto& [from, to] : {std::pair(node, peer), std::pair(peer, node)}) {
      wires_.Slow(from, to, 0);
      wires_.Mend(from, to);
    }
  });
}

void World::Crash(int number) {
  Seat& seat = SeatOf(number);
  if (!seat.node->alive()) return;
  ++report_.faults;
  seat.strikes.clear();
  history_.Trace(schedule_.now(), absl::StrCat("node ", number, " crashes"));
  seat.node->Kill();
  // Its stream ends; or, when the machine has gone with it, nobody says so.
  const bool says_so = !args_.options.faults.restart || dice_.Percent(80);
  if (seat.link != nullptr) {
    seat.link->lost = dice_.Percent(50);
    CloseAtWorker(*seat.link, says_so);
  }
  if (!args_.options.faults.restart) return;
  StartLater(number, seat.restarts_after + 1);
}

// It is asked to leave: by a signal, or by an operator.
void World::Drain(int number) {
  Seat& seat = SeatOf(number);
  if (seat.over) return;
  // One that is not there, or has not yet come, is asked when it is.
  const bool there = seat.node != nullptr && seat.node->alive() && seat.link != nullptr &&
                     !seat.link->listener.uuid.empty() && core_ != nullptr;
  if (!there) {
    schedule_.After(50'000, [this, number] { Drain(number); });
    return;
  }
  seat.leaving = true;
  history_.Trace(schedule_.now(), absl::StrCat("node ", number, " is asked to leave"));
  if (dice_.Percent(50)) {
    const std::uint64_t ticket = next_ticket_++;
    admin_tickets_.insert(ticket);
    Tell(DrainAsked{schedule_.now(), ticket, seat.link->listener.uuid});
  } else {
    seat.node->Do([node = seat.node] { node->WantToLeave(); });
  }
  // A drain that was lost with its coordinator, or with its worker's last life, is asked for again.
  schedule_.After(1'000'000, [this, number] { Drain(number); });
}

// While there is no coordinator, nobody answers, and the operator asks no more.
void World::AskToRebalance() {
  if (core_ == nullptr) return;
  const std::uint64_t ticket = next_ticket_++;
  admin_tickets_.insert(ticket);
  rebalance_tickets_.insert(ticket);
  Tell(RebalanceAsked{schedule_.now(), ticket});
}

void World::Heal() {
  healed_ = true;
  history_.Trace(schedule_.now(), "everything is made whole");
  const int seats = static_cast<int>(seats_.size());
  for (int from = 0; from < seats; ++from) {
    for (int to = 0; to < seats; ++to) {
      wires_.Slow(from, to, 0);
      wires_.Mend(from, to);
    }
  }
  for (int number = 0; number < seats; ++number) {
    Seat& seat = SeatOf(number);
    seat.strikes.clear();
    if (seat.node == nullptr) continue;
    // One that can never serve is taken away.
    const Flaw flaw = seat.node->shape().flaw;
    if (flaw != Flaw::kNone && flaw != Flaw::kDeaf) {
      seat.over = true;
      seat.node->Kill();
      if (seat.link != nullptr) CloseAtWorker(*seat.link, true);
      continue;
    }
    if (!seat.node->alive() && args_.options.faults.restart) StartProcess(number);
  }
}

// Without a fault nothing of this kind may happen.
void World::Unhealthy(const std::string& what) {
  history_.Trace(schedule_.now(), what);
  const bool flawed = std::ranges::any_of(
      args_.options.nodes, [](const NodeShape& node) { return node.flaw != Flaw::kNone; });
  const bool leaving = std::ranges::any_of(seats_, [](const Seat& seat) { return seat.leaving; });
  if (report_.faults == 0 && !flawed && !leaving) complaints_.Add("[health] " + what);
}

}  // namespace conclave::sim
