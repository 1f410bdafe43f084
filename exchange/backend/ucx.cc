// Between processes: UCX active messages, one fresh UCX worker per epoch.
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "exchange/backend/net_devices.h"
#include "exchange/backend/peer_watch.h"
#include "exchange/backend/ucx_link.h"
#include "exchange/backend/ucx_worker.h"
#include "exchange/backend/view_check.h"
#include "exchange/backend/wait_board.h"
#include "exchange/backends.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;
constexpr char kAddressMagic[] = "ucx1";
constexpr auto kClosePatience = std::chrono::milliseconds(100);
constexpr auto kWatchPeriod = std::chrono::milliseconds(1);
constexpr unsigned kPollsBetweenClocks = 256;  // while there is always something to do

class UcxBackend;

// A way to reach peers. The first takes whatever UCX finds; the second does without shared memory,
// for peers that seem to share it but do not (containers with one IPC but two PID namespaces).
// Which way each sender takes is its own choice: both ends of every way are always listened to.
struct Lane {
  UcxBackend* backend = nullptr;
  std::unique_ptr<UcxContext> context;
  std::unique_ptr<UcxWorker> standby;
  std::unique_ptr<UcxWorker> active;
};

class UcxBackend final : public ExchangeBackend {
 public:
  explicit UcxBackend(const UcxOptions& options) : yield_when_idle_(options.yield_when_idle) {}
  ~UcxBackend() override { Close(); }
  absl::Status Start(const UcxOptions& options);

  std::string_view name() const override { return "ucx"; }
  absl::StatusOr<std::string> StandbyAddress() override;
  absl::Status Open(const EpochView& view, Micros timeout) override;
  absl::Status Exchange(std::span<const OutFrame> sends, FrameSink& sink, Micros timeout) override;
  void Abort(Epoch epoch) override;
  void Close() override;
  ExchangeWait Waiting() const override { return board_.Read(); }
  const ExchangeStats& stats() const override { return stats_; }

 private:
  static ucs_status_t OnFrame(void* lane, const void* header, std::size_t header_bytes, void* data,
                              std::size_t bytes, const ucp_am_recv_param_t* param);
  ucs_status_t Arrived(const UcxFrameHeader& header, UcxArrival arrival);
  ucs_status_t Refuse(absl::Status why);
  UcxLink* LinkOf(std::uint32_t slot);

  absl::Status MakeStandby(Lane& lane);
  absl::Status Connect(const Peer& peer);
  absl::Status Run(std::span<const OutFrame> sends, FrameSink& sink);
  absl::Status StartSends(std::span<const OutFrame> sends);
  absl::Status Advance(FrameSink& sink, bool& done);
  absl::Status Pushed();
  absl::Status Idle(bool progressed);
  absl::Status LookAtPeers();
  absl::Status WhoIsMissing() const;
  bool Progress();

  const bool yield_when_idle_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<UcxLink>> links_;  // rising slots
  std::array<UcxLink*, kSlotsMax> link_of_{};
  EpochView view_;
  bool open_ = false;
  std::uint64_t number_ = 0;   // of the exchange that runs or comes next
  FrameSink* sink_ = nullptr;  // while an exchange runs
  absl::Status inbox_;         // what was wrong with an arrival
  Clock::time_point deadline_;
  PeerWatch watch_;
  Clock::time_point next_watch_;
  unsigned polls_ = 0;
  std::atomic<std::uint64_t> aborted_below_{0};  // epochs less than this are aborted
  WaitBoard board_;
  ExchangeStats stats_;
};

absl::Status UcxBackend::Start(const UcxOptions& options) {
  std::vector<std::string> ways = {"", "^shm"};
  if (options.transports == "tcp") {
    ways = {"tcp,self"};
  } else if (!options.transports.empty()) {
    ways = {options.transports};
  }
  ASSIGN_OR_RETURN(const std::string devices, NetDevicesAt(options.bind));
  for (const std::string& way : ways) {
    auto lane = std::make_unique<Lane>();
    lane->backend = this;
    ASSIGN_OR_RETURN(lane->context, UcxContext::Make({.transports = way, .net_devices = devices}));
    RETURN_IF_ERROR(MakeStandby(*lane));
    lanes_.push_back(std::move(lane));
  }
  return absl::OkStatus();
}

