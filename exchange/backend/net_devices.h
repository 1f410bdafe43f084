// Which network devices UCX may use, so that it listens where the operator asked and nowhere else.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace conclave {

// The value of UCX's NET_DEVICES for `address`, a numeric IPv4 or IPv6 address of this machine: the
// name of the interface that has it, followed by the RDMA ports that belong to that interface
// ("eth0,mlx5_0:1"). Empty for 0.0.0.0 and [::], which stand for every device. InvalidArgument: not
// a numeric address. FailedPrecondition: no interface that is up has it.
absl::StatusOr<std::string> NetDevicesAt(const std::string& address);

}  // namespace conclave
