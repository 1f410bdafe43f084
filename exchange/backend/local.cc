// Workers that are threads of one process. A sender posts a pointer to its frame at the receiver's
// endpoint; the receiver copies it into its sink, once; the sender returns when all were taken.
#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "exchange/backend/view_check.h"
#include "exchange/backend/wait_board.h"
#include "exchange/backends.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;
constexpr char kAddressPrefix[] = "local:";
constexpr auto kLookPeriod = std::chrono::milliseconds(50);  // a wait shows that it lives

// A frame on its way to one endpoint from one slot.
struct Mailbox {
  enum class State : std::uint8_t { kEmpty, kPosted, kTaking };
  State state = State::kEmpty;
  std::uint64_t sender = 0;  // endpoint id: frames of another epoch's endpoint are not looked at
  std::span<const std::byte> bytes;
};

struct Endpoint {
  std::uint64_t id = 0;
  bool closed = false;
  std::condition_variable news;  // something changed for the thread that owns this endpoint
  std::array<Mailbox, kSlotsMax> from;
};

}  // namespace

// One lock for all: held for pointers and flags only, never while bytes are copied.
class LocalHub::State {
 public:
  std::shared_ptr<Endpoint> Make() {
    const std::lock_guard lock(mutex);
    auto endpoint = std::make_shared<Endpoint>();
    endpoint->id = ++last_id_;
    endpoints_[endpoint->id] = endpoint;
    return endpoint;
  }
  std::shared_ptr<Endpoint> FindLocked(std::uint64_t id) const {
    const auto found = endpoints_.find(id);
    return found == endpoints_.end() ? nullptr : found->second;
  }
  void CloseLocked(Endpoint& endpoint) {
    endpoint.closed = true;
    endpoints_.erase(endpoint.id);
    for (auto& [id, other] : endpoints_) other->news.notify_all();
  }
  std::mutex mutex;

 private:
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Endpoint>> endpoints_;
};

namespace {

class LocalBackend final : public ExchangeBackend {
 public:
  explicit LocalBackend(std::shared_ptr<LocalHub::State> hub)
      : hub_(std::move(hub)), standby_(hub_->Make()) {}
  ~LocalBackend() override {
    Close();
    const std::lock_guard lock(hub_->mutex);
    hub_->CloseLocked(*standby_);
  }

  std::string_view name() const override { return "local"; }
  absl::StatusOr<std::string> StandbyAddress() override {
    return absl::StrCat(kAddressPrefix, standby_->id);
  }
  absl::Status Open(const EpochView& view, Micros timeout) override;
  absl::Status Exchange(std::span<const OutFrame> sends, FrameSink& sink, Micros timeout) override;
  void AbortBelow(Epoch epoch) override;
  void Close() override;
  ExchangeWait Waiting() const override { return board_.Read(); }
  const ExchangeStats& stats() const override { return stats_; }

 private:
  struct Link {
    Slot slot;
    std::shared_ptr<Endpoint> endpoint;
    bool sent = false;
    bool received = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  absl::Status ConnectLocked(const Peer& peer);
  bool AbortedLocked() const { return epoch_ < abort_below_; }
  absl::Status AbortedError() const {
    return absl::AbortedError(absl::StrCat("epoch ", epoch_.number, " was aborted"));
  }
  absl::Status RunLocked(Lock& lock, std::span<const OutFrame> sends, FrameSink& sink,
                         Clock::time_point deadline);
  absl::Status TakeLocked(Lock& lock, Link& link, FrameSink& sink, bool& progress);
  void WithdrawLocked(Lock& lock);
  absl::Status WhoIsMissing() const;

