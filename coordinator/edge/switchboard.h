// Who is on the line: carries the core's effects to text workers, which speak to client streams, and
// to worker links.
//
// Threading: streams and links are added by gRPC's threads and found by the strand; the lock guards
// only the maps and is never held while a stream is spoken to.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/log.h"
#include "coordinator/core.h"
#include "coordinator/edge/admin_desk.h"
#include "coordinator/edge/client_stream.h"
#include "coordinator/edge/coordinator_record.h"
#include "coordinator/edge/metrics.h"
#include "coordinator/edge/strand.h"
#include "coordinator/edge/text_workers.h"

namespace conclave {

// A worker's control stream.
class WorkerStream {
 public:
  virtual ~WorkerStream() = default;
  virtual void Send(std::string bytes) = 0;          // an encoded ToWorker
  virtual void Drop(const std::string& reason) = 0;  // after what was sent
  virtual void Handled() = 0;                        // one WorkerSaid of this link is done with
};

class Switchboard final : public EffectCarrier {
 public:
  struct Parts {  // which outlive the switchboard
    Metrics& metrics;
    AdminDesk& desk;
    FlightRecorder& recorder;
    const Text* text = nullptr;  // null: token ids only
    int text_threads = 1;
    std::function<void(TextJudged)> judged;  // takes what text stages find to the strand
  };
  // `on_ready` hears about every change of the core's readiness, on the strand.
  Switchboard(const Parts& parts, LogFn log, std::function<void(bool)> on_ready);

  // Between Expect and Forget the stream's ask is on its way to the strand, and Abort finds it.
  // Forget comes after the ask was posted, or when it never will be.
  void Expect(std::string id, std::shared_ptr<ClientStream> stream);
  void Forget(const std::string& id, const ClientStream& stream);
  RequestId AddClient(std::string id, std::shared_ptr<ClientStream> stream, Micros now);
  void RemoveClient(RequestId request);  // its ask was never posted
  LinkId AddWorker(std::shared_ptr<WorkerStream> stream);
  // Tells streams that are expected; whether anybody has this id. The strand must be told
  // afterwards (AbortAsked): whose ask it has by then is no longer found among those expected.
  bool Abort(const std::string& id);
  std::size_t clients() const;
  // Has `stream` pumped by its text worker, soon.
  void Pump(RequestId number, std::shared_ptr<ClientStream> stream);
  // Every client still on the line gets this ending; returns their numbers.
  std::vector<RequestId> EndAll(const Ending& ending);
  // After the strand has stopped and all streams have ended: text workers finish what is queued.
  void StopText() { text_workers_.Stop(); }
  void DropWorkers(const std::string& reason);

  void Begin(const CoordinatorEvent& event, Micros now) override { record_.Heard(event, now); }
  void Carry(CoordinatorEffect& effect, Micros now) override;
  void Settle(const CoordinatorEvent& event, Micros now) override;
  void Observe(const ClusterSnapshot& snapshot) override;

 private:
  struct Client {
    std::string id;
    std::shared_ptr<ClientStream> stream;
    Micros asked_at;
  };
  void CarryToText(TellText& order, Micros now);
  StreamEntry EntryOf(RequestId request) const;
  std::shared_ptr<ClientStream> Take(RequestId request);
  std::shared_ptr<WorkerStream> Worker(LinkId link) const;

  AdminDesk& desk_;
  CoordinatorRecord record_;  // the strand's
  const LogFn log_;
  const std::function<void(bool)> on_ready_;
  bool ready_ = false;  // the strand's

  mutable std::mutex mutex_;
  std::uint64_t requests_ = 0;  // so far
  std::uint64_t next_link_ = 1;
  absl::flat_hash_map<std::uint64_t, Client> clients_;
  absl::flat_hash_map<std::string, int> ids_;  // how many live streams carry this id
  std::multimap<std::string, std::shared_ptr<ClientStream>> expected_;  // by id
  absl::flat_hash_map<std::uint64_t, std::shared_ptr<WorkerStream>> workers_;

  TextWorkers text_workers_;  // last: its threads use what is above
};

}  // namespace conclave
