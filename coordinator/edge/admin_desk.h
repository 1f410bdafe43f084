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
#include "absl/status/statusor.h"
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
  static constexpr Micros kAnswerTimeout = 5'000'000;  // an answer of the core takes a moment
  static constexpr std::size_t kAnswersWaitingMax = 64;
  static constexpr std::size_t kGatheringsMax = 8;  // each may hold kRecorderBytesMax per process
  using Verdict = std::function<void(const absl::Status& status, const std::string& text)>;
  using Gathered = std::function<void(std::vector<LastWords> words)>;

  // `own`: the coordinator's recorder; it outlives the desk.
  explicit AdminDesk(const FlightRecorder& own) : own_(own) {}

  // A ticket for an event of the core; `then` is called once: from Tell, or with DeadlineExceeded
  // from Expire after kAnswerTimeout. ResourceExhausted, and no call, when kAnswersWaitingMax are
  // waiting.
  absl::StatusOr<std::uint64_t> Expect(Micros now, Verdict then);
  void Tell(const TellAdmin& tell);

  // Whose last words there are: everybody's ("" ), the coordinator's, or a worker's (slot number or
  // uuid). `then` is called once, within kRecorderLimit and a tick; who was silent is said.
  // NotFound names who is there, ResourceExhausted means that kGatheringsMax are under way; `then`
  // is not called then.
  absl::Status Gather(const std::string& who, Micros now, Gathered then);
  void Told(LinkId link, RecorderTold told);

  // From the strand: who is at the other end of a link.
  void Seat(LinkId link, Slot slot, std::shared_ptr<WorkerStream> stream);
  void Name(LinkId link, std::string uuid);
  void Gone(LinkId link);
  // Answers what is late. Any thread, now and then.
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
  struct Waiting {
    Micros until = 0;
    Verdict then;
  };
  using Gatherings = std::map<std::uint64_t, Gathering>;
  void Answer(Gatherings::iterator at, LinkId link, LastWords words,
              std::unique_lock<std::mutex> lock);
  bool Fits(const Worker& worker, const std::string& who) const;

  const FlightRecorder& own_;
  std::mutex mutex_;
  std::uint64_t next_ticket_ = 1;
  std::map<std::uint64_t, Waiting> verdicts_;
  Gatherings gatherings_;
  std::map<LinkId, Worker> workers_;
};

}  // namespace conclave
