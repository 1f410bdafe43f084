#include "torture/tormentor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"

namespace conclave::torture {
namespace {

constexpr Micros kPatience = 10'000'000;      // a fault that is impossible for longer is skipped
constexpr Micros kRetriesAfter = 10'000'000;  // clients may find out late that it is back
constexpr Micros kAfterEnd = 1'000'000;       // a deed can be felt
constexpr Micros kAfterKill = 2'000'000;
constexpr Micros kLinksHeal = 10'000'000;  // TCP's pauses after loss included
constexpr std::string_view kRefusedForLinks = "its links to other workers carry nothing";

}  // namespace

Tormentor::Tormentor(const Parts& parts, TormentorOptions options, int workers)
    : parts_(parts),
      options_(std::move(options)),
      places_(static_cast<std::size_t>(parts.fleet.options().workers_max)) {
  for (int i = 0; i < workers; ++i) At(i).state = State::kWhole;
}

void Tormentor::Begin(Micros start, const std::vector<Deed>& plan) {
  start_ = start;
  for (const Deed& deed : plan) {
    DeedRecord& record = records_.emplace_back();
    record.deed = deed;
    record.what = NameOf(deed.kind);
    if (deed.place >= 0) absl::StrAppend(&record.what, " worker ", deed.place);
  }
  planned_ = plan.size();
}

void Tormentor::Tick(Micros now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    const Later due = std::move(later_.extract(later_.begin()).mapped());
    due.act(now);
  }
  LookAtCoordinator(now);
  for (std::size_t i = 0; i < places_.size(); ++i) LookAtPlace(static_cast<int>(i), now);
  LookAtStrangers(now);
  if (!healing_) TryDue(now);
  parts_.load.AllowRetries(coordinator_record_.has_value() || now < retries_until_);
}

void Tormentor::Heal(Micros now) {
  healing_ = true;
  for (std::size_t i = 0; i < planned_; ++i) {
    if (records_[i].began == 0) records_[i].skipped = true;
  }
  std::multimap<Micros, Later> pending = std::exchange(later_, {});
  for (auto& [at, one] : pending) {
    if (one.undoes) one.act(now);
  }
}

bool Tormentor::Settled() const { return Unsettled().empty(); }

std::string Tormentor::Unsettled() const {
  if (coordinator_record_.has_value()) return "the coordinator";
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const State state = places_[i].state;
    if (state != State::kEmpty && state != State::kWhole) return absl::StrCat("worker ", i);
  }
  return strangers_.empty() ? "" : "a joiner that is to be refused";
}

int Tormentor::Count(DeedKind kind) const {
  return static_cast<int>(std::ranges::count_if(records_, [&](const DeedRecord& record) {
    return record.planned && record.began > 0 && record.deed.kind == kind;
  }));
}

int Tormentor::restarts() const {
  return static_cast<int>(std::ranges::count_if(
      records_, [](const DeedRecord& record) { return !record.planned && record.began > 0; }));
}

int Tormentor::skipped() const {
  return static_cast<int>(std::ranges::count_if(records_, &DeedRecord::skipped));
}

std::vector<Window> Tormentor::Windows(std::vector<std::size_t>& index) const {
  std::vector<Window> windows;
  index.clear();
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const DeedRecord& record = records_[i];
    if (record.began == 0) continue;
    const bool kill = record.deed.kind == DeedKind::kKill;
    const Micros end = record.ended > 0 ? record.ended : SteadyMicros();
    windows.push_back(
        {record.deed.kind, record.began, kill ? record.began + kAfterKill : end + kAfterEnd});
    index.push_back(i);
  }
  return windows;
}

// ---- looking

int Tormentor::CountIn(State state) const {
  return static_cast<int>(std::ranges::count(places_, state, &Place::state));
}

void Tormentor::LookAtPlace(int place, Micros now) {
  Place& entry = At(place);
  ChildProcess* const process = parts_.fleet.At(place);
  if (process == nullptr) return;
  if (!process->Alive()) {
    entry.wedge.reset();
    if (entry.state == State::kLeaving) return EndDrain(place, now);
    return TakeUnexpectedEnd(place, now);
  }
  if (entry.state == State::kJoining) {
    const Sighting seen = parts_.watch.Now();
    if (seen.answered && seen.ready && seen.asked > entry.since && seen.Has(process->pid())) {
      entry.state = State::kWhole;
      End(entry.record, now, "takes part");
    } else if (now - entry.since > options_.join_limit) {
      Fail(absl::StrCat("worker ", place,
                        " does not take part in time after: ", records_[entry.record].what));
      entry.since = now;
    }
  } else if (entry.state == State::kLeaving && now - entry.since > options_.drain_limit) {
    Fail(absl::StrCat("worker ", place, " was not drained in time"));
    process->AskToEnd();  // a second time means: at once
    entry.since = now;
  }
}

// A newcomer whose peers cannot be reached is refused with exit code 1. That is the promise while
// packets are lost or have just begun to flow again; the operator starts it again.
bool Tormentor::MayBeRefused(std::string_view how, Micros now) const {
  return how.find(kRefusedForLinks) != how.npos &&
         std::ranges::any_of(records_, [&](const DeedRecord& record) {
           const bool open = record.ended == 0 || now - record.ended < kLinksHeal;
           return record.deed.kind == DeedKind::kPartition && record.began > 0 && open;
         });
}

