#include "coordinator/edge/switchboard.h"

#include <utility>

#include "protocol/codec.h"

namespace conclave {

Switchboard::Switchboard(const Parts& parts, LogFn log, std::function<void(bool)> on_ready)
    : desk_(parts.desk),
      record_(parts.recorder),
      log_(std::move(log)),
      on_ready_(std::move(on_ready)),
      text_workers_({.threads = parts.text_threads,
                     .text = parts.text,
                     .metrics = parts.metrics,
                     .ended = [this](RequestId stream) { Take(stream); },
                     .judged = parts.judged}) {}

RequestId Switchboard::AddClient(std::string id, std::shared_ptr<ClientStream> stream, Micros now) {
  std::lock_guard lock(mutex_);
  const RequestId request = text_workers_.NumberOf(++requests_, id);
  ++ids_[id];
  clients_.emplace(request.value, Client{std::move(id), std::move(stream), now});
  return request;
}

void Switchboard::RemoveClient(RequestId request) { Take(request); }

LinkId Switchboard::AddWorker(std::shared_ptr<WorkerStream> stream) {
  std::lock_guard lock(mutex_);
  const LinkId link{next_link_++};
  workers_.emplace(link.value, std::move(stream));
  return link;
}

void Switchboard::Expect(std::string id, std::shared_ptr<ClientStream> stream) {
  std::lock_guard lock(mutex_);
  expected_.emplace(std::move(id), std::move(stream));
}

void Switchboard::Forget(const std::string& id, const ClientStream& stream) {
  std::shared_ptr<ClientStream> last;  // outlives the lock: it may be the last reference
  std::lock_guard lock(mutex_);
  auto [at, end] = expected_.equal_range(id);
  while (at != end && at->second.get() != &stream) ++at;
  if (at == end) return;
  last = std::move(at->second);
  expected_.erase(at);
}

bool Switchboard::Abort(const std::string& id) {
  std::vector<std::shared_ptr<ClientStream>> streams;
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    known = ids_.contains(id);
    const auto [begin, end] = expected_.equal_range(id);
    for (auto at = begin; at != end; ++at) streams.push_back(at->second);
  }
  for (const auto& stream : streams) stream->Abort();
  return known || !streams.empty();
}

std::size_t Switchboard::clients() const {
  std::lock_guard lock(mutex_);
  return clients_.size();
}

std::shared_ptr<ClientStream> Switchboard::Take(RequestId request) {
  std::lock_guard lock(mutex_);
  const auto found = clients_.find(request.value);
  if (found == clients_.end()) return nullptr;
  std::shared_ptr<ClientStream> stream = std::move(found->second.stream);
  const auto counted = ids_.find(found->second.id);
  if (--counted->second == 0) ids_.erase(counted);
  clients_.erase(found);
  return stream;
}

std::shared_ptr<WorkerStream> Switchboard::Worker(LinkId link) const {
  std::lock_guard lock(mutex_);
  const auto found = workers_.find(link.value);
  return found == workers_.end() ? nullptr : found->second;
}

std::vector<RequestId> Switchboard::EndAll(const Ending& ending) {
  std::vector<RequestId> requests;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [request, client] : clients_) requests.push_back(RequestId{request});
  }
  for (const RequestId request : requests) {
    if (std::shared_ptr<ClientStream> stream = Take(request)) {
      text_workers_.End(request, std::move(stream), ending);
    }
  }
  return requests;
}

void Switchboard::Pump(RequestId number, std::shared_ptr<ClientStream> stream) {
  text_workers_.Pump(number, std::move(stream));
}

void Switchboard::DropWorkers(const std::string& reason) {
  std::vector<std::shared_ptr<WorkerStream>> workers;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [link, worker] : workers_) workers.push_back(worker);
  }
  for (const auto& worker : workers) worker->Drop(reason);
}

StreamEntry Switchboard::EntryOf(RequestId request) const {
  std::lock_guard lock(mutex_);
  const auto found = clients_.find(request.value);
  if (found == clients_.end()) return {};  // it was ended at shutdown
  return {.stream = found->second.stream, .asked_at = found->second.asked_at};
}

void Switchboard::CarryToText(TellText& order, Micros now) {
  StreamEntry entry;
  if (const auto* begin = std::get_if<TextBegin>(&order.what)) {
    entry = EntryOf(begin->stream);
  } else if (const auto* change = std::get_if<TextStreamChange>(&order.what)) {
    entry = EntryOf(change->stream);
  }
  text_workers_.Add(std::move(order), std::move(entry), now);
}

void Switchboard::Carry(CoordinatorEffect& effect, Micros now) {
  record_.Decided(effect, now);
  if (auto* order = std::get_if<TellText>(&effect)) {
    CarryToText(*order, now);
  } else if (auto* tell = std::get_if<TellClient>(&effect)) {
    StreamEntry entry = EntryOf(tell->request);
    text_workers_.Add(std::move(*tell), std::move(entry), now);
  } else if (auto* say = std::get_if<TellWorker>(&effect)) {
    auto stream = Worker(say->link);
    if (stream == nullptr) return;
    if (const auto* welcome = std::get_if<Welcome>(&say->message)) {
      desk_.Seat(say->link, welcome->slot, stream);
    }
    stream->Send(Encode(say->message));
  } else if (const auto* tell_all = std::get_if<TellWorkers>(&effect)) {
    const std::string bytes = Encode(tell_all->message);
    for (const LinkId link : tell_all->links) {
      if (auto stream = Worker(link)) stream->Send(bytes);
    }
  } else if (auto* drop = std::get_if<DropLink>(&effect)) {
    if (auto stream = Worker(drop->link)) stream->Drop(drop->reason);
  } else if (auto* answer = std::get_if<TellAdmin>(&effect)) {
    desk_.Tell(*answer);
  } else if (auto* line = std::get_if<LogLine>(&effect)) {
    log_(static_cast<LogLevel>(line->level), line->text);
  }
}

void Switchboard::Settle(const CoordinatorEvent& event, Micros now) {
  if (const auto* left = std::get_if<ClientLeft>(&event)) {
    // Whether or not the core had a last word for somebody who is gone, the stream must end.
    text_workers_.AddLeft(left->request, now);
  } else if (const auto* said = std::get_if<WorkerSaid>(&event)) {
    if (const auto* hello = std::get_if<Hello>(&said->message)) desk_.Name(said->link, hello->uuid);
    if (auto stream = Worker(said->link)) stream->Handled();
  } else if (const auto* gone = std::get_if<WorkerGone>(&event)) {
    desk_.Gone(gone->link);
    std::lock_guard lock(mutex_);
    workers_.erase(gone->link.value);
  } else if (std::holds_alternative<Ticked>(event)) {
    desk_.Expire(now);
  }
  text_workers_.Flush();
}

void Switchboard::Observe(const ClusterSnapshot& snapshot) {
  if (snapshot.ready == ready_) return;
  ready_ = snapshot.ready;
  on_ready_(ready_);
}

}  // namespace conclave