absl::Status UcxBackend::MakeStandby(Lane& lane) {
  ASSIGN_OR_RETURN(lane.standby, UcxWorker::Make(*lane.context));
  ucp_am_handler_param_t param{};
  param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                     UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  param.id = kUcxFrameMessage;
  param.flags = UCP_AM_FLAG_WHOLE_MSG | UCP_AM_FLAG_PERSISTENT_DATA;
  param.cb = OnFrame;
  param.arg = &lane;
  const ucs_status_t status = ucp_worker_set_am_recv_handler(lane.standby->handle(), &param);
  if (status == UCS_OK) return absl::OkStatus();
  lane.standby.reset();
  return UcxError("listening for frames", status);
}

void AppendPart(std::string& blob, const std::string& part) {
  const auto bytes = static_cast<std::uint32_t>(part.size());
  blob.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  blob.append(part);
}

// The next part of a blob, or false if it is cut short.
bool TakePart(std::string_view& blob, std::string_view& part) {
  std::uint32_t bytes = 0;
  if (blob.size() < sizeof bytes) return false;
  std::memcpy(&bytes, blob.data(), sizeof bytes);
  blob.remove_prefix(sizeof bytes);
  if (blob.size() < bytes) return false;
  part = blob.substr(0, bytes);
  blob.remove_prefix(bytes);
  return true;
}

// "ucx1", this process's name, then each lane's address; every part after its 32-bit length.
absl::StatusOr<std::string> UcxBackend::StandbyAddress() {
  std::string blob = kAddressMagic;
  AppendPart(blob, OwnProcessName());
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->standby == nullptr) RETURN_IF_ERROR(MakeStandby(*lane));
    AppendPart(blob, lane->standby->address());
  }
  return blob;
}

absl::Status UcxBackend::Connect(const Peer& peer) {
  std::string_view blob = peer.address;
  if (!blob.starts_with(kAddressMagic)) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", peer.slot.value, ": not a UCX address"));
  }
  blob.remove_prefix(sizeof kAddressMagic - 1);
  std::string_view process;
  if (!TakePart(blob, process) || !watch_.Add(peer.slot, process)) {
    return absl::UnavailableError(
        absl::StrCat("slot ", peer.slot.value, " is gone: its process has ended"));
  }
  auto link = std::make_unique<UcxLink>(peer.slot);
  ucs_status_t status = UCS_ERR_UNREACHABLE;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    std::string_view part;
    if (!TakePart(blob, part)) break;
    status = link->Connect(lane->active->handle(), part);
    if (status == UCS_OK) break;
  }
  if (status != UCS_OK) {
    return absl::UnavailableError(
        absl::StrCat("slot ", peer.slot.value, " cannot be reached: ", ucs_status_string(status)));
  }
  link_of_[static_cast<std::size_t>(peer.slot.value)] = link.get();
  links_.push_back(std::move(link));
  return absl::OkStatus();
}

absl::Status UcxBackend::Open(const EpochView& view, Micros) {
  RETURN_IF_ERROR(CheckView(view));
  ASSIGN_OR_RETURN(const std::string own, StandbyAddress());
  Close();
  view_ = view;
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->active = std::move(lane->standby);
  if (view.epoch.value < aborted_below_.load()) {
    return absl::AbortedError(absl::StrCat("epoch ", view.epoch.value, " was aborted"));
  }
  for (const Peer& peer : view.peers) {
    if (peer.slot != view.self) {
      RETURN_IF_ERROR(Connect(peer));
    } else if (peer.address != own) {
      return absl::InvalidArgumentError(
          absl::StrCat("slot ", peer.slot.value, ": own address is out of date"));
    }
  }
  number_ = 0;
  inbox_ = absl::OkStatus();
  open_ = true;
  return absl::OkStatus();
}

UcxLink* UcxBackend::LinkOf(std::uint32_t slot) {
  return slot < link_of_.size() ? link_of_[slot] : nullptr;
}

// UCX's callback: an edge that only turns its arguments into ours.
ucs_status_t UcxBackend::OnFrame(void* lane_pointer, const void* header, std::size_t header_bytes,
                                 void* data, std::size_t bytes, const ucp_am_recv_param_t* param) {
  const Lane& lane = *static_cast<const Lane*>(lane_pointer);
  UcxFrameHeader said{};
  if (header_bytes != sizeof said) {
    return lane.backend->Refuse(absl::DataLossError("a message that is no frame"));
  }
  std::memcpy(&said, header, sizeof said);
  return lane.backend->Arrived(said,
                               {.here = true,
                                .to_fetch = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0,
                                .data = data,
                                .bytes = bytes,
                                .worker = lane.active->handle()});
}