void Tormentor::TakeUnexpectedEnd(int place, Micros now) {
  const std::string how = absl::StrCat("worker ", place, " ", parts_.fleet.Bury(place));
  if (MayBeRefused(how, now)) {
    ++refusals_;
    parts_.book.Say("torture", how);
  } else {
    Fail(absl::StrCat(how, ", though nobody killed it"));
  }
  if (At(place).state == State::kTroubled) End(At(place).record, now, "ended");
  RestartLater(place, now);
}

void Tormentor::EndDrain(int place, Micros now) {
  Place& entry = At(place);
  const std::string how = parts_.fleet.Bury(place);
  entry.state = State::kEmpty;
  if (!absl::StartsWith(how, "exited with code 0")) {
    Fail(absl::StrCat("worker ", place, ", drained, ", how));
  }
  End(entry.record, now, how);
  const Micros length = records_[entry.record].deed.length;
  if (length > 0) RestartLater(place, now + length);
}

void Tormentor::LookAtCoordinator(Micros now) {
  if (parts_.fleet.CoordinatorDied()) {
    Fail(absl::StrCat("the coordinator ", parts_.fleet.CoordinatorEpitaph(),
                      ", though nobody killed it"));
    if (!coordinator_record_.has_value()) {
      DeedRecord& record = records_.emplace_back();
      record.planned = false;
      record.deed.kind = DeedKind::kCoordinator;
      record.what = "coordinator ended by itself";
      coordinator_record_ = records_.size() - 1;
    }
    return KillCoordinator(*coordinator_record_, now);
  }
  if (!coordinator_record_.has_value() || !parts_.fleet.CoordinatorThere()) return;
  const Sighting seen = parts_.watch.Now();
  const DeedRecord& record = records_[*coordinator_record_];
  if (seen.answered && seen.ready && seen.asked > record.began + record.deed.length) {
    End(*coordinator_record_, now, "serves again");
    coordinator_record_.reset();
    retries_until_ = now + kRetriesAfter;
  }
}

void Tormentor::LookAtStrangers(Micros now) {
  std::erase_if(strangers_, [&](Stranger& stranger) {
    const DeedRecord& record = records_[stranger.record];
    const bool dies = record.deed.variant == kDiesJoining;
    if (stranger.process->Alive()) {
      const bool due = dies && now - record.began > record.deed.length;
      const bool late = now - record.began > options_.join_limit;
      if (!due && !late) return false;
      if (late) Fail(absl::StrCat(record.what, ": was neither refused nor let in"));
      End(stranger.record, now, "killed");
      return true;  // its end kills it
    }
    const std::string how = stranger.process->Epitaph();
    if (!dies &&
        (!absl::StartsWith(how, "exited with code 1") || !absl::StrContains(how, "differs"))) {
      Fail(absl::StrCat(record.what, ": instead of a clear refusal it ", how));
    }
    End(stranger.record, now, how);
    return true;
  });
}

// ---- doing

bool Tormentor::MayBegin(const Deed& deed) const {
  switch (deed.kind) {
    case DeedKind::kCoordinator:
      return !coordinator_record_.has_value() && CountIn(State::kLeaving) == 0;
    case DeedKind::kJoin:
      return CountIn(State::kEmpty) > 0;
    case DeedKind::kBadJoin:
      return !coordinator_record_.has_value();
    case DeedKind::kDrain:
      if (coordinator_record_.has_value()) return false;
      [[fallthrough]];
    case DeedKind::kPartition:
    case DeedKind::kWedge:
    case DeedKind::kHang:
    case DeedKind::kKill:
      return places_[static_cast<std::size_t>(deed.place)].state == State::kWhole &&
             CountIn(State::kWhole) > 1;
  }
  return false;
}

void Tormentor::TryDue(Micros now) {
  for (std::size_t i = 0; i < planned_; ++i) {
    DeedRecord& record = records_[i];
    if (record.began > 0 || record.skipped) continue;
    const Micros late = now - start_ - record.deed.at;
    if (late < 0) break;
    if (MayBegin(record.deed)) {
      Do(i, now);
    } else if (late > kPatience) {
      Skip(i, "not possible then");
    }
  }
}

void Tormentor::Do(std::size_t index, Micros now) {
  records_[index].began = now;
  switch (records_[index].deed.kind) {
    case DeedKind::kCoordinator:
      KillCoordinator(index, now);
      break;
    case DeedKind::kPartition:
      Cut(index, now);
      break;
    case DeedKind::kWedge:
      WedgeIn(index, now);
      break;
    case DeedKind::kHang:
      Hang(index, now);
      break;
    case DeedKind::kKill:
      Kill(index, now);
      break;
    case DeedKind::kDrain:
      Drain(index, now);
      break;
    case DeedKind::kJoin:
      Join(index, now);
      break;
    case DeedKind::kBadJoin:
      SendStranger(index, now);
      break;
  }
}

void Tormentor::End(std::size_t record, Micros now, const std::string& how) {
  if (records_[record].ended > 0) return;
  records_[record].ended = now;
  parts_.book.Say("torture", absl::StrCat(records_[record].what, ": ", how));
}

void Tormentor::Skip(std::size_t record, const std::string& why) {
  records_[record].skipped = true;
  records_[record].began = 0;
  parts_.book.Say("torture", absl::StrCat(records_[record].what, ": skipped, ", why));
}

void Tormentor::Fail(const std::string& what) {
  parts_.book.Say("torture", absl::StrCat("FAILED: ", what));
  failures_.push_back(what);
}

}  // namespace conclave::torture
