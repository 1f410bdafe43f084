// One answer over as many streams as it takes: when a stream breaks, the request is asked again
// under the same id, after the tokens that were read. Pure: says what to do, and when; whoever
// holds the connection does it. One thread.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "conclave/v1/inference.pb.h"
#include "grpcpp/support/status.h"

namespace conclave {

inline constexpr Micros kRetryForDefault = 30'000'000;

class ResumingStream {
 public:
  // `request` has an id: what breaks can be taken up again only by name. It is given up when no
  // token has come for `retry_for` since it broke; 0: never asked again.
  ResumingStream(v1::GenerateRequest request, Micros retry_for);

  // What to ask now.
  const v1::GenerateRequest& request() const { return request_; }
  void Read(const v1::GenerateResponse& part);
  // The stream has ended. Nothing: it is over, and status() says how. Else: ask request() again
  // after so long. Waits grow, differ between requests, and are no shorter than the server wants.
  std::optional<Micros> Ended(const grpc::Status& status, Micros now);

  const grpc::Status& status() const { return status_; }
  int cuts() const { return cuts_; }  // times it was asked again

 private:
  bool MayAskAgain(const grpc::Status& status) const;
  Micros Wait(const grpc::Status& status) const;

  v1::GenerateRequest request_;
  const Micros retry_for_;
  grpc::Status status_;
  std::optional<Micros> broken_since_;
  int tries_ = 0;  // since it broke
  int cuts_ = 0;
  bool finished_ = false;
};

}  // namespace conclave
