#include "exchange/backend/ucx_link.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {

ucs_status_t UcxLink::Connect(ucp_worker_h worker, std::span<const char> address) {
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler = {.cb = OnFailure, .arg = this};
  const ucs_status_t status = ucp_ep_create(worker, &params, &endpoint_);
  if (status != UCS_OK) endpoint_ = nullptr;
  return status;
}

void UcxLink::OnFailure(void* self, ucp_ep_h, ucs_status_t status) {
  static_cast<UcxLink*>(self)->failure_ = status;
}

ucs_status_ptr_t UcxLink::Disconnect() {
  for (UcxArrival& arrival : arrivals_) {
    if (arrival.here && arrival.data != nullptr) ucp_am_data_release(arrival.worker, arrival.data);
    arrival = {};
  }
  if (endpoint_ == nullptr) return nullptr;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  const ucs_status_ptr_t request = ucp_ep_close_nbx(endpoint_, &param);
  endpoint_ = nullptr;
  return UCS_PTR_IS_PTR(request) ? request : nullptr;
}

bool UcxLink::Settled() {
  for (ucs_status_ptr_t* request : {&sending_, &fetching_}) {
    if (*request != nullptr) (void)Settle(*request);
  }
  return sending_ == nullptr && fetching_ == nullptr;
}

void UcxLink::Forget() {
  for (ucs_status_ptr_t* request : {&sending_, &fetching_}) {
    if (*request != nullptr) ucp_request_free(*request);
    *request = nullptr;
  }
}

void UcxLink::Begin() { received_ = false; }

absl::Status UcxLink::Gone(ucs_status_t status) const {
  return absl::UnavailableError(
      absl::StrCat("slot ", slot_.value, " is gone: ", ucs_status_string(status)));
}

absl::Status UcxLink::Send(const UcxFrameHeader& header, std::span<const std::byte> frame) {
  if (failure_ != UCS_OK) return Gone(failure_);
  header_ = header;
  ucp_request_param_t param{};
  const ucs_status_ptr_t request = ucp_am_send_nbx(
      endpoint_, kUcxFrameMessage, &header_, sizeof header_, frame.data(), frame.size(), &param);
  if (UCS_PTR_IS_ERR(request)) return Gone(UCS_PTR_STATUS(request));
  sending_ = request;
  return absl::OkStatus();
}

bool UcxLink::Keep(std::uint64_t number, const UcxArrival& arrival) {
  UcxArrival& place = arrivals_[number & 1];
  if (place.here) return false;
  place = arrival;
  place.here = true;
  return true;
}

absl::StatusOr<std::span<std::byte>> UcxLink::RoomFor(std::size_t bytes, FrameSink& sink) {
  const std::span<std::byte> room = sink.Reserve(slot_, bytes);
  bytes_received_ = bytes;
  if (room.data() != nullptr && room.size() >= bytes) return room;
  return absl::ResourceExhaustedError(
      absl::StrCat("frame of ", bytes, " bytes from slot ", slot_.value, " did not fit"));
}

absl::Status UcxLink::Copy(const void* data, std::size_t bytes, FrameSink& sink) {
  ASSIGN_OR_RETURN(const std::span<std::byte> room, RoomFor(bytes, sink));
  if (bytes != 0) std::memcpy(room.data(), data, bytes);
  received_ = true;
  return absl::OkStatus();
}

absl::Status UcxLink::Take(std::uint64_t number, FrameSink& sink) {
  UcxArrival& arrival = arrivals_[number & 1];
  if (!arrival.to_fetch) {
    RETURN_IF_ERROR(Copy(arrival.data, arrival.bytes, sink));
    if (arrival.data != nullptr) ucp_am_data_release(arrival.worker, arrival.data);
    arrival = {};
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::span<std::byte> room, RoomFor(arrival.bytes, sink));
  ucp_request_param_t param{};
  const ucs_status_ptr_t request =
      ucp_am_recv_data_nbx(arrival.worker, arrival.data, room.data(), arrival.bytes, &param);
  arrival = {};
  if (UCS_PTR_IS_ERR(request)) return Gone(UCS_PTR_STATUS(request));
  fetching_ = request;
  received_ = request == nullptr;
  return absl::OkStatus();
}

// The request's state; one that has ended is freed and forgotten.
ucs_status_t UcxLink::Settle(ucs_status_ptr_t& request) {
  const ucs_status_t status = ucp_request_check_status(request);
  if (status == UCS_INPROGRESS) return status;
  ucp_request_free(request);
  request = nullptr;
  return status;
}

absl::Status UcxLink::Poll() {
  if (sending_ != nullptr) {
    const ucs_status_t status = Settle(sending_);
    if (status != UCS_OK && status != UCS_INPROGRESS) return Gone(status);
  }
  if (fetching_ != nullptr) {
    const ucs_status_t status = Settle(fetching_);
    if (status != UCS_OK && status != UCS_INPROGRESS) return Gone(status);
    received_ = status == UCS_OK;
  }
  // A peer may end after its last frame: that is a failure only of what is still missing.
  if (failure_ != UCS_OK && !done()) return Gone(failure_);
  return absl::OkStatus();
}

}  // namespace conclave
