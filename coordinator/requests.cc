#include "coordinator/requests.h"

#include <algorithm>

#include "base/check.h"

namespace conclave {
namespace {

auto PlaceOf(std::vector<Request*>& running, const Request& request) {
  return std::ranges::lower_bound(running, request.order, std::less{},
                                  [](const Request* r) { return r->order; });
}

void CheckStay(const Stay& stay) {
  CONCLAVE_CHECK(stay.done <= stay.planned);
  CONCLAVE_CHECK(static_cast<std::int64_t>(stay.blocks.size()) * kKvBlockTokens >= stay.planned);
}

}  // namespace

void Request::UpdateHashes() {
  const std::size_t whole = tokens.size() / kKvBlockTokens;
  while (hashes.size() < whole) {
    hashes.push_back(
        HashOfBlock(std::span(tokens).subspan(hashes.size() * kKvBlockTokens, kKvBlockTokens)));
  }
}

void Request::Finish(Ending end) {
  CONCLAVE_CHECK(!ending.has_value(), "request %llu ended twice",
                 static_cast<unsigned long long>(order.id.value));
  ending = std::move(end);
}

Request& RequestTable::Add(std::unique_ptr<Request> request) {
  Request& added = *request;
  CONCLAVE_CHECK(added.state == RequestState::kWaiting);
  const bool fresh = live_.emplace(added.order.id.value, std::move(request)).second;
  CONCLAVE_CHECK(fresh, "request %llu is live already",
                 static_cast<unsigned long long>(added.order.id.value));
  CONCLAVE_CHECK(named_.emplace(added.name, &added).second, "%s", added.name.c_str());
  added.reader.stream = added.order.id;
  read_.emplace(added.reader.stream.value, &added);
  waiting_.emplace(added.order, &added);
  waiting_tokens_ += added.prompt_tokens;
  if (added.deadline.has_value()) deadlines_.emplace(*added.deadline, added.order.id);
  return added;
}

Request* RequestTable::Find(RequestId id) {
  const auto found = live_.find(id.value);
  return found == live_.end() ? nullptr : found->second.get();
}

Request* RequestTable::FindNamed(const std::string& name) {
  const auto found = named_.find(name);
  return found == named_.end() ? nullptr : found->second;
}

Request* RequestTable::FindRead(RequestId stream) {
  const auto found = read_.find(stream.value);
  return found == read_.end() ? nullptr : found->second;
}

void RequestTable::Hand(Request& request, const Reader& reader, std::optional<Micros> deadline) {
  read_.erase(request.reader.stream.value);
  CONCLAVE_CHECK(read_.emplace(reader.stream.value, &request).second, "stream %llu reads already",
                 static_cast<unsigned long long>(reader.stream.value));
  request.reader = reader;
  if (request.deadline.has_value()) deadlines_.erase({*request.deadline, request.order.id});
  request.deadline = deadline;
  if (deadline.has_value()) deadlines_.emplace(*deadline, request.order.id);
}

void RequestTable::Run(Request& request) {
  CONCLAVE_CHECK(request.state == RequestState::kWaiting);
  request.state = RequestState::kRunning;
  waiting_.erase({request.order, &request});
  waiting_tokens_ -= request.prompt_tokens;
  running_.insert(PlaceOf(running_, request), &request);
}

void RequestTable::Wait(Request& request) {
  CONCLAVE_CHECK(request.state == RequestState::kRunning);
  request.state = RequestState::kWaiting;
  running_.erase(PlaceOf(running_, request));
  waiting_.emplace(request.order, &request);
  waiting_tokens_ += request.prompt_tokens;
}

// Out of every table but the one that owns it.
void RequestTable::Detach(Request& request) {
  if (request.state == RequestState::kRunning) {
    running_.erase(PlaceOf(running_, request));
  } else {
    waiting_.erase({request.order, &request});
    waiting_tokens_ -= request.prompt_tokens;
  }
  if (request.deadline.has_value()) deadlines_.erase({*request.deadline, request.order.id});
  named_.erase(request.name);
  read_.erase(request.reader.stream.value);
}

void RequestTable::AwaitText(Request& request) {
  CONCLAVE_CHECK(request.proposal.has_value(), "a request awaits its text without an ending");
  Detach(request);
  request.state = RequestState::kAwaitingText;
  auto owned = live_.extract(request.order.id.value);
  awaiting_text_.insert(std::move(owned));
}

Request* RequestTable::FindAwaitingText(RequestId id) {
  const auto found = awaiting_text_.find(id.value);
  return found == awaiting_text_.end() ? nullptr : found->second.get();
}

void RequestTable::Remove(Request& request) {
  CONCLAVE_CHECK(request.ending.has_value(), "a request goes without an ending");
  const bool awaiting = request.state == RequestState::kAwaitingText;
  if (!awaiting) Detach(request);
  request.state = RequestState::kEnded;
  (awaiting ? awaiting_text_ : live_).erase(request.order.id.value);
}

std::vector<RequestId> RequestTable::All() const {
  std::vector<ByArrival> orders;
  for (const Request* request : running_) orders.push_back(request->order);
  for (const auto& [order, request] : waiting_) orders.push_back(order);
  std::ranges::sort(orders);
  std::vector<RequestId> ids;
  for (const ByArrival& order : orders) ids.push_back(order.id);
  return ids;
}

void RequestTable::CheckInvariants() const {
  CONCLAVE_CHECK(live_.size() == running_.size() + waiting_.size(), "%zu live", live_.size());
  CONCLAVE_CHECK(named_.size() == live_.size() && read_.size() == live_.size());
  CONCLAVE_CHECK(std::ranges::is_sorted(running_, std::less{},
                                        [](const Request* request) { return request->order; }));
  std::int64_t tokens = 0;
  for (const auto& [order, request] : waiting_) {
    CONCLAVE_CHECK(request->state == RequestState::kWaiting && request->blocks.empty());
    CONCLAVE_CHECK(request->understudy == nullptr);
    tokens += request->prompt_tokens;
  }
  CONCLAVE_CHECK(tokens == waiting_tokens_);
  for (const auto& [id, request] : awaiting_text_) {
    CONCLAVE_CHECK(request->state == RequestState::kAwaitingText && request->blocks.empty());
    CONCLAVE_CHECK(request->proposal.has_value() && !request->ending.has_value());
    CONCLAVE_CHECK(request->understudy == nullptr && !live_.contains(id));
  }
  for (const Request* request : running_) {
    CONCLAVE_CHECK(request->state == RequestState::kRunning && !request->ending.has_value());
    CONCLAVE_CHECK(request->planned <= request->length_planned());
    CheckStay(*request);
    if (request->understudy == nullptr) continue;
    const Understudy& understudy = *request->understudy;
    CheckStay(understudy);
    CONCLAVE_CHECK(understudy.home != request->home);
    CONCLAVE_CHECK(understudy.planned <= understudy.goal &&
                   understudy.goal < static_cast<std::int32_t>(request->tokens.size()));
  }
}

}  // namespace conclave