  std::shared_ptr<LocalHub::State> hub_;
  std::shared_ptr<Endpoint> standby_;
  std::shared_ptr<Endpoint> mine_;  // the open epoch's; null when closed
  EpochView view_;
  Epoch epoch_;
  bool broken_ = false;
  Epoch abort_below_;  // under the hub's lock
  std::vector<Link> links_;
  std::uint64_t number_ = 0;  // exchanges of this epoch so far
  WaitBoard board_;
  ExchangeStats stats_;
};

absl::Status LocalBackend::ConnectLocked(const Peer& peer) {
  std::uint64_t id = 0;
  absl::string_view digits = peer.address;
  if (!absl::ConsumePrefix(&digits, kAddressPrefix) || !absl::SimpleAtoi(digits, &id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", peer.slot.value, ": not a local address: ", peer.address));
  }
  if (peer.slot == view_.self) {
    if (id == mine_->id) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", peer.slot.value, ": own address is out of date"));
  }
  std::shared_ptr<Endpoint> endpoint = hub_->FindLocked(id);
  if (endpoint == nullptr) {
    return PeerError(peer.slot, "is gone");
  }
  links_.push_back({.slot = peer.slot, .endpoint = std::move(endpoint)});
  return absl::OkStatus();
}

absl::Status LocalBackend::Open(const EpochView& view, Micros) {
  RETURN_IF_ERROR(CheckView(view));
  Close();
  std::shared_ptr<Endpoint> fresh = hub_->Make();
  view_ = view;
  links_.reserve(view.peers.size());
  const Lock lock(hub_->mutex);
  mine_ = std::exchange(standby_, std::move(fresh));
  epoch_ = view.epoch;
  broken_ = true;  // until every peer is found
  number_ = 0;
  if (AbortedLocked()) return AbortedError();
  for (const Peer& peer : view.peers) RETURN_IF_ERROR(ConnectLocked(peer));
  broken_ = false;
  return absl::OkStatus();
}

absl::Status LocalBackend::Exchange(std::span<const OutFrame> sends, FrameSink& sink,
                                    Micros timeout) {
  if (mine_ == nullptr || broken_) return absl::FailedPreconditionError("no epoch is open");
  RETURN_IF_ERROR(CheckSends(view_, sends));
  const Clock::time_point deadline = Clock::now() + std::chrono::microseconds(timeout);
  Lock lock(hub_->mutex);
  board_.Begin(++number_);
  absl::Status status = RunLocked(lock, sends, sink, deadline);
  board_.End();
  if (!status.ok()) {
    broken_ = true;
    WithdrawLocked(lock);
    return status;
  }
  ++stats_.exchanges;
  return status;
}

absl::Status LocalBackend::RunLocked(Lock& lock, std::span<const OutFrame> sends, FrameSink& sink,
                                     Clock::time_point deadline) {
  const auto self = static_cast<std::size_t>(view_.self.value);
  for (Link& link : links_) link.sent = link.received = false;
  while (true) {
    if (AbortedLocked()) return AbortedError();
    bool progress = false;
    bool done = true;
    SlotSet missing;
    for (std::size_t i = 0; i < links_.size(); ++i) {
      Link& link = links_[i];
      Mailbox& theirs = link.endpoint->from[self];
      const bool taken = theirs.state == Mailbox::State::kEmpty || theirs.sender != mine_->id;
      if (!link.sent && taken && !link.endpoint->closed) {
        theirs = {Mailbox::State::kPosted, mine_->id, sends[i].bytes};
        link.endpoint->news.notify_all();
        link.sent = true;
      }
      if (!link.received) RETURN_IF_ERROR(TakeLocked(lock, link, sink, progress));
      const bool delivered =
          link.sent && (theirs.state == Mailbox::State::kEmpty || theirs.sender != mine_->id);
      if (!link.received) missing.Add(link.slot);
      if (link.received && delivered) continue;
      done = false;
      if (link.endpoint->closed) {
        return PeerError(link.slot, "closed its end");
      }
    }
    board_.Missing(missing);
    board_.Look();
    if (done) break;
    if (progress) continue;
    const Clock::time_point now = Clock::now();
    if (now >= deadline) return WhoIsMissing();
    mine_->news.wait_until(lock, std::min(deadline, now + kLookPeriod));
  }
  for (const OutFrame& frame : sends) stats_.bytes_sent += frame.bytes.size();
  return absl::OkStatus();
}

// Copies the link's frame, if it has come, into the sink; gives up the lock meanwhile.
absl::Status LocalBackend::TakeLocked(Lock& lock, Link& link, FrameSink& sink, bool& progress) {
  Mailbox& box = mine_->from[static_cast<std::size_t>(link.slot.value)];
  if (box.state != Mailbox::State::kPosted || box.sender != link.endpoint->id) {
    return absl::OkStatus();
  }
  box.state = Mailbox::State::kTaking;  // the sender keeps the bytes until this changes
  const std::span<const std::byte> bytes = box.bytes;
  lock.unlock();
  const std::span<std::byte> room = sink.Reserve(link.slot, bytes.size());
  const bool fits = room.data() != nullptr && room.size() >= bytes.size();
  if (fits && !bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
  lock.lock();
  box.state = fits ? Mailbox::State::kEmpty : Mailbox::State::kPosted;
  link.endpoint->news.notify_all();
  if (!fits) {
    return absl::ResourceExhaustedError(absl::StrCat("frame of ", bytes.size(), " bytes from slot ",
                                                     link.slot.value, " did not fit"));
  }
  link.received = true;
  progress = true;
  stats_.bytes_received += bytes.size();
  return absl::OkStatus();
}

// Takes back what nobody read: the caller's memory is its own again. Waits at most for one copy.
void LocalBackend::WithdrawLocked(Lock& lock) {
  const auto self = static_cast<std::size_t>(view_.self.value);
  for (Link& link : links_) {
    Mailbox& box = link.endpoint->from[self];
    mine_->news.wait(
        lock, [&] { return box.state != Mailbox::State::kTaking || box.sender != mine_->id; });
    if (box.sender == mine_->id) box = {};
  }
}

absl::Status LocalBackend::WhoIsMissing() const {
  const auto self = static_cast<std::size_t>(view_.self.value);
  std::vector<Slot> silent;
  std::vector<Slot> not_taking;
  for (const Link& link : links_) {
    if (!link.received) silent.push_back(link.slot);
    const Mailbox& box = link.endpoint->from[self];
    const bool ours = box.state != Mailbox::State::kEmpty && box.sender == mine_->id;
    if (ours) not_taking.push_back(link.slot);
  }
  return DeadlineError(silent, not_taking);
}

void LocalBackend::AbortBelow(Epoch epoch) {
  const std::lock_guard lock(hub_->mutex);
  abort_below_ = std::max(abort_below_, epoch);
  if (mine_ != nullptr) mine_->news.notify_all();
}

void LocalBackend::Close() {
  if (mine_ == nullptr) return;
  const std::lock_guard lock(hub_->mutex);
  hub_->CloseLocked(*mine_);
  mine_ = nullptr;
  links_.clear();
}

}  // namespace

LocalHub::LocalHub() : state_(std::make_shared<State>()) {}
LocalHub::~LocalHub() = default;

std::unique_ptr<ExchangeBackend> LocalHub::NewBackend() {
  return std::make_unique<LocalBackend>(state_);
}

}  // namespace conclave
