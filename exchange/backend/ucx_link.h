// One peer of an epoch as the UCX backend sees it: where its frames wait, what is on its way.
#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "exchange/exchange.h"

namespace conclave {

// Travels in front of every frame, so that order, pairing and fencing are ours and not the
// transport's. Host byte order: all that run one cluster are little endian.
struct UcxFrameHeader {
  std::uint64_t epoch;
  std::uint64_t exchange;  // number within the epoch, from 0
  std::uint64_t bytes;
  std::uint32_t source;  // slot
  std::uint32_t zero;
};
static_assert(sizeof(UcxFrameHeader) == 32);
inline constexpr unsigned kUcxFrameMessage = 1;  // the active message that carries a frame

// A frame that came before it was asked for, or is about to be fetched. UCX owns `data`.
struct UcxArrival {
  bool here = false;
  bool to_fetch = false;  // `data` is a descriptor: the bytes are still at the sender
  void* data = nullptr;   // null when there is nothing to give back
  std::size_t bytes = 0;
  ucp_worker_h worker = nullptr;  // which took it
};

class UcxLink {
 public:
  explicit UcxLink(Slot slot) : slot_(slot) {}
  UcxLink(const UcxLink&) = delete;
  UcxLink& operator=(const UcxLink&) = delete;

  Slot slot() const { return slot_; }
  // Makes the endpoint. On failure the link is as before and may be tried with another worker.
  ucs_status_t Connect(ucp_worker_h worker, std::span<const char> address);
  // Gives back what waits here and starts to close the endpoint; the request, or null, is the
  // caller's to wait for. A transfer under way is cancelled, but a close that returns at once may
  // leave it pending for a few more progress calls: wait until Settled before the worker goes.
  ucs_status_ptr_t Disconnect();
  // Whether no transfer is under way any more. Frees the requests of those that have ended.
  bool Settled();
  // Gives up the requests that are still under way; UCX frees them when they end.
  void Forget();

  // A new exchange: nothing sent, nothing received.
  void Begin();
  absl::Status Send(const UcxFrameHeader& header, std::span<const std::byte> frame);
  // Remembers an arrival for exchange `number` (this one or the next). False if one is there
  // already.
  bool Keep(std::uint64_t number, const UcxArrival& arrival);
  bool Waits(std::uint64_t number) const { return arrivals_[number & 1].here; }
  // Moves the arrival of exchange `number`, which waits, into the sink.
  absl::Status Take(std::uint64_t number, FrameSink& sink);
  // For an arrival whose bytes are readable now and go no further than this call.
  absl::Status Copy(const void* data, std::size_t bytes, FrameSink& sink);

  // Looks after requests under way. Error: Unavailable, names the slot.
  absl::Status Poll();
  std::size_t bytes_received() const { return bytes_received_; }  // in this exchange
  bool received() const { return received_; }
  bool has_frame() const { return received_ || fetching_ != nullptr; }
  bool done() const { return received_ && sending_ == nullptr && fetching_ == nullptr; }

 private:
  static void OnFailure(void* self, ucp_ep_h, ucs_status_t status);
  absl::Status Gone(ucs_status_t status) const;
  absl::StatusOr<std::span<std::byte>> RoomFor(std::size_t bytes, FrameSink& sink);
  ucs_status_t Settle(ucs_status_ptr_t& request);

  Slot slot_;
  ucp_ep_h endpoint_ = nullptr;
  ucs_status_t failure_ = UCS_OK;  // set by UCX's error handler
  UcxFrameHeader header_{};        // lives here: UCX may read it until the send is complete
  ucs_status_ptr_t sending_ = nullptr;
  ucs_status_ptr_t fetching_ = nullptr;
  bool received_ = false;
  std::size_t bytes_received_ = 0;
  std::array<UcxArrival, 2> arrivals_;  // by the lowest bit of the exchange's number
};

}  // namespace conclave
