// One function per deed.
#include <signal.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "torture/tormentor.h"

namespace conclave::torture {
namespace {

constexpr Micros kComingBack = 300'000;  // before that, an answer may be of before it was away
constexpr Micros kDeathLimit = 5'000'000;

std::string Milliseconds(Micros length) { return absl::StrCat(length / 1000, " ms"); }

}  // namespace

void Tormentor::Kill(std::size_t index, Micros now) {
  const Deed deed = records_[index].deed;
  parts_.book.Say("torture", records_[index].what);
  parts_.fleet.Signal(deed.place, SIGKILL);
  parts_.fleet.At(deed.place)->WaitForEnd(kDeathLimit);
  parts_.fleet.Bury(deed.place);
  // Taken until the new one starts: no join may take it.
  At(deed.place) = Place{.state = State::kTroubled, .since = now, .record = index, .wedge = {}};
  End(index, now, "dead");
  RestartLater(deed.place, now + deed.length);
}

void Tormentor::RestartLater(int place, Micros at) {
  At(place).state = State::kTroubled;
  const auto start = [this, place](Micros now) {
    DeedRecord& record = records_.emplace_back();
    record.planned = false;
    record.began = now;
    record.deed = Deed{.kind = DeedKind::kJoin, .at = now - start_, .place = place};
    record.what = absl::StrCat("restart worker ", place);
    At(place).state = State::kEmpty;
    Join(records_.size() - 1, now);
  };
  later_.emplace(at, Later{start, /*undoes=*/true});
}

void Tormentor::Join(std::size_t index, Micros now) {
  Deed& deed = records_[index].deed;
  if (At(deed.place).state != State::kEmpty) {
    const auto empty = std::ranges::find(places_, State::kEmpty, &Place::state);
    deed.place = static_cast<int>(empty - places_.begin());
    records_[index].what = absl::StrCat("join worker ", deed.place);
  }
  parts_.book.Say("torture", records_[index].what);
  if (const absl::Status started = parts_.fleet.StartWorker(deed.place); !started.ok()) {
    return Fail(std::string(started.message()));
  }
  At(deed.place) = Place{.state = State::kJoining, .since = now, .record = index, .wedge = {}};
}

void Tormentor::Drain(std::size_t index, Micros now) {
  const int place = records_[index].deed.place;
  parts_.book.Say("torture", records_[index].what);
  parts_.fleet.At(place)->AskToEnd();
  At(place) = Place{.state = State::kLeaving, .since = now, .record = index, .wedge = {}};
}

// A worker that stood still, or was out of reach, takes part again some time after `undo`.
void Tormentor::ComeBackLater(std::size_t index, Micros at, std::function<void()> undo) {
  const int place = records_[index].deed.place;
  At(place).state = State::kTroubled;
  At(place).record = index;
  const auto act = [this, index, place, undo = std::move(undo)](Micros now) {
    parts_.book.Say("torture", absl::StrCat(records_[index].what, ": over"));
    undo();
    Place& entry = At(place);
    if (entry.record != index || parts_.fleet.At(place) == nullptr) return;  // another is there now
    entry.state = State::kJoining;
    entry.since = now + kComingBack;
  };
  later_.emplace(at, Later{act, /*undoes=*/true});
}

void Tormentor::Hang(std::size_t index, Micros now) {
  const Deed& deed = records_[index].deed;
  parts_.book.Say("torture",
                  absl::StrCat(records_[index].what, " for ", Milliseconds(deed.length)));
  parts_.fleet.Signal(deed.place, SIGSTOP);
  ComeBackLater(index, now + deed.length,
                [this, place = deed.place] { parts_.fleet.Signal(place, SIGCONT); });
}

void Tormentor::WedgeIn(std::size_t index, Micros now) {
  const Deed& deed = records_[index].deed;
  auto wedge = Wedge::Stop(parts_.fleet.At(deed.place)->pid());
  if (!wedge.ok()) {
    const std::string why(wedge.status().message());
    const std::string note = absl::StrCat("wedges skipped: ", why);
    if (std::ranges::count(notes_, note) == 0) notes_.push_back(note);
    return Skip(index, why);
  }
  parts_.book.Say("torture",
                  absl::StrCat(records_[index].what, " for ", Milliseconds(deed.length)));
  At(deed.place).wedge = *std::move(wedge);
  ComeBackLater(index, now + deed.length, [this, place = deed.place] { At(place).wedge.reset(); });
}

void Tormentor::Cut(std::size_t index, Micros now) {
  const Deed& deed = records_[index].deed;
  NetLab* const net = parts_.net;
  if (net == nullptr) return Skip(index, "there is no network to cut");
  std::string host;
  if (deed.variant == kCutToCoordinator) host = net->CoordinatorHost();
  for (std::size_t i = 1; i < places_.size() && deed.variant == kCutToPeer; ++i) {
    const std::size_t peer = (static_cast<std::size_t>(deed.place) + i) % places_.size();
    if (host.empty() && places_[peer].state == State::kWhole)
      host = net->Host(static_cast<int>(peer));
  }
  const auto checked = [this](const absl::Status& status) {
    if (!status.ok()) Fail(std::string(status.message()));
  };
  parts_.book.Say("torture", absl::StrCat(records_[index].what, host.empty() ? "" : " towards ",
                                          host, " for ", Milliseconds(deed.length)));
  const int place = deed.place;
  checked(host.empty() ? net->CutAll(place) : net->CutTowards(place, host));
  ComeBackLater(index, now + deed.length, [net, place, host, checked] {
    checked(host.empty() ? net->HealAll(place) : net->HealTowards(place, host));
  });
}

void Tormentor::KillCoordinator(std::size_t index, Micros now) {
  DeedRecord& record = records_[index];
  record.began = now;
  coordinator_record_ = index;
  parts_.load.AllowRetries(true);
  parts_.book.Say("torture",
                  absl::StrCat(record.what, ", back in ", Milliseconds(record.deed.length)));
  parts_.fleet.KillCoordinator();
  const auto start = [this](Micros) {
    const absl::Status started = parts_.fleet.StartCoordinator(std::max(1, CountIn(State::kWhole)));
    if (!started.ok()) Fail(std::string(started.message()));
  };
  later_.emplace(now + record.deed.length, Later{start, /*undoes=*/true});
}

void Tormentor::SendStranger(std::size_t index, Micros) {
  DeedRecord& record = records_[index];
  const FleetOptions& usual = parts_.fleet.options();
  std::string model = usual.model;
  std::string kv_dtype = usual.kv_dtype, kernels = usual.kernels;
  Deed& deed = record.deed;
  // Nobody is wrong who has the same kernels.
  if (deed.variant == kBadKernels && parts_.watch.Now().kernels == "ref")
    deed.variant = kBadKvDtype;
  const char* what = "that dies";
  if (deed.variant == kBadModel) {
    model = options_.bad_model;
    what = "with another model";
  } else if (deed.variant == kBadKernels) {
    kernels = "ref";
    what = "with other kernels";
  } else if (deed.variant == kBadKvDtype) {
    kv_dtype = kv_dtype == "f32" ? "bf16" : "f32";
    what = "with another KV type";
  }
  record.what = absl::StrCat("joiner ", what);
  parts_.book.Say("torture", record.what);
  auto process = parts_.fleet.StartStranger(
      model, {absl::StrCat("--kv-dtype=", kv_dtype), absl::StrCat("--kernels=", kernels)});
  if (!process.ok()) return Fail(std::string(process.status().message()));
  strangers_.push_back({*std::move(process), index});
}

}  // namespace conclave::torture
