#include "cli/resuming_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace conclave {
namespace {

constexpr Micros kWaitFirst = 50'000;
constexpr Micros kWaitMost = 1'000'000;

// How long the server wants us to wait, if it wants us back.
std::optional<Micros> RetryInfoOf(const grpc::Status& status) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return std::nullopt;
  for (const google::protobuf::Any& detail : rich.details()) {
    google::rpc::RetryInfo info;
    if (!detail.UnpackTo(&info)) continue;
    return info.retry_delay().seconds() * 1'000'000 + info.retry_delay().nanos() / 1000;
  }
  return std::nullopt;
}

}  // namespace

ResumingStream::ResumingStream(v1::GenerateRequest request, Micros retry_for)
    : request_(std::move(request)), retry_for_(retry_for) {
  CONCLAVE_CHECK(retry_for == 0 || !request_.request_id().empty());
}

void ResumingStream::Read(const v1::GenerateResponse& part) {
  if (part.has_finished()) finished_ = true;
  if (part.token_ids_size() == 0) return;
  request_.set_resume_after(request_.resume_after() + part.token_ids_size());
  broken_since_.reset();
  tries_ = 0;
}

// A queue that is full turns newcomers away; who was in the middle of an answer waits for room.
bool ResumingStream::MayAskAgain(const grpc::Status& status) const {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return true;
  return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && cuts_ > 0 &&
         RetryInfoOf(status).has_value();
}

// Between half of the wait and all of it, as the id decides: those that broke together do not come
// back together.
Micros ResumingStream::Wait(const grpc::Status& status) const {
  const Micros most = std::min(kWaitMost, kWaitFirst << std::min(tries_, 10));
  const std::uint64_t draw =
      Mix(HashBytes(request_.request_id()), static_cast<std::uint64_t>(cuts_));
  const Micros wait = most / 2 + static_cast<Micros>(draw % static_cast<std::uint64_t>(most / 2));
  return std::max(wait, RetryInfoOf(status).value_or(0));
}

std::optional<Micros> ResumingStream::Ended(const grpc::Status& status, Micros now) {
  // The end had been read; what became of the connection after that is nobody's concern.
  status_ = finished_ ? grpc::Status::OK : status;
  if (status_.ok() || !MayAskAgain(status_)) return std::nullopt;
  if (!broken_since_.has_value()) broken_since_ = now;
  const Micros wait = Wait(status_);
  if (now + wait - *broken_since_ > retry_for_) return std::nullopt;
  ++tries_;
  ++cuts_;
  return wait;
}

}  // namespace conclave