// UCS_OK gives the data back to UCX, UCS_INPROGRESS keeps it.
ucs_status_t UcxBackend::Arrived(const UcxFrameHeader& header, UcxArrival arrival) {
  if (!open_ || header.epoch < view_.epoch.value) return UCS_OK;  // a past epoch's: fenced off
  UcxLink* link = LinkOf(header.source);
  const auto wrong = [&](const auto&... words) {
    return Refuse(absl::DataLossError(absl::StrCat("slot ", header.source, ": ", words...)));
  };
  if (link == nullptr) return wrong("a frame from a stranger");
  if (header.epoch != view_.epoch.value) return wrong("a frame of epoch ", header.epoch);
  if (header.bytes != arrival.bytes) {
    return wrong("a frame of ", arrival.bytes, " bytes that should be ", header.bytes);
  }
  const bool current = header.exchange == number_;
  if (!current && header.exchange != number_ + 1) {
    return wrong("frame ", header.exchange, " during exchange ", number_);
  }
  if (current && link->has_frame()) return wrong("frame ", header.exchange, " came twice");
  if (current && sink_ != nullptr && !arrival.to_fetch) {
    if (absl::Status status = link->Copy(arrival.data, arrival.bytes, *sink_); !status.ok()) {
      return Refuse(std::move(status));
    }
    return UCS_OK;
  }
  const bool nothing_to_keep = arrival.bytes == 0 && !arrival.to_fetch;
  if (nothing_to_keep) arrival.data = nullptr;
  if (!link->Keep(header.exchange, arrival)) return wrong("frame ", header.exchange, " came twice");
  return nothing_to_keep ? UCS_OK : UCS_INPROGRESS;
}

ucs_status_t UcxBackend::Refuse(absl::Status why) {
  inbox_.Update(why);
  return UCS_OK;
}

bool UcxBackend::Progress() {
  bool progressed = false;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->active != nullptr) progressed = lane->active->Progress() || progressed;
  }
  return progressed;
}

absl::Status UcxBackend::Exchange(std::span<const OutFrame> sends, FrameSink& sink,
                                  Micros timeout) {
  if (!open_) return absl::FailedPreconditionError("no epoch is open");
  RETURN_IF_ERROR(CheckSends(view_, sends));
  deadline_ = Clock::now() + std::chrono::microseconds(timeout);
  for (const std::unique_ptr<UcxLink>& link : links_) link->Begin();
  sink_ = &sink;
  board_.Begin(number_ + 1);
  absl::Status status = Run(sends, sink);
  board_.End();
  sink_ = nullptr;
  if (!status.ok()) {
    open_ = false;
    return status;
  }
  for (const std::unique_ptr<UcxLink>& link : links_) {
    stats_.bytes_received += link->bytes_received();
  }
  ++number_;
  ++stats_.exchanges;
  return status;
}

absl::Status UcxBackend::Run(std::span<const OutFrame> sends, FrameSink& sink) {
  RETURN_IF_ERROR(StartSends(sends));
  for (bool done = false; true;) {
    RETURN_IF_ERROR(Advance(sink, done));
    if (done) break;
    const bool progressed = Progress();
    RETURN_IF_ERROR(Idle(progressed));
  }
  return Pushed();
}

absl::Status UcxBackend::StartSends(std::span<const OutFrame> sends) {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const std::span<const std::byte> frame = sends[i].bytes;
    RETURN_IF_ERROR(links_[i]->Send({.epoch = view_.epoch.value,
                                     .exchange = number_,
                                     .bytes = frame.size(),
                                     .source = static_cast<std::uint32_t>(view_.self.value),
                                     .zero = 0},
                                    frame));
    stats_.bytes_sent += frame.size();
  }
  return absl::OkStatus();
}

// One look at every link: takes what waits, looks after what is under way.
absl::Status UcxBackend::Advance(FrameSink& sink, bool& done) {
  RETURN_IF_ERROR(inbox_);
  done = true;
  SlotSet missing;
  for (const std::unique_ptr<UcxLink>& link : links_) {
    if (link->Waits(number_)) RETURN_IF_ERROR(link->Take(number_, sink));
    RETURN_IF_ERROR(link->Poll());
    done = done && link->done();
    if (!link->received()) missing.Add(link->slot());
  }
  board_.Missing(missing);
  return absl::OkStatus();
}

