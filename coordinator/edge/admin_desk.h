// Who waits for an answer on the admin port, and whom they wait for: operators' asks by ticket, and
// the last words of workers, asked for over their control streams.
//
// Threading: any thread, unless said otherwise. The lock is never held while somebody is called.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/edge/flight_recorder.h"
#include "coordinator/events.h"

namespace conclave {

class WorkerStream;

struct LastWords {
  std::string process;  // "coordinator", "worker 3"
  std::string text;     // lines, see FlightRecorder
  std::string error;    // why there is no text
};

class AdminDesk {
 public:
  static constexpr Micros kRecorderLimit = 2'000'000;
  using Verdict = std::function<void(const absl::Status& status, const std::string& text)>;
  using Gathered = std::function<void(std::vector<LastWords> words)>;

  // `own`: the coordinator's recorder; it outlives the desk.
  explicit AdminDesk(const FlightRecorder& own) : own_(own) {}

  // A ticket for an event of the core; `then` is called once, from the strand or from Tell.
  std::uint64_t Expect(Verdict then);
  void Tell(const TellAdmin& tell);

  // Whose last words there are: everybody's ("" ), the coordinator's, or a worker's (slot number or
  // uuid). `then` is called once, within kRecorderLimit and a tick; who was silent is said.
  // NotFound names who is there, and `then` is not called.
  absl::Status Gather(const std::string& who, Micros now, Gathered then);
  void Told(LinkId link, RecorderTold told);

  // From the strand: who is at the other end of a link, and the passing of time.
  void Seat(LinkId link, Slot slot, std::shared_ptr<WorkerStream> stream);
  void Name(LinkId link, std::string uuid);
  void Gone(LinkId link);
  void Expire(Micros now);

 private:
  struct Worker {
    std::string uuid;
    std::string name;  // empty: not welcomed yet
    Slot slot;
    std::shared_ptr<WorkerStream> stream;  // null: not welcomed yet
  };
  struct Gathering {
    Micros until = 0;
    std::map<LinkId, std::string> silent;  // their names
    std::vector<LastWords> words;
    Gathered then;
  };
  using Gatherings = std::map<std::uint64_t, Gathering>;
  void Answer(Gatherings::iterator at, LinkId link, LastWords words,
              std::unique_lock<std::mutex> lock);
  bool Fits(const Worker& worker, const std::string& who) const;

  const FlightRecorder& own_;
  std::mutex mutex_;
  std::uint64_t next_ticket_ = 1;
  std::map<std::uint64_t, Verdict> verdicts_;
  Gatherings gatherings_;
  std::map<LinkId, Worker> workers_;
};

}  // namespace conclave
