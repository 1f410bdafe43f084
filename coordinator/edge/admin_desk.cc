#include "coordinator/edge/admin_desk.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "coordinator/edge/switchboard.h"
#include "protocol/codec.h"

namespace conclave {

absl::StatusOr<std::uint64_t> AdminDesk::Expect(Micros now, Verdict then) {
  std::lock_guard lock(mutex_);
  if (verdicts_.size() >= kAnswersWaitingMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(verdicts_.size(), " operators' requests are waiting for an answer already"));
  }
  verdicts_.emplace(next_ticket_, Waiting{now + kAnswerTimeout, std::move(then)});
  return next_ticket_++;
}

void AdminDesk::Tell(const TellAdmin& tell) {
  Verdict then;
  {
    std::lock_guard lock(mutex_);
    const auto found = verdicts_.find(tell.ticket);
    if (found == verdicts_.end()) return;
    then = std::move(found->second.then);
    verdicts_.erase(found);
  }
  then(tell.status, tell.text);
}

bool AdminDesk::Fits(const Worker& worker, const std::string& who) const {
  if (worker.stream == nullptr) return false;
  return who.empty() || who == worker.uuid || who == absl::StrCat(worker.slot.value);
}

absl::Status AdminDesk::Gather(const std::string& who, Micros now, Gathered then) {
  Gathering gathering = {.until = now + kRecorderLimit, .silent = {}, .words = {}, .then = {}};
  const bool own = who.empty() || who == own_.name();
  if (own) gathering.words.push_back({own_.name(), own_.Text(kRecorderBytesMax), ""});
  std::vector<std::shared_ptr<WorkerStream>> streams;
  std::uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names = {own_.name()};
    for (const auto& [link, worker] : workers_) {
      if (worker.stream != nullptr) names.push_back(absl::StrCat(worker.slot.value));
      if (!Fits(worker, who)) continue;
      gathering.silent.emplace(link, worker.name);
      streams.push_back(worker.stream);
    }
    if (!own && streams.empty()) {
      return absl::NotFoundError(
          absl::StrCat("no worker '", who, "' here; there are: ", absl::StrJoin(names, ", ")));
    }
    if (!streams.empty()) {
      if (gatherings_.size() >= kGatheringsMax) {
        return absl::ResourceExhaustedError(
            absl::StrCat(gatherings_.size(), " flight recorders are being read already"));
      }
      ticket = next_ticket_++;
      gathering.then = std::move(then);
      gatherings_.emplace(ticket, std::move(gathering));
    }
  }
  if (streams.empty()) then(std::move(gathering.words));
  for (const auto& stream : streams) stream->Send(Encode(ToWorker(RecorderAsked{ticket})));
  return absl::OkStatus();
}

// Takes the lock over: whoever waited may have heard everybody now.
void AdminDesk::Answer(Gatherings::iterator at, LinkId link, LastWords words,
                       std::unique_lock<std::mutex> lock) {
  Gathering& gathering = at->second;
  gathering.silent.erase(link);
  gathering.words.push_back(std::move(words));
  if (!gathering.silent.empty()) return;
  const Gathering done = std::move(gathering);
  gatherings_.erase(at);
  lock.unlock();
  done.then(done.words);
}

void AdminDesk::Told(LinkId link, RecorderTold told) {
  std::unique_lock lock(mutex_);
  const auto at = gatherings_.find(told.ticket);
  if (at == gatherings_.end()) return;  // too late
  const auto silent = at->second.silent.find(link);
  if (silent == at->second.silent.end()) return;
  LastWords words{silent->second, std::move(told.text), ""};
  Answer(at, link, std::move(words), std::move(lock));
}

void AdminDesk::Seat(LinkId link, Slot slot, std::shared_ptr<WorkerStream> stream) {
  std::lock_guard lock(mutex_);
  Worker& worker = workers_[link];
  worker.slot = slot;
  worker.stream = std::move(stream);
  worker.name = absl::StrCat("worker ", slot.value);
}

void AdminDesk::Name(LinkId link, std::string uuid) {
  std::lock_guard lock(mutex_);
  workers_[link].uuid = std::move(uuid);
}

void AdminDesk::Gone(LinkId link) {
  std::shared_ptr<WorkerStream> last;  // outlives the lock: it may be the last reference
  std::unique_lock lock(mutex_);
  if (const auto found = workers_.find(link); found != workers_.end()) {
    last = std::move(found->second.stream);
    workers_.erase(found);
  }
  while (true) {
    auto at = gatherings_.begin();
    while (at != gatherings_.end() && !at->second.silent.contains(link)) ++at;
    if (at == gatherings_.end()) return;
    LastWords words{at->second.silent.at(link), "", "its control stream ended"};
    Answer(at, link, std::move(words), std::move(lock));
    lock = std::unique_lock(mutex_);
  }
}

void AdminDesk::Expire(Micros now) {
  std::vector<Gathering> late;
  std::vector<Verdict> unanswered;
  {
    std::lock_guard lock(mutex_);
    // Tickets rise with time, and all wait for the same time.
    while (!verdicts_.empty() && now > verdicts_.begin()->second.until) {
      unanswered.push_back(std::move(verdicts_.begin()->second.then));
      verdicts_.erase(verdicts_.begin());
    }
    for (auto at = gatherings_.begin(); at != gatherings_.end();) {
      if (now <= at->second.until) {
        ++at;
        continue;
      }
      late.push_back(std::move(at->second));
      at = gatherings_.erase(at);
    }
  }
  for (const Verdict& then : unanswered) {
    then(absl::DeadlineExceededError(
             absl::StrCat("the coordinator did not answer within ", kAnswerTimeout / 1'000'000,
                          " s; it may still do what was asked")),
         "");
  }
  for (Gathering& gathering : late) {
    for (const auto& [link, name] : gathering.silent) {
      gathering.words.push_back(
          {name, "", absl::StrCat("no answer within ", kRecorderLimit / 1'000'000, " s")});
    }
    gathering.then(std::move(gathering.words));
  }
}

}  // namespace conclave