// "Sent" may still mean "in a buffer of ours that only our own polling empties", and the caller is
// about to compute for a while. Waits until everything is with the kernel or in shared memory.
absl::Status UcxBackend::Pushed() {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    ucp_request_param_t param{};
    const ucs_status_ptr_t request = ucp_worker_flush_nbx(lane->active->handle(), &param);
    if (request == nullptr) continue;  // nothing was left to push
    if (UCS_PTR_IS_ERR(request)) return UcxError("pushing frames", UCS_PTR_STATUS(request));
    absl::Status status;
    ucs_status_t flushed = ucp_request_check_status(request);
    while (status.ok() && flushed == UCS_INPROGRESS) {
      const bool progressed = Progress();
      status = Idle(progressed);
      flushed = ucp_request_check_status(request);
    }
    ucp_request_free(request);
    RETURN_IF_ERROR(status);
    if (flushed != UCS_OK) return UcxError("pushing frames", flushed);
  }
  return absl::OkStatus();
}

// Between two polls: lets others run, watches the clock and the abort flag.
absl::Status UcxBackend::Idle(bool progressed) {
  board_.Look();
  if (view_.epoch.value < aborted_below_.load(std::memory_order_relaxed)) {
    return absl::AbortedError(absl::StrCat("epoch ", view_.epoch.value, " was aborted"));
  }
  if (progressed && ++polls_ % kPollsBetweenClocks != 0) return absl::OkStatus();
  const Clock::time_point now = Clock::now();
  if (now >= deadline_) return WhoIsMissing();
  if (now >= next_watch_) {
    next_watch_ = now + kWatchPeriod;
    RETURN_IF_ERROR(LookAtPeers());
  }
  if (!progressed && yield_when_idle_) sched_yield();
  return absl::OkStatus();
}

// A process that ended after its part of this exchange was done is the next exchange's trouble.
absl::Status UcxBackend::LookAtPeers() {
  watch_.Look();
  for (const Slot slot : watch_.Ended()) {
    if (LinkOf(static_cast<std::uint32_t>(slot.value))->done()) continue;
    return absl::UnavailableError(
        absl::StrCat("slot ", slot.value, " is gone: its process has ended"));
  }
  return absl::OkStatus();
}

absl::Status UcxBackend::WhoIsMissing() const {
  std::vector<Slot> silent;
  std::vector<Slot> not_taking;
  for (const std::unique_ptr<UcxLink>& link : links_) {
    if (!link->received()) silent.push_back(link->slot());
    if (link->received() && !link->done()) not_taking.push_back(link->slot());
  }
  return DeadlineError(silent, not_taking);
}

void UcxBackend::Abort(Epoch epoch) {
  std::uint64_t below = aborted_below_.load();
  while (below <= epoch.value && !aborted_below_.compare_exchange_weak(below, epoch.value + 1)) {
  }
}

void UcxBackend::Close() {
  open_ = false;
  std::vector<ucs_status_ptr_t> closing;
  for (const std::unique_ptr<UcxLink>& link : links_) {
    const ucs_status_ptr_t request = link->Disconnect();
    if (request != nullptr) closing.push_back(request);
  }
  const Clock::time_point patience_ends = Clock::now() + kClosePatience;
  const auto wait_until = [&](auto ended) {
    while (!ended() && Clock::now() < patience_ends) {
      if (!Progress()) sched_yield();
    }
  };
  for (const ucs_status_ptr_t request : closing) {
    wait_until([&] { return ucp_request_check_status(request) != UCS_INPROGRESS; });
    ucp_request_free(request);
  }
  for (const std::unique_ptr<UcxLink>& link : links_) {
    wait_until([&] { return link->Settled(); });
    link->Forget();
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->active.reset();
  links_.clear();
  watch_.Clear();
  link_of_.fill(nullptr);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewUcxBackend(const UcxOptions& options) {
  auto backend = std::make_unique<UcxBackend>(options);
  RETURN_IF_ERROR(backend->Start(options));
  return backend;
}

std::vector<std::string> ExchangeBackendsHere() { return {"local", "ucx"}; }

}  // namespace conclave
