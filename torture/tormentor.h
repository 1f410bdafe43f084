// Carries a plan of faults out on real processes, undoes what does not end by itself, and checks that
// every worker comes back, leaves or is refused as promised.
//
// From the main thread. Nothing here waits: Tick is called every few milliseconds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cli/child_process.h"
#include "torture/cluster_watch.h"
#include "torture/deed.h"
#include "torture/fleet.h"
#include "torture/log_book.h"
#include "torture/net_lab.h"
#include "torture/stalls.h"
#include "torture/streams.h"
#include "torture/wedge.h"

namespace conclave::torture {

struct DeedRecord {
  Deed deed;
  bool planned = true;  // false: the start of a worker that took a killed or drained one's place
  bool skipped = false;
  Micros began = 0;  // 0: not yet
  Micros ended = 0;  // 0: not yet
  std::string what;  // "kill worker 2"
};

struct TormentorOptions {
  Micros join_limit = 60'000'000;   // until a newcomer, or one that was away, takes part
  Micros drain_limit = 30'000'000;  // from SIGTERM to exit code 0
  std::string bad_model;            // a directory with another identity
};

class Tormentor {
 public:
  // All outlive this; `net` may be null.
  struct Parts {
    Fleet& fleet;
    ClusterWatch& watch;
    StreamLoad& load;
    LogBook& book;
    NetLab* net = nullptr;
  };
  // The fleet's workers are at places 0..workers-1 and take part.
  Tormentor(const Parts& parts, TormentorOptions options, int workers);

  void Begin(Micros start, const std::vector<Deed>& plan);
  void Tick(Micros now);
  // Nothing new; what is stopped, wedged or cut goes on at once.
  void Heal(Micros now);
  // Everybody who is there takes part and nothing is under way.
  bool Settled() const;
  std::string Unsettled() const;  // who is waited for

  const std::vector<DeedRecord>& records() const { return records_; }
  const std::vector<std::string>& failures() const { return failures_; }
  const std::vector<std::string>& notes() const { return notes_; }
  int Count(DeedKind kind) const;  // done, planned ones
  int restarts() const;
  int skipped() const;
  int refusals() const { return refusals_; }  // of workers whose links were cut
  // When each deed that was done could be felt, and its index into records().
  std::vector<Window> Windows(std::vector<std::size_t>& index) const;

 private:
  enum class State { kEmpty, kJoining, kWhole, kTroubled, kLeaving };
  struct Place {
    State state = State::kEmpty;
    Micros since = 0;
    std::size_t record = 0;  // whose end is waited for
    std::unique_ptr<Wedge> wedge;
  };
  struct Later {
    std::function<void(Micros now)> act;
    bool undoes = false;  // what was done; the others start something
  };
  struct Stranger {
    std::unique_ptr<ChildProcess> process;
    std::size_t record;
  };

  Place& At(int place) { return places_[static_cast<std::size_t>(place)]; }
  int CountIn(State state) const;
  bool MayBegin(const Deed& deed) const;
  void TryDue(Micros now);
  void Do(std::size_t record, Micros now);
  void Kill(std::size_t record, Micros now);
  void Hang(std::size_t record, Micros now);
  void Join(std::size_t record, Micros now);
  void Drain(std::size_t record, Micros now);
  void WedgeIn(std::size_t record, Micros now);
  void Cut(std::size_t record, Micros now);
  void KillCoordinator(std::size_t record, Micros now);
  void SendStranger(std::size_t record, Micros now);
  void RestartLater(int place, Micros at);
  void ComeBackLater(std::size_t record, Micros at, std::function<void()> undo);
  void LookAtPlace(int place, Micros now);
  void LookAtCoordinator(Micros now);
  void LookAtStrangers(Micros now);
  bool MayBeRefused(std::string_view how, Micros now) const;
  void TakeUnexpectedEnd(int place, Micros now);
  void EndDrain(int place, Micros now);
  void End(std::size_t record, Micros now, const std::string& how);
  void Skip(std::size_t record, const std::string& why);
  void Fail(const std::string& what);

  const Parts parts_;
  const TormentorOptions options_;
  Micros start_ = 0;
  bool healing_ = false;
  std::vector<DeedRecord> records_;  // the plan first, in its order
  std::size_t planned_ = 0;
  std::vector<Place> places_;
  std::multimap<Micros, Later> later_;
  std::vector<Stranger> strangers_;
  std::optional<std::size_t> coordinator_record_;  // its death is not overcome
  Micros retries_until_ = 0;
  int refusals_ = 0;
  std::vector<std::string> failures_, notes_;
};

}  // namespace conclave::torture
